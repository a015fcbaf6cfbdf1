"""The guard: a source that loses many findings at once is more likely broken than mended.

Losses on evidence that is less than certain (reports or results that went, a policy that was deleted, lists that got
shorter, settings that no longer ask) are counted within one archive delay, since that long each of them waits. Beyond
a threshold they are held until a person approves them, or until what was missing comes back.

| held when it would archive                                | because                                               |
|-----------------------------------------------------------|-------------------------------------------------------|
| all of an engine's findings, where there are 20 or more   | the engine was removed, or its reports are being made |
|                                                           | anew                                                  |
| more than 50, and more than 30 % of them                  | a policy set or a tenant went by mistake              |
| more than 5,000                                           | even a small share of a large fleet is worth a look   |

**Nobody who may write in one namespace opens or closes it for another.** Who writes reports there can lose as many
findings as they like, or have any number of them. So the thresholds are looked at

* for each namespace alone, and then hold what that namespace lost;
* for the cluster, without the namespace that lost the most and without the one that has the most;
* by namespaces: where more than half of them, and two at least, lost more than 30 % each, and 20 findings or more
  together.

What one namespace can still do, whatever it loses or has: close it for another where the others lost 20 findings
together, or where more than half of the namespaces are hurt, itself one of them; open it for another where neither most
namespaces nor that one itself lost too much.

What belongs to no namespace is a unit as well, and one that is never left out: who writes there runs the cluster.

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
PARTLY = "what was missing has come back in part"

Unit = tuple[str, str]
"""A source and a namespace; empty for what belongs to none."""


class Hold(msgspec.Struct, frozen=True):
    """Why a source's losses are held."""

    since: SteadyMs
    lost: int
    total: int
    reason: str = PARTLY


def trips(lost: int, total: int) -> str:
    """Why this many losses of this many active findings are too many at once; empty if they are not."""
    if lost >= ALL_FROM and lost >= total:
        return "these are all of its findings"
    if lost > SOME_ABOVE and lost > SHARE_ABOVE * total:
        return f"these are {100 * lost // total} % of its findings"
    if lost > MANY_ABOVE:
        return f"these are more than {MANY_ABOVE:,}"
    return ""


