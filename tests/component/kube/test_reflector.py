import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import Access
from policyhub.kube.listing import PAGE
from policyhub.kube.reflector import Reflector
from tests.component.kube.apiserver import RESOURCE, Answer, ApiServer, refusal, status
from tests.component.kube.mirror import Mirror, VirtualClock, until


class Rig:
    """One running reflector and one server, in virtual time. Jitter is always one half."""

    def __init__(
        self, api: ApiServer, connection: Connection, mirror: Mirror, **options: float | tuple[float, float]
    ) -> None:
        self.api = api
        self.mirror = mirror
        self.clock = VirtualClock()
        self.reflector = Reflector(
            connection,
            RESOURCE,
            self.mirror,
            clock=self.clock,
            jitter=lambda: 0.5,
            **options,  # type: ignore[arg-type]  # each test names what it needs
        )

    async def equal(self) -> None:
        await until(lambda: self.reflector.state.live and self.mirror.objects == self.api.objects)

    async def watching(self) -> None:
        await until(lambda: self.reflector.state.live and self.api.watches)

    def age(self, seconds: float) -> None:
        """Pretend that the watch has lasted this long."""
        self.clock.now += seconds


@asynccontextmanager
async def running(
    api: ApiServer, *, mirror: Mirror | None = None, **options: float | tuple[float, float]
) -> AsyncIterator[Rig]:
    async with api.serve(), Connection(Access(server=api.url), read_seconds=5) as connection:
        rig = Rig(api, connection, mirror or Mirror(), **options)
        task = asyncio.create_task(rig.reflector.run())
        try:
            yield rig
            assert not task.done(), "run() ends only by cancellation"
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def filled(count: int, *, page_size: int | None = None, reports_server: bool = False) -> ApiServer:
    api = ApiServer(page_size=page_size, reports_server=reports_server)
    for number in range(count):
        api.put(f"r{number:03}", results=[number])
    return api


# --- listing


async def test_lists_in_pages_then_watches_from_the_listing() -> None:
    """All pages reach the sink between begin and finish, and the watch starts at the list's resourceVersion."""
    async with running(filled(7, page_size=3)) as rig:
        await rig.equal()
        await rig.watching()
        assert rig.mirror.calls == ["begin", *(f"upsert r{n:03}" for n in range(7)), "finish"]
        assert [params.get("continue") for params in rig.api.asked("list")] == [None, "107:3", "107:6"]
        assert rig.api.asked("list")[0] == {"limit": str(PAGE)}
        assert rig.api.asked("watch") == [
            {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "360", "resourceVersion": "107"}
        ]
        assert rig.mirror.phases == [("listing", ""), ("watching", "")]
        assert rig.reflector.state.listed == rig.clock.time()
        assert rig.reflector.counters.listings == 1


async def test_empty_listing() -> None:
    """`items: null`, as Go writes an empty list, is a complete, empty list."""
    async with running(ApiServer()) as rig:
        await rig.watching()
        assert rig.mirror.calls == ["begin", "finish"]


async def test_an_expired_continue_token_starts_over() -> None:
    """After a 410 within a list the sink sweeps nothing; the list starts again with larger pages."""
    api = filled(7, page_size=3)
    api.expired_continues = 2
    async with running(api) as rig:
        await rig.equal()
        assert [call for call in rig.mirror.calls if "upsert" not in call] == [
            "begin", "abort", "begin", "abort", "begin", "finish",
        ]  # fmt: skip
        limits = [params["limit"] for params in api.asked("list") if "continue" not in params]
        assert limits == ["500", "1000", "2000"]
        assert rig.clock.slept == [0.5, 1.0]
        assert rig.mirror.phases == [*[("failed", "ListingExpired")] * 2, ("listing", ""), ("watching", "")]


