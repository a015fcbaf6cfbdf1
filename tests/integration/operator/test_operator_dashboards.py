"""The chart's dashboards, alerts and example queries work on a real Prometheus that has scraped a real run."""

from collections.abc import Iterator
from html import escape

import pytest

from dev import metrics
from dev.cluster import ControlPlane
from dev.dashboards.board import Board, Panel, Query
from dev.dashboards.files import BOARDS
from dev.dashboards.picture import page
from dev.dashboards.prometheus import Prometheus, filled
from dev.dashboards.trial import LOST, VARIABLES, trial
from dev.hub.process import HubProcess
from policyhub.metrics.series import Definition

if Prometheus.installed() is None:
    pytest.skip("prometheus is not installed (Debian: prometheus)", allow_module_level=True)

QUERIES = [
    pytest.param(name, panel, query, id=f"{board.uid} {panel.title} {number}")
    for name, board in BOARDS.items()
    for panel in board.panels
    for number, query in enumerate(panel.queries)
]
SECONDS = 600


@pytest.fixture(scope="module")
def prometheus(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("dashboards")
    with HubProcess.start() as hub, trial(plane.cluster("boards"), hub, folder, copies=2) as prometheus:
        yield prometheus


@pytest.mark.parametrize(("name", "panel", "query"), QUERIES)
def test_every_query_of_a_dashboard_has_a_result(prometheus: Prometheus, name: str, panel: Panel, query: Query) -> None:
    """In a run in which everything happens once."""
    expr = filled(query, VARIABLES[name])
    found = prometheus.now(expr) if panel.instant else prometheus.over(expr, seconds=SECONDS)
    assert found, expr
    values = [one["value"][1] for one in found] if panel.instant else [v for one in found for _, v in one["values"]]
    assert any(value != "NaN" for value in values), expr


@pytest.mark.parametrize(("name", "board"), BOARDS.items(), ids=BOARDS)
def test_variables_have_values(prometheus: Prometheus, name: str, board: Board) -> None:
    """The selectors of a dashboard have values."""
    for variable in board.variables:
        metric = variable.query.removeprefix("label_values(").rpartition(", ")[0]
        found = prometheus.now(filled(Query(metric), VARIABLES[name]))
        assert variable.name in {label for one in found for label in one["metric"]}


@pytest.mark.parametrize("metric", metrics.definitions(), ids=lambda metric: metric.name)
def test_every_example_is_a_query(prometheus: Prometheus, metric: Definition) -> None:
    """Prometheus parses each example of docs/metrics.md; one that is not a comparison has a result."""
    found = prometheus.over(metric.example, seconds=SECONDS, step=5)
    condition = any(sign in metric.example for sign in (" > ", " == ", " != "))
    assert found or condition, metric.example


def test_every_alert_is_evaluated(prometheus: Prometheus) -> None:
    """Without an error; the alert for the unreachable cluster fires."""
    rules = prometheus.rules()
    assert {rule["health"] for rule in rules} == {"ok"}
    alerts = {(one["labels"]["alertname"], one["labels"].get("cluster", "")) for one in prometheus.alerts()}
    assert ("PolicyhubClusterUnreachable", LOST) in alerts


@pytest.mark.parametrize(("name", "board"), BOARDS.items(), ids=BOARDS)
def test_the_dashboard_pictures(prometheus: Prometheus, name: str, board: Board) -> None:
    """The drawn page has each panel, and none without data."""
    drawn = page(board, prometheus, VARIABLES[name], seconds=SECONDS, note="test")
    assert [panel.title for panel in board.panels if f"<h3>{escape(panel.title)}</h3>" not in drawn] == []
    assert "no data" not in drawn
