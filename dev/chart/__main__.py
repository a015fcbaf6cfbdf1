"""`python -m dev.chart`: renders the examples of tests/component/chart anew, with the real helm, to be reviewed."""

from dev.chart import golden
from dev.chart.files import CHART

golden.write(CHART, golden.FOLDER, progress=print)
