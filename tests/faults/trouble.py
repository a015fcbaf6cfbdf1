"""The faults by name: how each begins, and how it ends and tells how often it has hit."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import fault
from tests.faults.arena import Arena
from tests.faults.proxy import EVERYTHING, OWNERS, PODS, STALL_SECONDS, Fault

End = Callable[[], int]
"""Ends the fault; how often it hit."""


@dataclass(frozen=True)
class Trouble:
    begin: Callable[[Arena, random.Random], End]
    lasts: tuple[float, float] = (1.0, 4.0)
    """Seconds."""
    slack: float = 0.0
    """How many seconds later than otherwise news may come."""
    aside: bool = False
    """Whether it is no part of the mixture."""


def api(ill: Fault, *, slack: float = 0.0, lasts: tuple[float, float] = (1.0, 4.0)) -> Trouble:
    """Between the operator and the API server."""

    def begin(arena: Arena, _: random.Random) -> End:
        arena.gate.misbehave(ill)
        return arena.gate.behave

    return Trouble(begin, slack=slack, lasts=lasts)


def hub(kind: str, *, lasts: tuple[float, float] = (1.0, 4.0), **options: object) -> Trouble:
    """The local Security Hub's own."""

    def begin(arena: Arena, rng: random.Random) -> End:
        number = arena.hub.fault(kind, seed=rng.randrange(1000), **options)
        return lambda: arena.hub.clear_fault(number)

    return Trouble(begin, lasts=lasts)


def behind(arena: Arena, _: random.Random) -> End:
    """Listings of Pods, ReplicaSets and Jobs are as of now for as long as it lasts."""
    listed = arena.world.cluster.request("GET", PODS[0], limit=1)
    arena.gate.misbehave(fault.stale(listed["metadata"]["resourceVersion"], below=OWNERS))
    return arena.gate.behave


def unknown(arena: Arena, _: random.Random) -> End:
    """Pods, ReplicaSets and Jobs may not be listed while an operator starts: rules of RBAC that are not read yet."""
    arena.gate.misbehave(fault.refused(403, "Forbidden", below=OWNERS, share=1.0))
    arena.kill()
    arena.start()
    return arena.gate.behave


def unread(kind: str) -> Trouble:
    """GetFindings cannot be believed, or refuses, while an operator starts: it has nothing else to go by."""

    def begin(arena: Arena, _: random.Random) -> End:
        started = time.time()
        number = arena.hub.fault(kind, operation="GetFindings", delay_seconds=30.0)
        arena.kill()
        arena.start()

        def end() -> int:
            if kind == "lag":
                arena.doubts.lags.append((started, time.time()))
            return arena.hub.clear_fault(number)

        return end

    return Trouble(begin, lasts=(3.0, 5.0))


def token(arena: Arena, _: random.Random) -> End:
    """The service account's token has expired; a new one is in the kubeconfig when the fault ends."""
    arena.gate.revoke(arena.token())

    def end() -> int:
        arena.sign_in()
        return arena.gate.hits

    return end


def disabled(arena: Arena, _: random.Random) -> End:
    before = arena.refused("InvalidAccess")
    arena.hub.enable(on=False)

    def end() -> int:
        arena.hub.enable(on=True)
        return arena.refused("InvalidAccess") - before

    return end


def killed(arena: Arena, _: random.Random) -> End:
    arena.kill()
    arena.start()
    return lambda: 1


def killed_young(arena: Arena, rng: random.Random) -> End:
    """Twice: the second time while it starts, signs in or reads its inventory."""
    arena.kill()
    arena.start(wait=False)
    time.sleep(rng.uniform(0.5, 5.0))
    arena.kill()
    arena.start()
    return lambda: 2


def ended(arena: Arena, _: random.Random) -> End:
    arena.world.operator.stop()
    arena.start()
    return lambda: 1


def two_at_once(arena: Arena, _: random.Random) -> End:
    """As where nothing keeps two replicas apart: the older one goes when the younger one is at work."""
    older, started = arena.world.operator, time.time()
    arena.start()

    def end() -> int:
        older.kill()
        arena.doubts.overlaps.append((started, time.time() + 2.0))
        return 1

    return end


def jump(*seconds: int) -> Trouble:
    def begin(arena: Arena, rng: random.Random) -> End:
        arena.jump(rng.choice(seconds))
        return lambda: 1

    return Trouble(begin)


STALE = 3 * STALL_SECONDS
"""An accepted watch that says nothing is like one of a quiet cluster, and the next one may stall again."""