@pytest.mark.parametrize(
    "answer", [refusal(500, "InternalError"), refusal(429, "TooManyRequests"), Answer(0)], ids=["500", "429", "cut"]
)
async def test_a_failed_page_is_retried(answer: Answer) -> None:
    """A temporary failure in the middle of a list does not discard the earlier pages."""
    api = filled(7, page_size=3)
    api.answers["list"].extend([None, answer])
    async with running(api) as rig:
        await rig.equal()
        assert "abort" not in rig.mirror.calls
        assert [params.get("continue") for params in api.asked("list")][:2] == [None, "107:3"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refusal(403, "Forbidden"), "ListingForbidden"),
        (refusal(401, "Unauthorized"), "Unauthorized"),
        (refusal(500, "InternalError"), "ListingFailed"),
        (refusal(503, "ServiceUnavailable"), "ListingFailed"),
        (Answer(200, b"<html>log in</html>"), "ListingFailed"),
        (Answer(200, b'{"metadata":{},"items":[{"metadata":'), "ListingFailed"),
        (Answer(0), "Unreachable"),
    ],
    ids=["403", "401", "500", "503", "html", "cut short", "no answer"],
)
async def test_a_failed_list_is_retried_with_back_off(answer: Answer, reason: str) -> None:
    """The waits are half of 1, 2, 4 s (full jitter); the state has the reason after each failure, until success."""
    api = filled(2)
    # aiohttp itself repeats a GET once when the connection closes without an answer
    api.answers["list"].extend([answer] * (3 if answer.status else 6))
    async with running(api) as rig:
        await rig.equal()
        assert rig.clock.slept == [0.5, 1.0, 2.0]
        assert rig.mirror.calls == ["begin", "abort"] * 3 + ["begin", "upsert r000", "upsert r001", "finish"]
        assert rig.mirror.phases == [*[("failed", reason)] * 3, ("listing", ""), ("watching", "")]
        assert rig.reflector.counters.listings_failed == 3


async def test_back_off_is_capped() -> None:
    """A refused list is retried within a minute, however long it fails."""
    api = filled(1)
    api.answers["list"].extend([refusal(403, "Forbidden")] * 12)
    async with running(api) as rig:
        await rig.equal()
        assert rig.clock.slept == [0.5, 1, 2, 4, 8, 16] + [30] * 6


async def test_a_permanently_forbidden_list_is_retried_rarely() -> None:
    """403 has its own cap: the first retries come soon, later ones rarely; one log line covers them all."""
    api = filled(1)
    api.answers["list"].extend([refusal(403, "Forbidden")] * 12)
    with capture_logs() as logs:
        async with running(api, forbidden_cap=600) as rig:
            await rig.equal()
    assert rig.clock.slept == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert [(line["event"], line["resource"], line.get("reason")) for line in logs] == [
        ("reflector_failed", "policyreports.wgpolicyk8s.io", "ListingForbidden"),
        ("reflector_recovered", "policyreports.wgpolicyk8s.io", None),
    ]


async def test_retry_after_is_honoured() -> None:
    """Not earlier than the server requests, by header or in the Status, plus jitter."""
    body = {**status(429, "TooManyRequests"), "details": {"retryAfterSeconds": 11}}
    api = filled(1)
    api.answers["list"].extend(
        [refusal(429, "TooManyRequests", {"Retry-After": "7"}), Answer(429, json.dumps(body).encode())]
    )
    async with running(api) as rig:
        await rig.equal()
        assert rig.clock.slept == [7.5, 12.0]


async def test_an_endless_listing_is_refused() -> None:
    """A server that always returns the same continue token makes the list fail."""
    page = Answer(200, b'{"metadata":{"resourceVersion":"5","continue":"x"},"items":[]}')
    api = filled(1)
    api.answers["list"].extend([page, page])
    async with running(api) as rig:
        await rig.equal()
        assert rig.mirror.phases[0] == ("failed", "ListingFailed")
        assert len(api.asked("list")) == 3


