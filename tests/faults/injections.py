"""The injectable faults by name: how each begins, and how it ends and counts its hits."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import fault
from tests.faults.harness import Harness
from tests.faults.proxy import EVERYTHING, OWNERS, PODS, STALL_SECONDS, Fault

End = Callable[[], int]
"""Ends the fault; returns how often it hit."""


@dataclass(frozen=True)
class Injection:
    begin: Callable[[Harness, random.Random], End]
    lasts: tuple[float, float] = (1.0, 4.0)
    """Shortest and longest duration in seconds."""
    slack: float = 0.0
    """How many seconds later than usual changes may arrive."""
    never_mixed: bool = False
    """Whether the fault is never part of a mixture."""


def api(proxy_fault: Fault, *, slack: float = 0.0, lasts: tuple[float, float] = (1.0, 4.0)) -> Injection:
    """A fault between the operator and the API server."""

    def begin(harness: Harness, _: random.Random) -> End:
        harness.proxy.inject(proxy_fault)
        return harness.proxy.clear_fault

    return Injection(begin, slack=slack, lasts=lasts)


def hub(kind: str, *, lasts: tuple[float, float] = (1.0, 4.0), **options: object) -> Injection:
    """A fault of the local Security Hub."""

    def begin(harness: Harness, rng: random.Random) -> End:
        number = harness.hub.fault(kind, seed=rng.randrange(1000), **options)
        return lambda: harness.hub.clear_fault(number)

    return Injection(begin, lasts=lasts)


def behind(harness: Harness, _: random.Random) -> End:
    """Lists of Pods, ReplicaSets and Jobs show the state at the start of the fault."""
    listed = harness.world.cluster.request("GET", PODS[0], limit=1)
    harness.proxy.inject(fault.stale(listed["metadata"]["resourceVersion"], below=OWNERS))
    return harness.proxy.clear_fault


def unknown(harness: Harness, _: random.Random) -> End:
    """Listing Pods, ReplicaSets and Jobs is refused while an operator starts, as before RBAC rules take effect."""
    harness.proxy.inject(fault.refused(403, "Forbidden", below=OWNERS, share=1.0))
    harness.kill()
    harness.start()
    return harness.proxy.clear_fault


def unread(kind: str) -> Injection:
    """GetFindings is outdated or refused while an operator starts and has no other source."""

    def begin(harness: Harness, _: random.Random) -> End:
        started = time.time()
        number = harness.hub.fault(kind, operation="GetFindings", delay_seconds=30.0)
        harness.kill()
        harness.start()

        def end() -> int:
            if kind == "lag":
                harness.unknown_outcomes.lags.append((started, time.time()))
            return harness.hub.clear_fault(number)

        return end

    return Injection(begin, lasts=(3.0, 5.0))


def token(harness: Harness, _: random.Random) -> End:
    """The service account's token has expired; the kubeconfig gets a new one when the fault ends."""
    harness.proxy.revoke(harness.token())

    def end() -> int:
        harness.renew_token()
        return harness.proxy.hits

    return end


def disabled(harness: Harness, _: random.Random) -> End:
    before = harness.refused("InvalidAccess")
    harness.hub.enable(on=False)

    def end() -> int:
        harness.hub.enable(on=True)
        return harness.refused("InvalidAccess") - before

    return end


def killed(harness: Harness, _: random.Random) -> End:
    harness.kill()
    harness.start()
    return lambda: 1


def killed_young(harness: Harness, rng: random.Random) -> End:
    """Two kills: the second one while the operator starts, signs in or reads its inventory."""
    harness.kill()
    harness.start(wait=False)
    time.sleep(rng.uniform(0.5, 5.0))
    harness.kill()
    harness.start()
    return lambda: 2


def ended(harness: Harness, _: random.Random) -> End:
    harness.world.operator.stop()
    harness.start()
    return lambda: 1


def two_at_once(harness: Harness, _: random.Random) -> End:
    """As if nothing kept two replicas apart: the older one is killed after the younger one has started."""
    older, started = harness.world.operator, time.time()
    harness.start()

    def end() -> int:
        older.kill()
        harness.unknown_outcomes.overlaps.append((started, time.time() + 2.0))
        return 1

    return end


def jump(*seconds: int) -> Injection:
    def begin(harness: Harness, rng: random.Random) -> End:
        harness.jump(rng.choice(seconds))
        return lambda: 1

    return Injection(begin)


STALE = 3 * STALL_SECONDS
"""An accepted watch that stays silent looks like that of a quiet cluster, and the next one may stall again."""

NONE = "none"
INJECTIONS: dict[str, Injection] = {
    NONE: Injection(lambda _, __: lambda: 1, never_mixed=True),
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
    "api: token expired": Injection(token, lasts=(2.0, 4.0)),
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
    "owners: 403 at a start": Injection(unknown, lasts=(3.0, 6.0)),
    "owners: listings torn": api(fault.torn_listing(below=OWNERS), lasts=(5.0, 9.0)),
    "owners: listings fall behind": Injection(behind, lasts=(3.0, 6.0)),
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
    "hub: disabled": Injection(disabled),
    "operator: kill -9": Injection(killed),
    "operator: kill -9 while starting": Injection(killed_young),
    "operator: SIGTERM": Injection(ended),
    "operator: two at once": Injection(two_at_once),
    "operator: clock jumps ahead": jump(600, 7200),
    "operator: clock jumps back": jump(-600, -7200),
}
MIXED = "mixed"
FAULTS = (*INJECTIONS, MIXED)