NONE = "none"
TROUBLES: dict[str, Trouble] = {
    NONE: Trouble(lambda _, __: lambda: 1, aside=True),
    "api: connections cut": api(fault.cut()),
    "api: stalled": api(fault.silent(), slack=STALE),
    "api: watches stalled under way": api(fault.frozen(), slack=STALE),
    "api: 410 of a watch": api(fault.outdated()),
    "api: 410 within a watch": api(fault.overtaken()),
    "api: 410, pages expire": api(fault.pages(), lasts=(9.0, 11.0)),
    "api: 429": api(fault.refused(429, "TooManyRequests", wait="1")),
    "api: 500": api(fault.refused(500, "InternalError")),
    "api: 503": api(fault.refused(503, "ServiceUnavailable")),
    "api: 403": api(fault.refused(403, "Forbidden", share=0.8)),
    "api: 401": api(fault.refused(401, "Unauthorized")),
    "api: token expired": Trouble(token, lasts=(2.0, 4.0)),
    "api: 404 of groups": api(fault.group_gone()),
    "api: partial discovery, groups missing": api(fault.group_unlisted()),
    "api: partial discovery, group 503": api(fault.group_failing()),
    "api: partial discovery, version 503": api(fault.version_failing()),
    "api: listings torn": api(fault.torn_listing(), lasts=(5.0, 9.0)),
    "api: watches torn": api(fault.torn_watch()),
    "api: slow bytes": api(fault.slow(), slack=3.0),
    "api: bookmarks lost": api(fault.unbookmarked(), lasts=(9.0, 10.0)),
    "owners: connections cut": api(fault.cut(below=OWNERS)),
    "owners: stalled": api(fault.silent(below=OWNERS), slack=STALE),
    "owners: watches stalled under way": api(fault.frozen(below=OWNERS), slack=STALE),
    "owners: 410 of a watch": api(fault.outdated(below=OWNERS)),
    "owners: 410 within a watch": api(fault.overtaken(below=OWNERS)),
    "owners: 410, pages expire": api(fault.pages(below=OWNERS), lasts=(9.0, 11.0)),
    "owners: 500": api(fault.refused(500, "InternalError", below=OWNERS)),
    "owners: 403": api(fault.refused(403, "Forbidden", below=OWNERS, share=1.0)),
    "owners: Pods alone, 403": api(fault.refused(403, "Forbidden", below=PODS, share=1.0)),
    "owners: 403 at a start": Trouble(unknown, lasts=(3.0, 6.0)),
    "owners: listings torn": api(fault.torn_listing(below=OWNERS), lasts=(5.0, 9.0)),
    "owners: listings fall behind": Trouble(behind, lasts=(3.0, 6.0)),
    "owners: watches torn": api(fault.torn_watch(below=OWNERS)),
    "owners: slow bytes": api(fault.slow(below=OWNERS), slack=3.0),
    "owners: bookmarks lost": api(fault.unbookmarked(below=OWNERS), lasts=(9.0, 10.0)),
    "home: connections cut": api(fault.cut(below=EVERYTHING)),
    "home: 500": api(fault.refused(500, "InternalError", below=EVERYTHING)),
    "home: 401": api(fault.refused(401, "Unauthorized", below=EVERYTHING)),
    "hub: throttle storm": hub("throttle", probability=0.8, lasts=(3.0, 8.0)),
    "hub: throttled now and then": hub("throttle", probability=0.5, lasts=(8.0, 12.0)),
    "hub: 500": hub("error500", probability=0.6),
    "hub: time-out before the write": hub("timeout_before", probability=0.4, delay_seconds=8.0),
    "hub: time-out after the write": hub("timeout_after", probability=0.4, delay_seconds=8.0),
    "hub: cut before the write": hub("timeout_before", probability=0.4, delay_seconds=0.0),
    "hub: cut after the write": hub("timeout_after", probability=0.4, delay_seconds=0.0),
    "hub: partial failures": hub("partial", probability=0.7, share=0.3),
    "hub: GetFindings lags at a start": unread("lag"),
    "hub: GetFindings denied at a start": unread("access_denied"),
    "hub: access denied": hub("access_denied", probability=0.8),
    "hub: credentials expired": hub("expired"),
    "hub: disabled": Trouble(disabled),
    "operator: kill -9": Trouble(killed),
    "operator: kill -9 while starting": Trouble(killed_young),
    "operator: SIGTERM": Trouble(ended),
    "operator: two at once": Trouble(two_at_once),
    "operator: clock jumps ahead": jump(600, 7200),
    "operator: clock jumps back": jump(-600, -7200),
}
MIXED = "mixed"
FAULTS = (*TROUBLES, MIXED)