async def test_the_event_loop_runs_within_a_page() -> None:
    """A large page does not block the event loop."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    api = filled(1001)
    async with running(api) as rig:
        await until(lambda: api.asked("list"))
        other = asyncio.create_task(count())
        await until(lambda: "begin" in rig.mirror.calls)
        await rig.equal()
        other.cancel()
        assert turns > 5


# --- watch


async def test_events_arrive() -> None:
    """ADDED, MODIFIED and DELETED reach the sink and are counted."""
    async with running(filled(2)) as rig:
        await rig.watching()
        rig.api.put("new")
        rig.api.put("r000", results=["changed"])
        rig.api.delete("r001")
        await rig.equal()
        assert rig.mirror.calls[-3:] == ["upsert new", "upsert r000", "delete r001"]
        counters = rig.reflector.counters
        assert (counters.added, counters.modified, counters.deleted) == (1, 1, 1)
        assert counters.last_event == rig.clock.time()


async def test_a_watch_that_ends_is_resumed_at_once_from_the_last_event() -> None:
    """A normal end costs neither a wait nor a list nor an event."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.put("a")
        await rig.equal()
        rig.age(300)
        rig.api.watches[0].end()
        await until(lambda: len(rig.api.asked("watch")) == 2)
        assert rig.api.asked("watch")[1]["resourceVersion"] == "102"
        assert len(rig.api.asked("list")) == 1
        assert rig.clock.slept == []
        assert rig.mirror.phases == [("listing", ""), ("watching", "")]


async def test_a_bookmark_moves_the_resume_point() -> None:
    """A bookmark changes no object and counts as a sign of life."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.bookmark()
        await until(lambda: rig.reflector.counters.bookmarks)
        rig.age(300)
        rig.api.watches[0].end()
        await until(lambda: len(rig.api.asked("watch")) == 2)
        assert rig.api.asked("watch")[1]["resourceVersion"] == "102"
        assert rig.reflector.counters.last_event == 0
        assert rig.reflector.counters.last_line > 0


async def test_watches_that_end_at_once_back_off() -> None:
    """A server that ends each watch at once is called again after growing waits."""
    api = filled(1)
    api.answers["watch"].extend([Answer(200)] * 3)
    async with running(api) as rig:
        await until(lambda: api.watches)
        assert rig.clock.slept == [0.5, 1.0, 2.0]


async def test_a_cut_connection_is_resumed_from_the_last_event() -> None:
    """Changes while the connection was down are not lost, and cost no list."""
    async with running(filled(2)) as rig:
        await rig.watching()
        rig.api.put("a")
        await rig.equal()
        rig.api.cut()
        rig.api.delete("r001")
        rig.api.put("b")
        await rig.equal()
        assert rig.api.asked("watch")[1]["resourceVersion"] == "103"
        assert len(rig.api.asked("list")) == 1
        assert ("failed", "Unreachable") in rig.mirror.phases
        assert rig.mirror.phases[-1] == ("watching", "")


async def test_a_truncated_event_is_dropped() -> None:
    """A line that the connection cut arrives complete after the resumption."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.watches[0].send_raw(b'{"type":"MODIFIED","object":{"metadata":{"na')
        rig.age(300)
        rig.api.watches[0].end()
        await until(lambda: len(rig.api.asked("watch")) == 2)
        assert rig.reflector.counters.broken_lines == 0


async def test_a_silent_watch_is_dropped_and_resumed() -> None:
    """No byte for the requested time plus a grace: the connection counts as dead."""
    async with running(filled(1), watch_seconds=(0.01, 0.02), idle_grace=0.02) as rig:
        await until(lambda: len(rig.api.asked("watch")) > 2)
        assert ("failed", "Unreachable") in rig.mirror.phases
        assert len(rig.api.asked("list")) == 1
        assert rig.api.asked("watch")[0]["timeoutSeconds"] == "1"


async def test_an_expired_watch_causes_a_list() -> None:
    """After a 410 a new list finds what was deleted in between."""
    async with running(filled(3)) as rig:
        await rig.watching()
        rig.api.cut()
        rig.api.delete("r001")
        rig.api.put("a")
        rig.api.compact()
        await rig.equal()
        assert len(rig.api.asked("list")) == 2
        assert "delete r001" not in rig.mirror.calls
        assert ("failed", "WatchExpired") in rig.mirror.phases


@pytest.mark.parametrize("code", [400, 410])
async def test_a_watch_refused_for_its_version_causes_a_list(code: int) -> None:
    """The same as an HTTP answer, before any event."""
    api = filled(1)
    api.answers["watch"].append(refusal(code, "Expired"))
    async with running(api) as rig:
        await rig.watching()
        assert len(api.asked("list")) == 2


