"""What of constraints' lists is told to status and doctor."""

import json

from policyhub.doctor import engines
from policyhub.model.violation import ParsedReport
from policyhub.sources import constraints
from policyhub.sync.freshness import Freshness


def read(*names: str, total: int, most: int = 0) -> ParsedReport:
    listed = [
        {"group": "", "version": "v1", "kind": "Pod", "namespace": "shop", "name": name, "message": str(number)}
        for number, name in enumerate(names)
    ]
    status = {"auditTimestamp": "2026-11-25T01:25:08Z", "totalViolations": total, "violations": listed}
    document = {"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}
    return constraints.read("k8slimits", json.dumps(document).encode(), latest=1_800_000_000, most=most)


def test_a_list_is_as_long_as_it_is_written() -> None:
    """Two containers of one Pod are one finding and two entries: Gatekeeper's limit counts entries, and what it has to
    be raised to is the number of all.
    """
    heard, seen = Freshness(), engines.Seen()
    reading = read("a", "a", "b", total=7)
    heard.take(reading)
    seen.take(reading)
    assert len(reading.violations) == 2
    assert list(heard.listed.values()) == [3]
    assert list(heard.unlisted.values()) == [4]
    assert list(seen.unlisted.values()) == [(3, 4)]
    heard.take(read("a", "a", "b", total=3))
    assert heard.listed == {}


def test_with_what_we_leave_out_ourselves_it_adds_up() -> None:
    """To as many as there are."""
    heard = Freshness()
    heard.take(read("a", "b", "c", total=7, most=2))
    assert sum((*heard.listed.values(), *heard.unlisted.values())) == 7
