"""The guard: a source that loses many findings at once is more likely broken than fixed.

Losses on evidence that is less than certain (deleted reports or results, a deleted policy, shorter lists, deselected
APIs) are counted within one archive delay, because each of them waits that long. Beyond a threshold they are held until
an admin approves them, or until the missing findings are reported again.

| held if it would archive                                  | because                                               |
|-----------------------------------------------------------|-------------------------------------------------------|
| all findings of an engine that has 20 or more             | the engine was removed, or it is rewriting its        |
|                                                           | reports                                               |
| more than 50, and more than 30 % of them                  | a policy set or a tenant was removed by mistake       |
| more than 5,000                                           | even a small share of a large fleet needs a review    |

**A writer in one namespace can neither open nor close the guard for another namespace.** Such a writer can lose or
create any number of findings. So the thresholds are applied

* to each namespace alone: then the losses of that namespace are held;
* to the cluster, without the namespace that lost the most and without the one that has the most;
* to the number of namespaces: more than half of them, and at least two, lost more than 30 % each, and 20 findings or
  more together.

One namespace can still close the guard for another if the others lost 20 findings together, or if more than half of the
namespaces are affected, including itself. It can still open the guard for another if neither most namespaces nor that
other one lost too much.

Cluster-scoped findings form a scope as well. It is never left out: whoever writes there administers the cluster.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from policyhub.clock import NEVER, SteadyMs

ALL_FROM = 20
SOME_ABOVE = 50
SHARE_ABOVE = 0.3
MANY_ABOVE = 5_000
SILENT = "their objects exist, and the engine has not reported on them for 12 hours"
PARTLY_RESTORED = "what was missing has come back in part"

GuardScope = tuple[str, str]
"""A source and a namespace (empty: cluster-scoped)."""


class GuardHold(msgspec.Struct, frozen=True):
    """Why the losses of a source are held."""

    since: SteadyMs
    lost: int
    total: int
    reason: str = PARTLY_RESTORED


def threshold_reason(lost: int, total: int) -> str:
    """Why `lost` of `total` active findings are too many at once; empty if they are not."""
    if lost >= ALL_FROM and lost >= total:
        return "these are all of its findings"
    if lost > SOME_ABOVE and lost > SHARE_ABOVE * total:
        return f"these are {100 * lost // total} % of its findings"
    if lost > MANY_ABOVE:
        return f"these are more than {MANY_ABOVE:,}"
    return ""


class Guard:
    """Counts by source and namespace the findings that wait to be archived on uncertain evidence."""

    def __init__(self) -> None:
        self._active: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Findings that are active in Security Hub: source → namespace → number."""
        self._lost: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._held: dict[GuardScope, GuardHold] = {}
        self.released: dict[GuardScope, SteadyMs] = {}
        """When a hold ended by itself. The archive delay starts again: the findings may come back in several steps."""
        self.approved: dict[str, SteadyMs] = {}
        """Until when an admin has approved the losses of a source."""
        self._silent: dict[str, GuardHold] = {}
        """Sources whose findings have waited long for a report on their objects."""
        self._approved_at: dict[str, SteadyMs] = {}
        """When each approval was first seen."""
        self._waiting: dict[str, GuardScope] = {}
        self._refused_scopes: set[GuardScope] = set()
        """Scopes that refused an archive since the last evaluation: if they are not held, it is decided again."""

    # -- counting -------------------------------------------------------------------------------------------------

    def count(self, scope: GuardScope, change: int) -> None:
        """`change` findings became active (negative: are no longer active)."""
        source, namespace = scope
        active = self._active[source]
        active[namespace] += change
        if not active[namespace]:
            del active[namespace]
            if not active:
                del self._active[source]

    def add_lost(self, id_: str, scope: GuardScope) -> None:
        """A finding waits to be archived."""
        if id_ not in self._waiting:
            self._waiting[id_] = scope
            self._lost[scope[0]][scope[1]] += 1

    def forget(self, id_: str) -> None:
        """A finding no longer waits: it was reported again or archived, or its evidence is now better or missing."""
        scope = self._waiting.pop(id_, None)
        if scope is not None:
            lost = self._lost[scope[0]]
            lost[scope[1]] -= 1
            if not lost[scope[1]]:
                del lost[scope[1]]
                if not lost:
                    del self._lost[scope[0]]

    def counts(self, id_: str) -> bool:
        return id_ in self._waiting

    def total(self) -> int:
        """Active findings of all sources."""
        return sum(active.total() for active in self._active.values())

    def active(self, source: str) -> int:
        return self._active[source].total() if source in self._active else 0

    def lost(self, source: str) -> int:
        return self._lost[source].total() if source in self._lost else 0

    def lost_in(self, scope: GuardScope) -> list[str]:
        return [id_ for id_, of in self._waiting.items() if of == scope]

    # -- holding --------------------------------------------------------------------------------------------------

    def is_closed(self, scope: GuardScope, *, now: SteadyMs) -> bool:
        """Whether losses in this scope may not be archived now."""
        if self.is_approved(scope[0], now=now):
            return False
        is_closed = scope in self._held or bool(self._hold_reason(scope))
        if is_closed:
            self._refused_scopes.add(scope)
        return is_closed

    def is_approved(self, source: str, *, now: SteadyMs) -> bool:
        """Whether an admin has approved the losses of the source."""
        return self.approved.get(source, NEVER) > now

    def approve(self, until: Mapping[str, SteadyMs], *, now: SteadyMs) -> None:
        """Set until when the losses of each source are approved."""
        self._approved_at = {source: self._approved_at.get(source, now) for source in until}
        self.approved = dict(until)

    def approval_covers(self, source: str, lost_at: SteadyMs, *, now: SteadyMs) -> bool:
        """Whether an approval covers a loss at that time: it covers only what was visible when it was given."""
        return self.is_approved(source, now=now) and lost_at <= self._approved_at.get(source, now)

    @property
    def held(self) -> dict[str, GuardHold]:
        """By source, with the losses in all its held scopes."""
        found = {source: hold for source, hold in self._silent.items() if not self._holds(source)}
        for (source, _), hold in self._held.items():
            before = found.get(source)
            if before is None:
                found[source] = hold
            else:
                found[source] = GuardHold(
                    since=min(before.since, hold.since),
                    lost=before.lost + hold.lost,
                    total=before.total + hold.total,
                    reason=before.reason if before.reason != PARTLY_RESTORED else hold.reason,
                )
        return found

    def _holds(self, source: str) -> bool:
        return any(held == source for held, _ in self._held)

    def report_silent(self, numbers: Mapping[str, int], *, now: SteadyMs) -> None:
        """Set the number of findings of each source whose loss has had no explanation for long."""
        self._silent = {
            source: GuardHold(
                since=self._silent[source].since if source in self._silent else now,
                lost=number,
                total=self.active(source),
                reason=SILENT,
            )
            for source, number in numbers.items()
            if not self.is_approved(source, now=now)
        }

    def evaluate(self, *, now: SteadyMs) -> tuple[set[GuardScope], set[GuardScope]]:
        """Update what is held; returns the scopes newly held, and those released (by themselves or by approval)."""
        held, released = set(), set()
        wide: dict[str, str] = {}
        for scope in {*self._scopes(), *self._held, *self._refused_scopes}:
            source, namespace = scope
            approved = self.is_approved(source, now=now)
            reason = "" if approved else self._hold_reason(scope, wide)
            before = self._held.get(scope)
            if reason:
                if before is None:
                    held.add(scope)
                self._held[scope] = GuardHold(
                    since=now if before is None else before.since,
                    lost=self._lost[source][namespace],
                    total=self._active[source][namespace] if source in self._active else 0,
                    reason=reason,
                )
            elif before is not None or scope in self._refused_scopes:
                self._held.pop(scope, None)
                released.add(scope)
                if not approved:
                    self.released[scope] = now
        self._refused_scopes.clear()
        return held, released

    def _scopes(self) -> Iterator[GuardScope]:
        for source, lost in self._lost.items():
            for namespace in lost:
                yield source, namespace

    def _hold_reason(self, scope: GuardScope, wide: dict[str, str] | None = None) -> str:
        """Why the scope is held; empty: it is not. `wide` caches the cluster-wide result of each source."""
        source, namespace = scope
        lost = self._lost.get(source)
        if lost is None or namespace not in lost:
            return ""
        active = self._active.get(source, Counter())
        if reason := threshold_reason(lost[namespace], active[namespace]):
            return reason
        if wide is None:
            return self._cluster_wide(lost, active)
        if source not in wide:
            wide[source] = self._cluster_wide(lost, active)
        return wide[source]

    @staticmethod
    def _cluster_wide(lost: Counter[str], active: Counter[str]) -> str:
        """Why all losses of a source are held, regardless of any single namespace."""
        total = lost.total()
        if total < ALL_FROM:
            return ""
        named = [name for name in active if name]
        left_out = {max((name for name in lost if name), key=lost.__getitem__, default=""), ""}
        left_out.add(max(named, key=active.__getitem__, default=""))
        left_out.discard("")
        rest = sum(number for name, number in lost.items() if name not in left_out)
        if reason := threshold_reason(rest, sum(number for name, number in active.items() if name not in left_out)):
            return reason
        affected = sum(lost[name] > SHARE_ABOVE * number for name, number in active.items())
        if affected > 1 and 2 * affected > len(active):
            return f"{affected} of {len(active)} namespaces lost more than {SHARE_ABOVE:.0%} each"
        return ""