async def test_the_first_410_after_an_outage_lists_at_once() -> None:
    """However long the waits are by then; further ones wait."""
    api = filled(1)
    api.answers["watch"].extend([*[refusal(500, "Down")] * 4, *[refusal(410, "Expired")] * 3])
    async with running(api) as rig:
        await rig.watching()
        assert rig.clock.slept == [0.5, 1, 2, 4, 16, 30]
        assert len(api.asked("list")) == 4


@pytest.mark.parametrize(("code", "reason"), [(500, "WatchFailed"), (403, "WatchForbidden"), (429, "WatchFailed")])
async def test_an_error_event_backs_off_and_resumes(code: int, reason: str) -> None:
    """An ERROR event other than 410 costs a wait, not a list."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.put("a")
        await rig.equal()
        rig.api.watches[0].send("ERROR", status(code, "Told"))
        await until(lambda: len(rig.api.asked("watch")) == 2)
        assert rig.api.asked("watch")[1]["resourceVersion"] == "102"
        assert rig.clock.slept == [0.5]
        assert len(rig.api.asked("list")) == 1
        assert ("failed", reason) in rig.mirror.phases
        assert rig.reflector.counters.errors == 1


async def test_without_the_watch_permission_it_lists_periodically() -> None:
    """Every fifth refused watch in a row is followed by a list, so that the data is not an hour old."""
    api = filled(1)
    api.answers["watch"].extend([refusal(403, "Forbidden")] * 10)
    async with running(api) as rig:
        await rig.watching()
        assert len(api.asked("list")) == 3
        assert rig.clock.slept == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]


async def test_two_broken_lines_in_a_row_cause_a_list() -> None:
    """The first may be an accident of the connection; after a second the events are not reliable."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.watches[0].send_raw(b"{nonsense\n")
        await until(lambda: len(rig.api.asked("watch")) == 2 and rig.api.watches)
        assert len(rig.api.asked("list")) == 1
        rig.api.watches[0].send_raw(b'{"type":"ADDED","object":7}\n')
        await until(lambda: len(rig.api.asked("watch")) == 3)
        assert len(rig.api.asked("list")) == 2
        assert rig.reflector.counters.broken_lines == 2


async def test_unknown_event_types_are_counted_and_ignored() -> None:
    """A later API server may have more types."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.watches[0].send("PROGRESS", {"metadata": {}})
        rig.api.put("a")
        await rig.equal()
        assert rig.reflector.counters.others == 1


async def test_an_object_of_several_megabytes() -> None:
    """The length of an event is not limited by a read buffer."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.api.put("large", message="x" * 6_000_000)
        await rig.equal()


# --- gone


async def test_an_unserved_resource_is_checked_rarely() -> None:
    """404: vanished, nothing is swept, at least five seconds between checks; it is read when it appears."""
    api = filled(1)
    api.answers["list"].extend([refusal(404, "NotFound")] * 3)
    async with running(api) as rig:
        await rig.equal()
        assert rig.mirror.phases == [("vanished", "Vanished"), ("listing", ""), ("watching", "")]
        assert "finish" not in rig.mirror.calls[:6]
        assert rig.clock.slept == [5.5, 6.0, 7.0]


async def test_a_resource_that_vanishes_under_the_watch_sweeps_nothing() -> None:
    """Its objects stay: the owner decides what a vanished API means."""
    api = filled(2)
    async with running(api) as rig:
        await rig.watching()
        api.answers["watch"].append(refusal(404, "NotFound"))
        api.answers["list"].append(refusal(404, "NotFound"))
        before = dict(rig.mirror.objects)
        rig.clock.gate = asyncio.Event()
        rig.age(300)
        api.watches[0].end()
        await until(lambda: rig.reflector.state.phase == "vanished")
        assert rig.mirror.objects == before
        rig.clock.gate.set()
        await rig.watching()
        assert rig.reflector.state.reason is None


# --- a server without paging, bookmarks and versions


async def test_reports_server_is_listed_after_each_watch() -> None:
    """Its version 1 cannot be resumed from: the next list finds a deletion without an event."""
    async with running(filled(600, reports_server=True)) as rig:
        await rig.equal()
        rig.api.put("r000", results=["changed"])
        await rig.equal()
        rig.age(300)
        rig.api.cut()
        rig.api.delete("r001")
        await rig.equal()
        assert [params["resourceVersion"] for params in rig.api.asked("watch")] == ["1", "1"]
        assert len(rig.api.asked("list")) == 2
        assert "delete r001" not in rig.mirror.calls


# --- listing again


async def test_lists_again_periodically() -> None:
    """A watch lasts at most until the next list, whose events it then resumes."""
    async with running(filled(1), relist_interval=100) as rig:
        await rig.watching()
        assert rig.api.asked("watch")[0]["timeoutSeconds"] == "100"
        rig.age(100)
        rig.api.watches[0].end()
        await until(lambda: len(rig.api.asked("watch")) == 2)
        assert rig.reflector.counters.listings == 2
        assert rig.clock.slept == []
        assert rig.mirror.phases[-1] == ("watching", "")


async def test_lists_again_although_the_watch_never_ends() -> None:
    """A server that ignores timeoutSeconds cannot postpone the list."""
    async with running(filled(1), relist_interval=100) as rig:
        await rig.watching()
        rig.age(101)
        rig.api.put("a")
        await until(lambda: rig.reflector.counters.listings == 2)
        await rig.equal()


async def test_a_requested_list() -> None:
    """request_relist() ends the running watch; two requests count once."""
    async with running(filled(1)) as rig:
        await rig.watching()
        rig.reflector.request_relist()
        rig.reflector.request_relist()
        await until(lambda: len(rig.api.asked("watch")) == 2)
        await rig.watching()
        assert rig.reflector.counters.listings == 2
        assert rig.clock.slept == []
        assert rig.mirror.phases == [("listing", ""), ("watching", "")]


async def test_a_request_ends_a_wait() -> None:
    """Whoever has fixed the cause need not wait for the back-off."""
    api = filled(1)
    api.answers["list"].append(refusal(403, "Forbidden"))
    async with running(api) as rig:
        rig.clock.gate = asyncio.Event()
        await until(lambda: rig.clock.slept)
        rig.reflector.request_relist()
        await rig.equal()


async def test_a_request_during_a_list_causes_one_more() -> None:
    """The running list may be past the object of the request."""
    api = filled(4, page_size=2)
    async with running(api) as rig:
        asked = False

        async def ask(offset: int) -> None:
            nonlocal asked
            if offset and not asked:
                asked = True
                rig.reflector.request_relist()

        api.before_page = ask
        await until(lambda: rig.reflector.counters.listings == 2)
        await rig.watching()
        assert rig.reflector.counters.listings == 2


async def test_events_continue_while_a_list_fails() -> None:
    """A refused list sweeps nothing and does not stop events; the state shows the failure."""
    api = filled(2)
    async with running(api) as rig:
        await rig.watching()
        api.answers["list"].extend([refusal(403, "Forbidden")])
        rig.reflector.request_relist()
        await until(lambda: len(api.asked("watch")) == 2 and api.watches)
        api.put("a")
        await rig.equal()
        state = rig.reflector.state
        assert (state.phase, state.reason) == ("watching", "ListingForbidden")
        rig.age(60)
        api.put("b")
        await until(lambda: rig.reflector.state.reason is None)
        await rig.equal()
        assert all(state.live for state in rig.mirror.states[2:])


# --- the end, and faults


async def test_cancellation_leaves_no_connection() -> None:
    """Cancelled within the watch; the server sees the connection end."""
    api = filled(1)
    async with api.serve(), Connection(Access(server=api.url)) as connection:
        task = asyncio.create_task(Reflector(connection, RESOURCE, Mirror()).run())
        await until(lambda: api.watches)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not api.watches)


