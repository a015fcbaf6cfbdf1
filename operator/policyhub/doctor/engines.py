"""The engines by their source objects, read once: how old results are, which lists are cut, which reports superseded.

`policyhub.cluster.engines` decides whether an engine is silent, an audit stale or a list cut, here and for the
condition EnginesReporting.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from policyhub.api.reason import Cause
from policyhub.cluster import engines
from policyhub.cluster.engines import SILENT_AFTER
from policyhub.cluster.formatting import counted, some, span
from policyhub.cluster.remedies import DOCTOR
from policyhub.cluster.snapshot import EnginesSeen
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery
from policyhub.kube.resource import Resource
from policyhub.model.engines import GATEKEEPER
from policyhub.model.source_apis import CONSTRAINTS, SOURCE_GROUPS
from policyhub.model.text import line
from policyhub.model.violation import Malformed, ParsedReport
from policyhub.render.listing import listing
from policyhub.render.raw_object import RawObject, ReadError
from policyhub.sources import reader
from policyhub.sources.event_logs import event_log_sources
from policyhub.sources.reports import PLAUSIBLE_AHEAD_SECONDS
from policyhub.sync.freshness import listed
from policyhub.sync.superseded import Superseded

_MOST = 30
"""Engines that are shown at most: whoever may write a report chooses the name of its engine."""


@dataclass(slots=True)
class Seen:
    """A summary of all source objects of a cluster."""

    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    """(Engine, API group) → the newest time (Unix s) in its results."""
    superseded: Superseded = field(default_factory=Superseded)
    """Reports in an API that their engine no longer writes, by the operator's own rule."""
    objects: int = 0
    unlisted: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Constraint → how many violations its list has, and how many it leaves out."""
    unaudited: dict[str, int] = field(default_factory=dict)
    """Constraint without an audit → when it was created (Unix s; 0: unknown)."""
    audited: dict[str, int] = field(default_factory=dict)
    """Constraint → when its last audit began (Unix s)."""
    problems: list[str] = field(default_factory=list)
    """Read errors, each with its object."""

    def take(self, reading: ParsedReport) -> None:
        self.objects += 1
        logs = event_log_sources(reading)
        for engine, at in reading.newest_by:
            key = engine, reading.key.group
            if engine not in logs:
                self.newest[key] = max(at, self.newest.get(key, 0))
            self.superseded.note(reading.key.group, engine, reading.key.namespace, at)
        if reading.key.group != CONSTRAINTS:
            return
        name = f"{reading.key.resource}/{reading.key.name}"
        if reading.audited is None:
            self.unaudited[name] = reading.created or 0
        else:
            self.audited[name] = reading.audited
        if reading.unlisted:
            self.unlisted[name] = listed(reading), reading.unlisted

    def engines(self, exclude: Iterable[str] = ()) -> EnginesSeen:
        """The input of `policyhub.cluster.engines`, without excluded engines: their silence is no problem."""
        excluded = {name.strip().casefold() for name in exclude}
        newest: dict[str, int] = {}
        for (engine, group), at in self.newest.items():
            if group != CONSTRAINTS and engine.casefold() not in excluded:
                newest[engine] = max(at, newest.get(engine, 0))
        if GATEKEEPER in excluded:
            return EnginesSeen(newest=newest)
        return EnginesSeen(
            newest=newest,
            audited=max(self.audited.values(), default=0),
            audits=len(self.audited),
            unaudited=self.unaudited,
            unlisted=self.unlisted,
        )


async def read_engines(connection: Connection, discovery: Discovery, *, now: float) -> Seen:
    """Read every source object once, page by page."""
    seen = Seen()
    resources = {(r.group, r.kind): r for r in discovery.served}

    def take(item: RawObject | ReadError) -> None:
        if isinstance(item, ReadError):
            seen.problems.append(str(item))
        elif (resource := resources.get((item.api_version.partition("/")[0], item.kind))) is not None:
            _take(seen, resource, item, now)

    await listing(connection, {r.group for r in discovery.served}, take)
    return seen


def _take(seen: Seen, resource: Resource, item: RawObject, now: float) -> None:
    try:
        seen.take(reader.read(resource.group, resource.plural, item.raw, latest=int(now) + PLAUSIBLE_AHEAD_SECONDS))
    except (Malformed, msgspec.MsgspecError) as error:
        seen.problems.append(f"{item.location}: {error}")


# -- checks; all pure -------------------------------------------------------------------------------------------------


def evaluate(
    about: str,
    seen: Seen,
    *,
    now: float,
    silent_after: Mapping[str, float] = SILENT_AFTER,
    exclude: Iterable[str] = (),
) -> list[CheckResult]:
    """The results of all checks of engines; `exclude`: engines that the MonitoredCluster excludes."""
    included = seen.engines(exclude)
    results = [*_unread(about, seen), *_silent(about, seen, included, now=now, silent_after=silent_after)]
    results.append(superseded(about, seen))
    if included.audits or included.unaudited:
        most = engines.most_of(silent_after, GATEKEEPER)
        fresh = f"the last audit of {counted(included.audits, 'constraint')} began {span(now - included.audited)} ago"
        stale = engines.stale_audit(included, now=now, most=most)
        results += [truncated(about, included), _result("gatekeeper-audit", about, stale, fresh)]
    return results


def _result(check: str, about: str, cause: Cause | None, otherwise: str) -> CheckResult:
    """A problem with this cause; `otherwise` is what was found without one."""
    return fine(check, about, otherwise) if cause is None else problem(check, about, cause.message, remedy=cause.remedy)


def _unread(about: str, seen: Seen) -> Iterator[CheckResult]:
    if seen.problems:
        yield unchecked("engines", about, f"could not be read: {some(seen.problems)}", remedy=DOCTOR["engines"])


def _silent(
    about: str, seen: Seen, included: EnginesSeen, *, now: float, silent_after: Mapping[str, float]
) -> Iterator[CheckResult]:
    """One result for each engine that writes reports, and one more for those beyond `_MOST`."""
    for engine, at in engines.ordered(included, silent_after)[:_MOST]:
        most = engines.most_of(silent_after, engine)
        found = f"the newest result of {line(engine, engines.NAME)} is {span(now - at)} old"
        if most == math.inf:
            found += ", but its age does not show whether the engine works"
        yield _result("engines", about, engines.silent(engine, at, now=now, most=most), found)
    if len(included.newest) > _MOST:
        more = len(included.newest) - _MOST
        found = f"{counted(more, 'more engine')} not checked: only {_MOST} are"
        yield unchecked("engines", about, found, remedy=DOCTOR["engines/more"])
    if not seen.newest and seen.objects and not (seen.audited or seen.unaudited):
        yield fine("engines", about, f"no result in {counted(seen.objects, 'report')} has a time")


def superseded(about: str, seen: Seen) -> CheckResult:
    """By the operator's own rule: reports far older than the same engine's newest report in the other API."""
    seen.superseded.evaluate(all_listed=True)
    replaced = seen.superseded.replaced()
    if not replaced:
        return fine("superseded-reports", about, "no engine has left outdated reports in another API")
    found = some(
        f"{line(engine, engines.NAME)} now writes to {now} and has left outdated reports in {group}"
        for engine, group, now in replaced
    )
    commands = [f"kubectl get {_resources(group)} -A" for group in sorted({group for _, group, _ in replaced})]
    engine = line(replaced[0][0], engines.NAME)
    remedy = DOCTOR["superseded-reports"].format(engine=engine, commands="; ".join(commands))
    return problem("superseded-reports", about, found, remedy=remedy)


def _resources(group: str) -> str:
    return ",".join(f"{plural}.{group}" for plural in SOURCE_GROUPS[group].resources)


def truncated(about: str, seen: EnginesSeen) -> CheckResult:
    """Whether constraints list all violations that they count."""
    cut = engines.cut_lists(seen)
    return _result("gatekeeper-limit", about, cut, "every constraint lists all of its violations")
