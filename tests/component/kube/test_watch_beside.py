"""A watch beside a list of several pages: events arrive at once, override older pages, and nothing is lost."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from policyhub.kube import changed_names
from policyhub.kube.changed_names import ChangedNames, NameBudget
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import Access
from policyhub.kube.reflector import Reflector
from tests.component.kube.apiserver import RESOURCE, Answer, ApiServer, Watch, refusal, status
from tests.component.kube.mirror import Mirror, until
from tests.component.kube.test_reflector import filled, running


def at_page(api: ApiServer, offset: int, do: Callable[[], Awaitable[None]]) -> None:
    """Run once before the page at this offset is answered."""
    left = [do]

    async def before(start: int) -> None:
        if start == offset and left:
            await left.pop()()

    api.before_page = before


async def beside(api: ApiServer) -> Watch:
    """The watch beside the running list."""
    await until(lambda: api.watches)
    return api.watches[0]


async def test_an_event_arrives_before_the_last_page() -> None:
    """The watch starts at the version of the pages, and continues after them: no second one is opened."""
    api = filled(6, page_size=2)
    async with running(api) as rig:

        async def write() -> None:
            await beside(api)
            assert rig.reflector.state.phase == "listing", "the state is not complete before the end"
            api.put("new")
            await until(lambda: "new" in rig.mirror.objects)
            assert "finish" not in rig.mirror.calls
            assert "r004" not in rig.mirror.objects

        at_page(api, 4, write)
        await rig.equal()
        assert [params["resourceVersion"] for params in api.asked("watch")] == ["106"]
        assert rig.mirror.calls[-3:] == ["upsert r004", "upsert r005", "finish"]
        assert rig.mirror.phases == [("listing", ""), ("watching", "")]
        assert rig.mirror.opens == 2, "at the beginning of the watch, and when the listing is complete"
        api.put("later")
        await rig.equal()
        assert len(api.asked("watch")) == 1
        assert rig.reflector.counters.objects == len(api.objects)


async def test_events_override_pages() -> None:
    """Deleted, changed, deleted and created again, created and deleted: no older page changes the result."""
    api = filled(8, page_size=2)
    async with running(api) as rig:

        async def write() -> None:
            await beside(api)
            api.delete("r004")
            api.put("r005", results=["changed"])
            api.delete("r006")
            api.put("r006", results=["again"])
            api.put("short")
            api.delete("short")
            api.delete("r000")  # which a page has brought
            await until(lambda: "delete r000" in rig.mirror.calls)

        at_page(api, 4, write)
        await rig.equal()
        calls = rig.mirror.calls
        assert "upsert r004" not in calls
        assert [calls.count(f"upsert r00{n}") for n in (5, 6, 7)] == [1, 1, 1]
        assert calls[calls.index("upsert r006") - 1] == "known", "it was made for the second time"
        assert calls[calls.index("upsert short") - 1] == "new"
        assert rig.reflector.counters.objects == len(api.objects)
        assert len(rig.reflector._changed_names) == 0


class Forward(Mirror):
    """Records objects that went back to an older version."""

    def __init__(self) -> None:
        super().__init__()
        self.backward: list[str] = []
        self._versions: dict[str, int] = {}

    def upsert(self, raw: msgspec.Raw) -> None:
        super().upsert(raw)
        self._note(raw)

    def delete(self, raw: msgspec.Raw) -> None:
        super().delete(raw)
        self._note(raw)

    def _note(self, raw: msgspec.Raw) -> None:
        metadata = msgspec.json.decode(raw)["metadata"]
        name, version = metadata["name"], int(metadata["resourceVersion"])
        if version < self._versions.get(name, 0):
            self.backward.append(name)
        self._versions[name] = version


def busy(api: ApiServer, rng: random.Random) -> Callable[[int], Awaitable[None]]:
    """Write before each page, cut and end watches, send bookmarks."""

    async def write(_: int) -> None:
        for _ in range(rng.randrange(6)):
            name = f"r{rng.randrange(30):03}"
            if name in api.objects and rng.random() < 0.5:
                api.delete(name)
            else:
                api.put(name, results=[rng.random()])
        if api.watches and rng.random() < 0.3:
            rng.choice([Watch.cut, Watch.end])(api.watches[0])
        if rng.random() < 0.3:
            api.bookmark()
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)

    return write


@pytest.mark.parametrize("seed", range(6))
async def test_no_object_goes_back(seed: int) -> None:
    """At any page, with watches that are cut or end: each object only gets newer, and the final state is right."""
    api = filled(20, page_size=3)
    api.before_page = busy(api, random.Random(seed))  # noqa: S311  (an order of events)
    mirror = Forward()
    async with running(api, mirror=mirror) as rig:

        def relisted(listings: int) -> bool:
            return rig.reflector.counters.listings >= listings

        for listings in range(2, 5):
            await rig.equal()
            assert not mirror.backward
            assert rig.reflector.counters.objects == len(api.objects)
            rig.reflector.request_relist()
            await until(partial(relisted, listings))


async def test_one_page_opens_no_watch_beside_it() -> None:
    """A cluster with few objects needs no more connections than before."""
    api = filled(3)
    async with running(api) as rig:

        async def write() -> None:
            await asyncio.sleep(0.05)
            assert not api.watches

        at_page(api, 0, write)
        await rig.watching()
        assert len(api.asked("watch")) == 1


@pytest.mark.parametrize("version", ["", "0", "1"])
async def test_meaningless_versions_open_no_watch_beside(version: str) -> None:
    """Such watches start by replaying everything, or nothing: no page belongs to the same version."""
    api = filled(4, page_size=2)
    page = {"metadata": {"resourceVersion": version, "continue": "103:2"}, "items": [api.objects["r000"]]}
    api.moments["103"] = dict(api.objects)
    api.answers["list"].append(Answer(200, json.dumps(page).encode()))
    async with running(api) as rig:

        async def write() -> None:
            await asyncio.sleep(0.05)
            assert not api.watches

        at_page(api, 2, write)
        await rig.watching()
        assert rig.api.asked("watch")[0]["resourceVersion"] == "103"


async def test_pages_of_different_versions() -> None:
    """It is unknown whether an event or such a page is newer: the watch starts after the list, at its version."""
    api = filled(6, page_size=2)
    api.fickle = True
    async with running(api) as rig:

        async def write() -> None:
            await beside(api)
            api.put("r003", results=["told"])
            await until(lambda: rig.mirror.calls.count("upsert r003") == 1)

        at_page(api, 2, write)
        await until(lambda: len(api.asked("watch")) == 2)
        await rig.equal()
        assert [params["resourceVersion"] for params in api.asked("watch")] == ["106", "107"]
        assert rig.mirror.calls.count("upsert r003") == 2, "by the event, and by its page"
        assert len(rig.reflector._changed_names) == 0


@pytest.mark.parametrize(
    "first", [refusal(403, "Forbidden"), refusal(410, "Expired"), refusal(404, "NotFound"), refusal(500, "Internal")]
)
async def test_a_refused_watch_beside_leaves_the_list_alone(first: Answer) -> None:
    """The list ends as usual, no failure is reported, and nothing is lost."""
    api = filled(6, page_size=2)
    api.answers["watch"].append(first)
    async with running(api) as rig:

        async def write() -> None:
            await until(lambda: api.asked("watch"))
            await until(lambda: rig.reflector.counters.watches_failed)
            api.put("new")
            api.delete("r005")

        at_page(api, 4, write)
        await rig.equal()
        assert rig.reflector.counters.listings == 1
        assert rig.mirror.phases == [("listing", ""), ("watching", "")]


async def test_a_cut_watch_beside_is_resumed_from_its_last_event() -> None:
    """No event is repeated or missed."""
    api = filled(6, page_size=2)
    async with running(api) as rig:

        async def write() -> None:
            watch = await beside(api)
            api.put("one")
            await until(lambda: "one" in rig.mirror.objects)
            watch.cut()
            await until(lambda: not api.watches)
            api.delete("one")
            await until(lambda: "delete one" in rig.mirror.calls)

        at_page(api, 4, write)
        await rig.equal()
        assert [params["resourceVersion"] for params in api.asked("watch")] == ["106", "107"]
        assert rig.mirror.calls.count("upsert one") == 1


async def test_a_failed_list_ends_the_watch_beside_it() -> None:
    """Remembered events are dropped with it: the next list has a later version."""
    api = filled(6, page_size=2)
    async with running(api) as rig:

        async def write() -> None:
            await beside(api)
            api.delete("r005")
            await until(lambda: "delete r005" in rig.mirror.calls)
            api.put("r005", results=["back"])
            api.expired_continues = 1

        at_page(api, 2, write)
        rig.clock.gate = asyncio.Event()
        await until(lambda: rig.clock.slept)
        await until(lambda: not api.watches)
        assert len(rig.reflector._changed_names) == 0
        rig.clock.gate.set()
        await rig.equal()
        assert rig.mirror.calls.count("finish") == 1


async def test_a_failed_periodic_list_loses_nothing() -> None:
    """The missing pages are older than the watch beside them: a watch resumes from before the list."""
    api = filled(6, page_size=2)
    async with running(api) as rig:
        await rig.watching()

        async def before(start: int) -> None:
            if start == 0 and "between" not in api.objects:
                await until(lambda: not api.watches)
                api.put("between")  # while no watch runs, and after the version of the pages
                api.moments["107"] = dict(api.objects)
            if start == 2 and "beside" not in api.objects:
                await beside(api)
                api.put("beside")
                await until(lambda: "beside" in rig.mirror.objects)
                api.expired_continues = 1

        api.before_page = before
        rig.reflector.request_relist()
        await until(lambda: rig.reflector.counters.listings_failed)
        await until(lambda: len(api.asked("watch")) == 3)
        assert api.asked("watch")[2]["resourceVersion"] == api.asked("watch")[0]["resourceVersion"] == "106"
        await rig.equal()
        assert all(state.live for state in rig.mirror.states[1:])


async def test_a_request_ends_the_continued_watch() -> None:
    """Requested during a list and after it: each time one more list, and never two watches."""
    api = filled(6, page_size=2)
    most = 0
    async with running(api) as rig:

        async def count(start: int) -> None:
            nonlocal most
            if start == 4 and rig.reflector.counters.listings == 0:
                rig.reflector.request_relist()
            most = max(most, len(api.watches))

        api.before_page = count
        await until(lambda: rig.reflector.counters.listings == 2)
        await rig.watching()
        rig.reflector.request_relist()
        await until(lambda: rig.reflector.counters.listings == 3)
        await rig.watching()
        await until(lambda: len(api.watches) == 1)
        assert most <= 2, "one that is ending, and one that begins"


async def test_no_memory_for_an_event() -> None:
    """It arrives again after the list, and remembered events still override pages."""
    api = filled(6, page_size=2)
    async with running(api) as rig:
        rig.reflector._changed_names._budget.free_bytes = 2 * changed_names.size("default/r000")

        async def write() -> None:
            await beside(api)
            for name in ("r004", "r005", "r003", "r002"):
                api.delete(name)
            await until(lambda: not api.watches)
            assert rig.mirror.calls[-2:] == ["delete r004", "delete r005"]

        at_page(api, 4, write)
        await rig.equal()
        assert [params["resourceVersion"] for params in api.asked("watch")] == ["106", "108"]
        assert "upsert r004" not in rig.mirror.calls
        assert rig.reflector.counters.objects == len(api.objects)
        assert rig.reflector._changed_names._budget.free_bytes == 2 * changed_names.size("default/r000")


def test_all_lists_of_a_server_share_one_limit() -> None:
    """Names that one list releases can be used by the others."""
    name_budget = NameBudget(2 * changed_names.size("n/a"))
    one, other = ChangedNames(name_budget), ChangedNames(name_budget)

    def named(name: str) -> msgspec.Raw:
        return msgspec.Raw(json.dumps({"metadata": {"name": name, "namespace": "n"}}).encode())

    assert one.add(named("a"))
    assert not one.add(named("a"))
    assert other.add(named("a"))
    assert (other.full,) == (False,)
    other.add(named("b"))
    assert (other.full,) == (True,)
    one.clear()
    assert one.has(named("a")) is False
    other.clear()
    other.add(named("b"))
    assert (other.full, other.has(named("b")), other.has(named("a"))) == (False, True, False)
    other.add(msgspec.Raw(b'{"metadata": {"name": 7}}'))
    assert len(other) == 1, "an object without a name is no page's"


async def test_cancelling_closes_both_connections() -> None:
    """That of the list and that of the watch."""
    api = filled(6, page_size=2)
    stuck = asyncio.Event()

    async def stall() -> None:
        await beside(api)
        stuck.set()
        await asyncio.Event().wait()

    at_page(api, 4, stall)
    mirror = Mirror()
    async with api.serve(), Connection(Access(server=api.url)) as connection:
        task = asyncio.create_task(Reflector(connection, RESOURCE, mirror).run())
        await stuck.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not api.watches)
        assert mirror.calls[-1] == "abort"


class Faulty(Mirror):
    def stream_started(self) -> None:
        super().stream_started()
        if self.opens == 1:
            raise ValueError("no")


async def test_an_error_of_the_sink_beside_a_list_starts_over() -> None:
    """As for a watch alone."""
    async with running(filled(6, page_size=2), mirror=Faulty()) as rig:
        await rig.equal()
        assert ("failed", "Fault") in rig.mirror.phases


async def test_a_stalled_list_does_not_delay_events() -> None:
    """Events arrive although the next page is not answered, and an expired list starts again."""
    api = filled(6, page_size=2)
    async with running(api) as rig:

        async def stall() -> None:
            watch = await beside(api)
            api.put("new")
            await until(lambda: "new" in rig.mirror.objects)
            watch.send("ERROR", status(410, "Expired"))
            await until(lambda: rig.reflector.counters.watches_failed)

        at_page(api, 4, stall)
        await rig.equal()
        assert rig.reflector.state.live


async def test_an_unknown_event_type_overrides_nothing() -> None:
    """It has no object, so the object's page counts, and nothing is swept."""
    api = filled(6, page_size=2)
    async with running(api) as rig:
        await rig.equal()

        async def write() -> None:
            await until(lambda: len(api.watches) > 0)
            api.watches[-1].send("SYNCED", api.objects["r005"])
            await until(lambda: rig.reflector.counters.others > 0)

        at_page(api, 2, write)
        listings = rig.reflector.counters.listings
        rig.reflector.request_relist()
        await until(lambda: rig.reflector.counters.listings > listings)
        assert "r005" in rig.mirror.objects