async def test_cancellation_within_a_listing_aborts_it() -> None:
    """A cancelled list has replaced nothing."""
    api = filled(4, page_size=2)
    stuck = asyncio.Event()

    async def stall(offset: int) -> None:
        if offset:
            stuck.set()
            await asyncio.Event().wait()

    api.before_page = stall
    mirror = Mirror()
    async with api.serve(), Connection(Access(server=api.url)) as connection:
        task = asyncio.create_task(Reflector(connection, RESOURCE, mirror).run())
        await stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert mirror.calls == ["begin", "upsert r000", "upsert r001", "abort"]


async def test_an_error_of_the_sink_does_not_end_the_resource() -> None:
    """An exception at the end of a list stops nothing else: everything is read again."""
    async with running(filled(2)) as rig:
        await rig.watching()
        rig.mirror.finish_fault = ZeroDivisionError("sink")
        rig.reflector.request_relist()
        await until(lambda: ("failed", "Fault") in rig.mirror.phases)
        await rig.equal()


async def test_an_object_that_the_sink_rejects() -> None:
    """Listed or watched: the others of its page follow, the watch continues, the object is counted and logged with its
    name.
    """
    api = filled(3)
    with capture_logs() as logs:
        async with running(api) as rig:
            rig.mirror.fault = ZeroDivisionError("sink")
            await rig.watching()
            assert rig.mirror.calls == ["begin", "upsert r000", "upsert r001", "upsert r002", "finish"]
            rig.mirror.fault = ValueError("7" * 5_000)
            api.put("a")
            api.put("b")
            api.delete("r001")
            await until(lambda: rig.mirror.calls[-1] == "delete r001")
            assert rig.reflector.counters.unreadable == 2
            assert rig.reflector.counters.watches == rig.reflector.counters.listings == 1
            assert [type(error) for _, error in rig.mirror.unread] == [ZeroDivisionError, ValueError]
    output = [line for line in logs if line["event"] == "object_unreadable"]
    assert [line["object"] for line in output] == ["default/r000", "default/a"]
    assert all(len(line["error"]) <= 500 for line in output)


