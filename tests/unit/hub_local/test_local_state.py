"""Time, quotas, the index, the journal and the credential scope of the local hub."""

import pytest

from dev.hub.faults import Breaker, Fault, Faults
from dev.hub.journal import Journal, Log
from dev.hub.merge import first
from dev.hub.quota import Quotas
from dev.hub.sample import finding, product_arn
from dev.hub.store import Hub, Record, cluster_name, record, resource_name
from dev.hub.timestamp import nanoseconds, render
from dev.hub.wire import AwsError, Scope, parse_scope


def stored(name: str, *, title: str = "A title") -> Record:
    return record(first(finding(name, Title=title)), account="1", region="r", touched=frozenset(), version=1)


def test_order_of_times() -> None:
    """Times are compared by their moment, to the nanosecond."""
    texts = [
        "2026-03-02T08:00:00Z",
        "2026-03-02T08:00:00.000000001Z",
        "2026-03-02T09:00:01+0100",
        "2026-03-02T07:00:02-01:00",
    ]
    moments = [nanoseconds(text) for text in texts]
    assert moments == sorted(moments, key=lambda moment: moment or 0)
    assert len(set(moments)) == 4


def test_rendered_time() -> None:
    """The service writes UTC with milliseconds, which it reads back."""
    assert render(1_772_438_400.5) == "2026-03-02T08:00:00.500Z"
    assert nanoseconds(render(1_772_438_400.5)) == 1_772_438_400_500_000_000


@pytest.mark.parametrize(
    ("operation", "burst", "rate"),
    [("BatchImportFindings", 30, 10), ("GetFindings", 6, 3), ("BatchUpdateFindings", 30, 10), ("DescribeHub", 30, 10)],
)
def test_quota(operation: str, burst: int, rate: int) -> None:
    """A bucket has its burst at once, then its rate, for each account and Region."""
    quotas = Quotas()
    assert sum(quotas.take("a", "r", operation, now=100.0) for _ in range(100)) == burst
    assert sum(quotas.take("a", "r", operation, now=101.0) for _ in range(100)) == rate
    assert quotas.take("a", "other", operation, now=101.0)
    assert quotas.take("other", "r", operation, now=101.0)
    quotas.on = False
    assert quotas.take("a", "r", operation, now=101.0)


def test_span() -> None:
    """A prefix selects exactly the keys that begin with it, in whatever order they were added."""
    hub = Hub("1", "r", enabled=True, since="")
    for number in [*range(0, 300, 2), *range(1, 300, 2)]:
        hub.put(stored(f"{'ab'[number % 2]}/{number:03d}"), now=0)
    low, high = hub.span("a/")
    assert [name.partition("\0")[0] for name in hub.index()[low:high]] == [f"a/{n:03d}" for n in range(0, 300, 2)]
    hub.put(stored("a/0005"), now=0)
    low, high = hub.span("a/000")
    assert [name.partition("\0")[0] for name in hub.index()[low:high]] == ["a/000", "a/0005"]
    assert hub.span("c") == (301, 301)


def test_past() -> None:
    """The past has overwritten values and hides later ones."""
    hub = Hub("1", "r", enabled=True, since="")
    hub.put(stored("a", title="old"), now=1)
    assert hub.past(0) == {}
    hub.remember(on=True)
    hub.put(stored("a", title="new"), now=10)
    hub.put(stored("b"), now=20)
    arn = product_arn()
    overlay = hub.past(5)
    a, b = overlay[f"a\0{arn}"], overlay[f"b\0{arn}"]
    assert a is not None
    assert (a.title, b) == ("old", None)
    assert list(hub.past(15)) == [f"b\0{arn}"]
    assert hub.past(25) == {}


def test_log() -> None:
    """Numbers continue when the oldest entries are dropped."""
    log: Log[tuple[int]] = Log(10)
    assert [log.append((n,)) for n in range(1, 25)] == list(range(1, 25))
    first_number, items = log.after(20, 100)
    assert (first_number, items) == (21, [(21,), (22,), (23,), (24,)])
    first_number, items = log.after(0, 1)
    assert items == [(first_number,)]
    assert first_number > 1


def test_history() -> None:
    """A finding's history is its own entries in order, of its own account and Region."""
    journal = Journal(100)
    for name, region in [("a", "r"), ("b", "r"), ("a", "s"), ("a", "r")]:
        journal.record((0.0, 1, "import", "1", region, name, "ACTIVE", "created", False, "", "", "", ""))
    assert [entry["seq"] for entry in journal.history("1", "r", "a", limit=10)] == [1, 4]
    assert [entry["seq"] for entry in journal.history("1", "r", "a", limit=1)] == [4]


def test_counted_fault() -> None:
    """A fault with a count hits this many calls of its operation and is gone."""
    faults = Faults()
    faults.add(Fault(kind="throttle", operation="GetFindings", count=2), now=0)
    assert faults.take("BatchImportFindings", "1", "r") is None
    assert [faults.take("GetFindings", "1", "r") is not None for _ in range(3)] == [True, True, False]
    assert faults.listed() == []


def test_random_fault() -> None:
    """A fault with a probability and a seed hits the same calls each time."""
    patterns = []
    for _ in range(2):
        faults = Faults()
        faults.add(Fault(kind="error500", probability=0.5, seed=7), now=0)
        patterns.append([faults.take("GetFindings", "1", "r") is not None for _ in range(50)])
    assert patterns[0] == patterns[1]
    assert 10 < sum(patterns[0]) < 40


def test_lag() -> None:
    """Lag goes back by its delay, but not beyond the moment it was added."""
    faults = Faults()
    faults.add(Fault(kind="lag", operation="GetFindings", delay_seconds=30), now=100)
    assert faults.moment("GetFindings", "1", "r", now=110) == 100
    assert faults.moment("GetFindings", "1", "r", now=150) == 120
    assert faults.moment("BatchImportFindings", "1", "r", now=150) is None


def test_breaker() -> None:
    """A partial failure fails its share of the findings, and at least one."""
    none = Breaker(Fault(kind="partial", share=0.0))
    assert [none() for _ in range(3)] == [True, False, False]
    half = Breaker(Fault(kind="partial", share=0.5, seed=1))
    assert 20 < sum(half() for _ in range(100)) < 80
    assert not Breaker(None)()


def test_scope() -> None:
    """Key, Region and service come from the credential scope."""
    header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260302/eu-west-1/securityhub/aws4_request, SignedHeaders=host"
    assert parse_scope(header) == Scope("AKIDEXAMPLE", "eu-west-1", "securityhub")


@pytest.mark.parametrize(("header", "status"), [(None, 403), ("", 403), ("Basic abc", 400)])
def test_no_scope(header: str | None, status: int) -> None:
    """An unsigned call is rejected."""
    with pytest.raises(AwsError) as refused:
        parse_scope(header)
    assert refused.value.status == status


def test_names() -> None:
    """Cluster and resource are read from the provider's fields, else from the Ids."""
    other = {"Resource Kind": "Deployment", "Resource Namespace": "shop", "Resource Name": "web"}
    assert resource_name([{"Type": "Other", "Id": "x", "Details": {"Other": other}}]) == "Deployment shop/web"
    assert resource_name([{"Type": "Other", "Id": "x"}]) == "x"
    assert cluster_name(finding(ProductFields={"tool/cluster": "prod"})) == "prod"
    assert cluster_name(finding(Resources=[{"Type": "AwsEksCluster", "Id": "arn"}])) == "arn"
    assert cluster_name(finding()) == ""
