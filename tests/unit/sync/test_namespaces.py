"""Which namespaces exist, as a reflector tells it."""

import json

import pytest
from structlog.testing import capture_logs

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.kube.sink import ReflectorState, Sink
from policyhub.sync.namespaces import RESOURCE, Existence, Namespaces

NOW = SteadyMs(1_790_000_000_000)
WATCHING = ReflectorState(phase="watching", listed=1.0)
FAILED = ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE, "cut"))
FORBIDDEN = ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN, "no"))


class Told:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.stream_started_at: dict[str, SteadyMs] = {}
        self.calls: list[tuple[object, ...]] = []
        self.now = NOW

    def list_namespaces(self, names: frozenset[str], *, now: SteadyMs) -> None:
        self.calls.append(("list", *sorted(names), now))

    def add_namespace(self, name: str) -> None:
        self.calls.append(("came", name))

    def remove_namespace(self, name: str, *, now: SteadyMs) -> None:
        self.calls.append(("gone", name, now))

    def namespaces_live(self, *, live: bool, now: SteadyMs) -> None:
        self.calls.append(("live", live))

    def clock(self) -> SteadyMs:
        return self.now

    def without_came(self) -> list[tuple[object, ...]]:
        """Since the last call of this."""
        calls, self.calls = self.calls, []
        return [call for call in calls if call[0] != "came"]


def made() -> tuple[Namespaces, Told]:
    told = Told()
    existence: Existence = told
    namespaces = Namespaces(existence, cluster="alpha", now=told.clock)
    sink: Sink = namespaces
    assert sink is namespaces
    return namespaces, told


def raw(name: object, **metadata: object) -> bytes:
    return json.dumps({"kind": "Namespace", "metadata": {"name": name, **metadata}, "spec": {}}).encode()


def listing(sink: Namespaces, *names: object) -> None:
    sink.begin()
    for name in names:
        sink.upsert(raw(name))
    sink.finish()


def test_the_resource() -> None:
    """Namespaces are read where every API server has them."""
    assert (RESOURCE.path, RESOURCE.origin) == ("/api/v1/namespaces", "namespaces")


def test_a_listing_then_events() -> None:
    """What is listed is told whole and once complete; then each event as it comes."""
    sink, told = made()
    listing(sink, "kube-system", "shop")
    sink.watch_accepted()
    sink.state(WATCHING)
    sink.upsert(raw("bank"))
    sink.upsert(raw("shop", deletionTimestamp="2026-11-25T01:25:08Z"))
    told.now += 1
    sink.delete(raw("shop"))
    assert told.calls == [
        ("came", "kube-system"),
        ("came", "shop"),
        ("list", "kube-system", "shop", NOW),
        ("live", True),
        ("came", "bank"),
        ("came", "shop"),
        ("gone", "shop", NOW + 1),
    ]


def test_a_deletion_while_a_listing_is_read() -> None:
    """A page may have brought it before: the end of the listing does not bring it back."""
    sink, told = made()
    sink.begin()
    sink.upsert(raw("kube-system"))
    sink.upsert(raw("shop"))
    sink.delete(raw("shop"))
    sink.upsert_during_listing(raw("bank"), new=True)
    sink.finish()
    assert told.without_came() == [("gone", "shop", NOW), ("list", "bank", "kube-system", NOW)]


def test_each_request_is_told() -> None:
    """A listing and a watch may each be answered by another server; both are written down when they are accepted."""
    sink, told = made()
    sink.begin()
    assert told.stream_started_at == {"namespaces": NOW}
    told.now += 5
    sink.watch_accepted()
    assert told.stream_started_at == {"namespaces": NOW + 5}


def test_a_listing_that_is_cut_short_replaces_nothing() -> None:
    """It tells only what it did bring."""
    sink, told = made()
    sink.begin()
    sink.upsert(raw("kube-system"))
    sink.abort()
    sink.state(FORBIDDEN)
    assert told.calls == [("came", "kube-system")]
    listing(sink, "kube-system", "shop")
    assert told.without_came() == [("list", "kube-system", "shop", NOW)]


def test_live_only_while_it_is_watched() -> None:
    """A failure ends it, a resumed watch brings it back, a listing in between changes nothing; each is told once."""
    sink, told = made()
    sink.state(FAILED)
    listing(sink, "kube-system")
    sink.state(WATCHING)
    sink.state(WATCHING)
    listing(sink, "kube-system")
    sink.state(FAILED)
    sink.state(WATCHING)
    assert [call for call in told.calls if call[0] == "live"] == [("live", True), ("live", False), ("live", True)]


@pytest.mark.parametrize("names", [[], ["shop"]], ids=["empty", "without kube-system"])
def test_a_listing_that_cannot_be_true_is_not_believed(names: list[str]) -> None:
    """Every cluster has kube-system: what answers without it must not make every other namespace gone."""
    sink, told = made()
    listing(sink, "kube-system", "shop")
    sink.state(WATCHING)
    told.without_came()
    with capture_logs() as logs:
        listing(sink, *names)
    assert told.without_came() == [("live", False)]
    assert [line["event"] for line in logs] == ["namespaces_disbelieved"]
    listing(sink, "kube-system")
    assert told.without_came() == [("list", "kube-system", NOW), ("live", True)]


@pytest.mark.parametrize("name", [None, 7, "", ["x"], "n" * 64])
def test_an_unreadable_name_in_a_listing(name: object) -> None:
    """It may be any namespace: none is said to be gone for not being listed."""
    sink, told = made()
    listing(sink, "kube-system", name)
    sink.state(WATCHING)
    assert told.without_came() == []
    listing(sink, "kube-system")
    assert told.without_came() == [("list", "kube-system", NOW), ("live", True)]


def test_an_unreadable_event() -> None:
    """Whatever it said was missed: not live until all is listed again, however the watch goes on."""
    sink, told = made()
    listing(sink, "kube-system", "shop")
    sink.state(WATCHING)
    told.without_came()
    sink.delete(b'{"metadata": {}}')
    sink.state(FAILED)
    sink.state(WATCHING)
    assert told.without_came() == [("live", False)]
    listing(sink, "kube-system")
    assert told.without_came() == [("list", "kube-system", NOW), ("live", True)]