async def test_a_flood_of_rejected_objects_logs_little() -> None:
    """Each object once, few lines a minute, with the number of omitted ones; a sink that fails while naming stops
    nothing.
    """
    api = filled(60)
    with capture_logs() as logs:
        async with running(api) as rig:
            rig.mirror.always = ZeroDivisionError("sink")
            await until(lambda: rig.reflector.counters.listings == 1)
            assert rig.reflector.counters.unreadable == 60
            rig.age(61)
            rig.api.put("last")
            await until(lambda: rig.reflector.counters.unreadable == 61)
    output = [line for line in logs if line["event"] == "object_unreadable"]
    assert len(output) == 21
    assert output[-1]["left_out_before"] == 41  # 40 objects, and once the sink


async def test_an_object_nested_too_deeply() -> None:
    """A thousand brackets in one object: its page and its watch are read, and only its name is processed."""
    deep = b"[" * 3_000 + b"]" * 3_000
    api = filled(2)
    page = b'{"metadata":{"resourceVersion":"102"},"items":[{"metadata":{"name":"deep","namespace":"a"},"spec":%b},%b]}'
    good = json.dumps(api.objects["r001"]).encode()
    api.answers["list"].append(Answer(200, page % (deep, good)))
    async with running(api) as rig:
        await rig.watching()
        assert "r001" in rig.mirror.objects
        rig.api.watches[0].send_raw(b'{"type":"ADDED","object":{"metadata":{"name":"deeper"},"spec":%b}}\n' % deep)
        rig.api.put("after")
        await until(lambda: "after" in rig.mirror.objects)
        assert rig.reflector.counters.unreadable == 2
        assert rig.reflector.counters.listings == 1
        assert [type(error) for _, error in rig.mirror.unread] == [RecursionError] * 2


async def test_hundreds_of_watches_at_once() -> None:
    """The number of watches is not limited by the connection pool."""
    api = filled(1)
    async with api.serve(), Connection(Access(server=api.url)) as connection:
        reflectors = [Reflector(connection, RESOURCE, Mirror()) for _ in range(250)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reflector.run()) for reflector in reflectors]
            await until(lambda: len(api.watches) == len(tasks))
            for task in tasks:
                task.cancel()
