"""`python -m dev.chart`: renders the examples of tests/component/chart with the real helm, for review."""

from dev.chart import golden
from dev.chart.files import CHART

golden.write(CHART, golden.FOLDER, progress=print)