class Guard:
    """Counts, by source and namespace, what waits to be archived on evidence that may err."""

    def __init__(self) -> None:
        self._active: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Findings that are active in Security Hub: source → namespace → number."""
        self._lost: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._held: dict[Unit, Hold] = {}
        self.released: dict[Unit, SteadyMs] = {}
        """When a hold ended by itself: the archive delay begins anew, for what comes back may come back in pieces."""
        self.approved: dict[str, SteadyMs] = {}
        """Until when a person has approved of the losses of a source."""
        self._silent: dict[str, Hold] = {}
        """Sources of which findings have waited long for a report on their objects."""
        self._approved_at: dict[str, SteadyMs] = {}
        """When each of these approvals was first seen."""
        self._waiting: dict[str, Unit] = {}
        self._refused: set[Unit] = set()
        """Units of which something was not archived since they were weighed: what was put aside is decided again
        when they turn out not to be held."""

    # -- counting -------------------------------------------------------------------------------------------------

    def count(self, unit: Unit, change: int) -> None:
        """Findings became active or ceased to be."""
        source, namespace = unit
        active = self._active[source]
        active[namespace] += change
        if not active[namespace]:
            del active[namespace]
            if not active:
                del self._active[source]

    def wait(self, id_: str, unit: Unit) -> None:
        """A finding waits to be archived."""
        if id_ not in self._waiting:
            self._waiting[id_] = unit
            self._lost[unit[0]][unit[1]] += 1

    def forget(self, id_: str) -> None:
        """It does so no longer: it came back, was archived, or better or no evidence was found."""
        unit = self._waiting.pop(id_, None)
        if unit is not None:
            lost = self._lost[unit[0]]
            lost[unit[1]] -= 1
            if not lost[unit[1]]:
                del lost[unit[1]]
                if not lost:
                    del self._lost[unit[0]]

    def knows(self, id_: str) -> bool:
        return id_ in self._waiting

    def total(self) -> int:
        """Active findings, of all sources."""
        return sum(active.total() for active in self._active.values())

    def active(self, source: str) -> int:
        return self._active[source].total() if source in self._active else 0

    def lost(self, source: str) -> int:
        return self._lost[source].total() if source in self._lost else 0

    def waiting(self, unit: Unit) -> list[str]:
        return [id_ for id_, of in self._waiting.items() if of == unit]

    # -- holding --------------------------------------------------------------------------------------------------

    def closed(self, unit: Unit, *, now: SteadyMs) -> bool:
        """Whether losses of this source and namespace may not be archived now."""
        if self.approves(unit[0], now=now):
            return False
        shut = unit in self._held or bool(self._trips(unit))
        if shut:
            self._refused.add(unit)
        return shut

    def approves(self, source: str, *, now: SteadyMs) -> bool:
        """Whether a person approves of what the source has lost."""
        return self.approved.get(source, NEVER) > now

    def approve(self, until: Mapping[str, SteadyMs], *, now: SteadyMs) -> None:
        """Take until when a person approves of what each source has lost."""
        self._approved_at = {source: self._approved_at.get(source, now) for source in until}
        self.approved = dict(until)

    def approves_of(self, source: str, lost_at: SteadyMs, *, now: SteadyMs) -> bool:
        """Whether a person approves of what was lost then: an approval is of what there was to see."""
        return self.approves(source, now=now) and lost_at <= self._approved_at.get(source, now)

    @property
    def held(self) -> dict[str, Hold]:
        """By source, with its losses in all that is held of it."""
        found = {source: hold for source, hold in self._silent.items() if not self._holds(source)}
        for (source, _), hold in self._held.items():
            before = found.get(source)
            if before is None:
                found[source] = hold
            else:
                found[source] = Hold(
                    since=min(before.since, hold.since),
                    lost=before.lost + hold.lost,
                    total=before.total + hold.total,
                    reason=before.reason if before.reason != PARTLY else hold.reason,
                )
        return found

    def _holds(self, source: str) -> bool:
        return any(held == source for held, _ in self._held)

    def report_silent(self, numbers: Mapping[str, int], *, now: SteadyMs) -> None:
        """Take of how many findings of each source nothing explains the loss, for long."""
        self._silent = {
            source: Hold(
                since=self._silent[source].since if source in self._silent else now,
                lost=number,
                total=self.active(source),
                reason=SILENT,
            )
            for source, number in numbers.items()
            if not self.approves(source, now=now)
        }

    def evaluate(self, *, now: SteadyMs) -> tuple[set[Unit], set[Unit]]:
        """Note what is held; returns what newly is, and what is no longer (by itself or approved)."""
        held, released = set(), set()
        wide: dict[str, str] = {}
        for unit in {*self._units(), *self._held, *self._refused}:
            source, namespace = unit
            approved = self.approves(source, now=now)
            reason = "" if approved else self._trips(unit, wide)
            before = self._held.get(unit)
            if reason:
                if before is None:
                    held.add(unit)
                self._held[unit] = Hold(
                    since=now if before is None else before.since,
                    lost=self._lost[source][namespace],
                    total=self._active[source][namespace] if source in self._active else 0,
                    reason=reason,
                )
            elif before is not None or unit in self._refused:
                self._held.pop(unit, None)
                released.add(unit)
                if not approved:
                    self.released[unit] = now
        self._refused.clear()
        return held, released

    def _units(self) -> Iterator[Unit]:
        for source, lost in self._lost.items():
            for namespace in lost:
                yield source, namespace

    def _trips(self, unit: Unit, wide: dict[str, str] | None = None) -> str:
        """`wide` keeps what was found of each source as a whole."""
        source, namespace = unit
        lost = self._lost.get(source)
        if lost is None or namespace not in lost:
            return ""
        active = self._active.get(source, Counter())
        if reason := trips(lost[namespace], active[namespace]):
            return reason
        if wide is None:
            return self._wide(lost, active)
        if source not in wide:
            wide[source] = self._wide(lost, active)
        return wide[source]

    @staticmethod
    def _wide(lost: Counter[str], active: Counter[str]) -> str:
        """Of the whole cluster, whatever any one namespace does."""
        total = lost.total()
        if total < ALL_FROM:
            return ""
        named = [name for name in active if name]
        left_out = {max((name for name in lost if name), key=lost.__getitem__, default=""), ""}
        left_out.add(max(named, key=active.__getitem__, default=""))
        left_out.discard("")
        rest = sum(number for name, number in lost.items() if name not in left_out)
        if reason := trips(rest, sum(number for name, number in active.items() if name not in left_out)):
            return reason
        hurt = sum(lost[name] > SHARE_ABOVE * number for name, number in active.items())
        if hurt > 1 and 2 * hurt > len(active):
            return f"{hurt} of {len(active)} namespaces lost more than {SHARE_ABOVE:.0%} each"
        return ""
