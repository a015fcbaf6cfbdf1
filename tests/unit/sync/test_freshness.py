"""What of constraints' lists is told to status and doctor."""

import json

from policyhub.doctor import engines
from policyhub.model.violation import ParsedReport
from policyhub.sources import constraints
from policyhub.sync.freshness import Freshness


def read(*names: str, total: int, limit: int = 0) -> ParsedReport:
    listed = [
        {"group": "", "version": "v1", "kind": "Pod", "namespace": "shop", "name": name, "message": str(number)}
        for number, name in enumerate(names)
    ]
    status = {"auditTimestamp": "2026-11-25T01:25:08Z", "totalViolations": total, "violations": listed}
    document = {"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}
    return constraints.read("k8slimits", json.dumps(document).encode(), latest=1_800_000_000, limit=limit)


def test_a_list_is_as_long_as_it_is_written() -> None:
    """Two containers of one Pod are one finding and two entries: Gatekeeper's limit counts entries, and what it has to
    be raised to is the number of all.
    """
    freshness, seen = Freshness(), engines.Seen()
    parsed = read("a", "a", "b", total=7)
    freshness.take(parsed)
    seen.take(parsed)
    assert len(parsed.violations) == 2
    assert list(freshness.listed.values()) == [3]
    assert list(freshness.unlisted.values()) == [4]
    assert list(seen.unlisted.values()) == [(3, 4)]
    freshness.take(read("a", "a", "b", total=3))
    assert freshness.listed == {}


def test_with_what_we_leave_out_ourselves_it_adds_up() -> None:
    """To as many as there are."""
    freshness = Freshness()
    freshness.take(read("a", "b", "c", total=7, limit=2))
    assert sum((*freshness.listed.values(), *freshness.unlisted.values())) == 7
