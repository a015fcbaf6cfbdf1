"""Which namespaces exist, as a reflector reports it."""

import json

import pytest
from structlog.testing import capture_logs

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.cluster.sinks.namespaces import RESOURCE, Existence, NamespaceSink
from policyhub.kube.sink import ReflectorState, Sink

NOW = SteadyMs(1_790_000_000_000)
WATCHING = ReflectorState(phase="watching", listed=1.0)
FAILED = ReflectorState(phase="failed", cause=Cause(Reason.UNREACHABLE, "cut"))
FORBIDDEN = ReflectorState(phase="failed", cause=Cause(Reason.LISTING_FORBIDDEN, "no"))


class Recorder:
    """Records the calls."""

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

    def take_calls(self) -> list[tuple[object, ...]]:
        """The calls since the last time, without additions."""
        calls, self.calls = self.calls, []
        return [call for call in calls if call[0] != "came"]


def made() -> tuple[NamespaceSink, Recorder]:
    recorder = Recorder()
    existence: Existence = recorder
    namespaces = NamespaceSink(existence, cluster="alpha", now=recorder.clock)
    sink: Sink = namespaces
    assert sink is namespaces
    return namespaces, recorder


def raw(name: object, **metadata: object) -> bytes:
    return json.dumps({"kind": "Namespace", "metadata": {"name": name, **metadata}, "spec": {}}).encode()


def listing(sink: NamespaceSink, *names: object) -> None:
    sink.begin()
    for name in names:
        sink.upsert(raw(name))
    sink.finish()


def test_the_resource() -> None:
    """Namespaces are read where every API server has them."""
    assert (RESOURCE.path, RESOURCE.group_resource) == ("/api/v1/namespaces", "namespaces")


def test_a_listing_then_events() -> None:
    """A listing is reported as a whole when it is complete; then each event as it comes."""
    sink, recorder = made()
    listing(sink, "kube-system", "shop")
    sink.stream_started()
    sink.state(WATCHING)
    sink.upsert(raw("bank"))
    sink.upsert(raw("shop", deletionTimestamp="2026-11-25T01:25:08Z"))
    recorder.now += 1
    sink.delete(raw("shop"))
    assert recorder.calls == [
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
    sink, recorder = made()
    sink.begin()
    sink.upsert(raw("kube-system"))
    sink.upsert(raw("shop"))
    sink.delete(raw("shop"))
    sink.upsert_during_listing(raw("bank"), new=True)
    sink.finish()
    assert recorder.take_calls() == [("gone", "shop", NOW), ("list", "bank", "kube-system", NOW)]


def test_each_request_is_recorded() -> None:
    """A listing and a watch may each be answered by another server; both are written down when they are accepted."""
    sink, recorder = made()
    sink.begin()
    assert recorder.stream_started_at == {"namespaces": NOW}
    recorder.now += 5
    sink.stream_started()
    assert recorder.stream_started_at == {"namespaces": NOW + 5}


def test_a_listing_that_is_cut_short_replaces_nothing() -> None:
    """Only what it did bring is reported."""
    sink, recorder = made()
    sink.begin()
    sink.upsert(raw("kube-system"))
    sink.abort()
    sink.state(FORBIDDEN)
    assert recorder.calls == [("came", "kube-system")]
    listing(sink, "kube-system", "shop")
    assert recorder.take_calls() == [("list", "kube-system", "shop", NOW)]


def test_live_only_while_it_is_watched() -> None:
    """A failure ends it, a resumed watch brings it back, a listing in between does nothing; each is reported once."""
    sink, recorder = made()
    sink.state(FAILED)
    listing(sink, "kube-system")
    sink.state(WATCHING)
    sink.state(WATCHING)
    listing(sink, "kube-system")
    sink.state(FAILED)
    sink.state(WATCHING)
    assert [call for call in recorder.calls if call[0] == "live"] == [("live", True), ("live", False), ("live", True)]


@pytest.mark.parametrize("names", [[], ["shop"]], ids=["empty", "without kube-system"])
def test_a_listing_without_kube_system_is_ignored(names: list[str]) -> None:
    """Every cluster has kube-system: an answer without it must not make every other namespace count as deleted."""
    sink, recorder = made()
    listing(sink, "kube-system", "shop")
    sink.state(WATCHING)
    recorder.take_calls()
    with capture_logs() as logs:
        listing(sink, *names)
    assert recorder.take_calls() == [("live", False)]
    assert [line["event"] for line in logs] == ["namespaces_disbelieved"]
    listing(sink, "kube-system")
    assert recorder.take_calls() == [("list", "kube-system", NOW), ("live", True)]


@pytest.mark.parametrize("name", [None, 7, "", ["x"], "n" * 64])
def test_an_unreadable_name_in_a_listing(name: object) -> None:
    """It may be any namespace: none counts as deleted for not being listed."""
    sink, recorder = made()
    listing(sink, "kube-system", name)
    sink.state(WATCHING)
    assert recorder.take_calls() == []
    listing(sink, "kube-system")
    assert recorder.take_calls() == [("list", "kube-system", NOW), ("live", True)]


def test_an_unreadable_event() -> None:
    """Its content was missed: not live until everything is listed again, whatever the watch does."""
    sink, recorder = made()
    listing(sink, "kube-system", "shop")
    sink.state(WATCHING)
    recorder.take_calls()
    sink.delete(b'{"metadata": {}}')
    sink.state(FAILED)
    sink.state(WATCHING)
    assert recorder.take_calls() == [("live", False)]
    listing(sink, "kube-system")
    assert recorder.take_calls() == [("list", "kube-system", NOW), ("live", True)]
