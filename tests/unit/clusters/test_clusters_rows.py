"""`policyhub clusters` prints the same values as kubectl's columns and the dashboard."""

import json
from typing import Any

import pytest

from dev.dashboards.fleet import FLEET
from policyhub.api.crd import definition
from policyhub.clock import WallMs
from policyhub.clusters.output import COLUMNS, table, to_json
from policyhub.clusters.row import STALE, STALE_MS, Row, row

NOW = WallMs(1_790_000_000_000)
BEAT = "2026-09-21T14:13:20Z"
"""NOW."""
EVIL = "\x1b[31mAllWell\x1b[0m\nprod-eu True\u202e"


def body(name: str = "prod", *, beat: str = BEAT, **status: Any) -> dict[str, Any]:
    reported = {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "AllWell", "message": "fine"},
            {"type": "Connected", "status": "True"},
            {"type": "InSync", "status": "Unknown"},
        ],
        "hub": {"accountId": "111122223333", "region": "eu-west-1"},
        "identity": name,
        "lastHeartbeatTime": beat,
        "findings": {
            **dict(zip(("critical", "high", "medium", "low", "informational", "pending"), range(1, 7), strict=True)),
            "oldestPending": "2026-09-21T14:12:20Z",
        },
        "sources": [{"lastListed": "2026-09-21T14:10:00Z"}, {"lastListed": "2026-09-21T14:00:00Z"}, {}],
    }
    return {"metadata": {"name": name}, "status": {**reported, **status}}


def at(path: str, document: dict[str, Any]) -> Any:
    """The value of a printer column, for the JSONPath forms that ours use."""
    found: Any = document
    for part in path.removeprefix(".").split("."):
        if part.startswith("conditions[?(@"):
            continue
        if part.startswith('type=="'):
            expected = part.split('"')[1]
            found = next(one for one in found["conditions"] if one["type"] == expected)
        else:
            found = found[part]
    return found


def test_kubectl_shows_the_same_under_the_same_names() -> None:
    """Each column without a time unit exists in `kubectl get`, with the same value."""
    columns = {one["name"]: one["jsonPath"] for one in definition()["spec"]["versions"][0]["additionalPrinterColumns"]}
    document = body()
    line = row(document, now=NOW)
    for name, of in COLUMNS.items():
        assert of(line) == at(columns[name], document), name
    assert line.reason == at(columns["Reason"], document)


def test_a_line_and_the_sum() -> None:
    """Times are printed as ages; the list's age is the oldest one."""
    lines = table([row(body(), now=NOW)], now=NOW, wide=True).splitlines()
    assert lines[0].split() == ["NAME", *map(str.upper, COLUMNS), "WAITING", "LISTED", "REASON", "IDENTITY", "MESSAGE"]
    assert [cell.strip() for cell in lines[1].split("   ") if cell] == [
        *("prod", "111122223333", "eu-west-1", "True", "Unknown", "1", "2", "3", "4", "5", "6"),
        *("1 min", "13 min 20 s", "AllWell", "prod", "fine"),
    ]
    assert lines[2] == "1 cluster: 1 healthy, 0 not healthy"


@pytest.mark.parametrize(
    ("given", "well", "reason"),
    [
        (body(), True, "AllWell"),
        (body(conditions=[{"type": "Ready", "status": "True", "reason": "DryRun"}]), True, "DryRun"),
        (body(conditions=[{"type": "Ready", "status": "False", "reason": "ClusterGone"}]), False, "ClusterGone"),
        (body(conditions=[{"type": "Ready", "status": "Unknown", "reason": "Connecting"}]), False, "Connecting"),
        (body(conditions=[]), False, ""),
        (body(beat="2026-09-21T14:03:21Z"), True, "AllWell"),
        (body(beat="2026-09-21T14:03:19Z"), False, STALE),
        (body(beat="2099-01-01T00:00:00Z"), False, STALE),
        ({"metadata": {"name": "new"}}, False, STALE),
        ({"metadata": {"name": "new"}, "status": {"observedGeneration": -1}}, False, STALE),
        ({"metadata": None, "status": {"conditions": {"a": 1}, "sources": [7], "hub": "x"}}, False, STALE),
    ],
    ids=[
        "well",
        "dry run",
        "gone",
        "unknown",
        "no condition",
        "fresh",
        "stale",
        "from the future",
        "no status",
        "new",
        "odd",
    ],
)
def test_healthy_clusters(given: dict[str, Any], well: bool, reason: str) -> None:  # noqa: FBT001  (a row of the table)
    """Ready is True, and was written recently."""
    line = row(given, now=NOW)
    assert (line.well, line.reason) == (well, reason)
    assert STALE_MS == 600_000


def test_unknown_numbers_are_not_zero() -> None:
    line = row(body(findings={"critical": True, "high": "1", "low": 0}), now=NOW)
    assert (line.critical, line.high, line.medium, line.low) == (None, None, None, 0)
    assert " 0 " in table([line], now=NOW, wide=False)


@pytest.mark.parametrize("wide", [False, True])
def test_hostile_text_cannot_write_lines_or_colours(wide: bool) -> None:  # noqa: FBT001  (as above)
    """Text of clusters and tenants in a status stays in its cell."""
    evil = {"type": "Ready", "status": EVIL, "reason": EVIL, "message": EVIL * 1000}
    hub = {"accountId": EVIL, "region": EVIL}
    line = row(body(EVIL, conditions=[evil], hub=hub, identity=EVIL), now=NOW)
    text = table([line], now=NOW, wide=wide)
    assert len(text.splitlines()) == 3
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert not line.well
    assert [Row(**one) for one in json.loads(to_json([line]))] == [line]
    assert to_json([line]).isascii()


def test_the_fleet_dashboard_has_the_same_columns() -> None:
    """Each column of its table of clusters but one has a name of `kubectl get monitoredclusters`."""
    table = next(panel for panel in FLEET.panels if (panel.title, panel.kind) == ("Clusters", "table"))
    called = {query.legend.replace(" ", "").casefold() for query in table.queries}
    columns = {one["name"].casefold() for one in definition()["spec"]["versions"][0]["additionalPrinterColumns"]}
    assert called - columns == {"violations"}
    assert {name.casefold() for name in COLUMNS} & called == {"insync", "critical", "pending"}
