"""What the engines have written, read once: how old it is, whether it is whole, and what nobody updates any more.

| engine                      | writes                                                 | called silent after         |
|-----------------------------|--------------------------------------------------------|-----------------------------|
| kyverno…,                   | every report anew at each background scan (1 h)        | 3 h                         |
| validatingadmissionpolicy…  |                                                        |                             |
| kubewarden…                 | every report anew at each run of its scanner (1 h)     | 3 h                         |
| gatekeeper                  | every constraint's status at each audit (1 min)        | 30 min (`gatekeeper-audit`) |
| Trivy …, CIS Kube Bench     | the time at which Trivy's report was made, for months  | never                       |
| others                      | at least once a day; where they do not, --silent-after | 26 h                        |

The same times as of the alerts in charts/policyhub/alerts.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from policyhub.cluster.superseded import OTHER, Superseded
from policyhub.doctor.verdict import Verdict, fine, problem, unchecked
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery
from policyhub.kube.resource import GATEKEEPER, OPEN_REPORTS, POLICY_REPORTS, Resource
from policyhub.render.listing import listing
from policyhub.render.piece import Broken, Piece
from policyhub.sources import reader
from policyhub.sources.constraints import SOURCE
from policyhub.sources.producers import times_stand_still
from policyhub.sources.text import line
from policyhub.sources.violation import Malformed, Reading
from policyhub.sync.view import PLAUSIBLE_AHEAD_SECONDS

HOUR = 3600.0
SILENT_AFTER: Mapping[str, float] = {
    "kyverno": 3 * HOUR,
    "kubewarden": 3 * HOUR,
    "validatingadmissionpolicy": 3 * HOUR,
    SOURCE: HOUR / 2,
}
"""What an engine's name begins with → seconds after which its newest result means that it has stopped."""
OTHERS_SILENT_AFTER = 26 * HOUR
_MENDS: Mapping[str, str] = {
    "kyverno": "look at kyverno-reports-controller: its log, restarts and memory. Errors that it logs only at v=4 stop"
    " all reports, such as a ValidatingAdmissionPolicyBinding with a name of more than 63 characters (then start it"
    " with --validatingAdmissionPolicyReports=false); a restart cures watches that have died",
    "kubewarden": "look at the jobs of kubewarden's audit scanner and at its policy servers",
}
_SHOWN = 5
_NAME = 64
_MOST = 30
"""Engines that are told of; who may write a report may call its engine what he likes."""


@dataclass(slots=True)
class Seen:
    """What all source objects of a cluster came to."""

    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    """(Engine, API group) → the newest time (Unix s) that it gave any result, where times tell that it is at work."""
    superseded: Superseded = field(default_factory=Superseded)
    """Reports that engines left behind in one API, as the operator judges."""
    objects: int = 0
    unlisted: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Constraint → violations that its list has, and that it leaves out."""
    unaudited: list[str] = field(default_factory=list)
    """Constraints without an audit."""
    audited: dict[str, int] = field(default_factory=dict)
    """Constraint → when its last audit began (Unix s)."""
    problems: list[str] = field(default_factory=list)
    """What could not be read."""

    def take(self, reading: Reading) -> None:
        self.objects += 1
        for engine, at in reading.newest_by:
            which = engine, reading.key.group
            if not times_stand_still(engine):
                self.newest[which] = max(at, self.newest.get(which, 0))
            self.superseded.note(reading.key.group, engine, reading.key.namespace, at)
        if reading.key.group != GATEKEEPER:
            return
        name = f"{reading.key.resource}/{reading.key.name}"
        if reading.audited is None:
            self.unaudited.append(name)
        else:
            self.audited[name] = reading.audited
        if reading.unlisted:
            self.unlisted[name] = len(reading.violations), reading.unlisted


async def look(connection: Connection, discovery: Discovery, *, now: float) -> Seen:
    """Read every source object once, page by page."""
    seen = Seen()
    resources = {(r.group, r.kind): r for r in discovery.served}
    async for piece in listing(connection, {r.group for r in discovery.served}):
        if isinstance(piece, Broken):
            seen.problems.append(str(piece))
            continue
        resource = resources.get((piece.api_version.partition("/")[0], piece.kind))
        if resource is not None:
            _take(seen, resource, piece, now)
    return seen


def _take(seen: Seen, resource: Resource, piece: Piece, now: float) -> None:
    try:
        seen.take(reader.read(resource.group, resource.plural, piece.raw, latest=int(now) + PLAUSIBLE_AHEAD_SECONDS))
    except (Malformed, msgspec.MsgspecError) as error:
        seen.problems.append(f"{piece.place}: {error}")


# -- judgements; all pure ---------------------------------------------------------------------------------------------


def judge(about: str, seen: Seen, *, now: float, silent_after: Mapping[str, float] = SILENT_AFTER) -> list[Verdict]:
    """Everything that can be told from what was seen."""
    verdicts = [*_unread(about, seen), *silent(about, seen, now=now, silent_after=silent_after), frozen(about, seen)]
    if seen.audited or seen.unaudited:
        verdicts += [truncated(about, seen), audit(about, seen, now=now, most=most_of(silent_after, SOURCE))]
    return verdicts


def _unread(about: str, seen: Seen) -> Iterator[Verdict]:
    if seen.problems:
        mend = "policyhub render --live says more of each"
        yield unchecked("engines", about, f"not read: {_some(seen.problems)}", mend=mend)


def silent(about: str, seen: Seen, *, now: float, silent_after: Mapping[str, float]) -> Iterator[Verdict]:
    """One verdict for each engine that writes reports."""
    newest: dict[str, int] = {}
    for (engine, group), at in seen.newest.items():
        if group != GATEKEEPER:
            newest[engine] = max(at, newest.get(engine, 0))
    known = tuple(name.casefold() for name in silent_after)
    ordered = sorted(newest.items(), key=lambda one: (not one[0].casefold().startswith(known), one))
    for engine, at in ordered[:_MOST]:
        age, most = now - at, most_of(silent_after, engine)
        called = line(engine, _NAME)
        told = f"the newest result of {called} is {span(age)} old"
        if age <= most:
            yield fine("engines", about, told)
        else:
            stopped = next((m for name, m in _MENDS.items() if engine.casefold().startswith(name)), "")
            mend = stopped or f"look whether {called} runs, and at its log"
            mend += f"; if it is so quiet by its nature: {shlex.quote(f'--silent-after={called}=…')}"
            yield problem("engines", about, f"{told}, and it should be {span(most)} at most", mend=mend)
    if len(newest) > _MOST:
        yield unchecked("engines", about, f"{len(newest) - _MOST} more engines give results; the first ones are shown")
    if not newest and seen.objects and not (seen.audited or seen.unaudited):
        yield fine("engines", about, f"{seen.objects} reports, and no result in them names a time")


def most_of(silent_after: Mapping[str, float], engine: str) -> float:
    """By the longest beginning of its name that is there, in upper or lower case."""
    fitting = [name for name in silent_after if engine.casefold().startswith(name.casefold())]
    return silent_after[max(fitting, key=len)] if fitting else OTHERS_SILENT_AFTER


def frozen(about: str, seen: Seen) -> Verdict:
    """By the operator's own rule: far older than the same engine's newest in the other API."""
    seen.superseded.settle(all_listed=True)
    left = sorted({(engine, group) for engine, group, _ in seen.superseded.reports})
    if not left:
        return fine("frozen-reports", about, "no engine has left reports of the other API behind")
    told = _some(
        f"{line(engine, _NAME)} writes {OTHER[group]} now and has left its reports in {group}" for engine, group in left
    )
    kinds = {
        POLICY_REPORTS: "policyreports.wgpolicyk8s.io,clusterpolicyreports.wgpolicyk8s.io",
        OPEN_REPORTS: "reports.openreports.io,clusterreports.openreports.io",
    }
    commands = [f"kubectl get {kinds[group]} -A" for group in sorted({group for _, group in left})]
    mend = f"delete what {line(left[0][0], _NAME)} has written there ({'; '.join(commands)});"
    mend += " other engines' reports may lie beside it"
    return problem("frozen-reports", about, told, mend=mend)


def truncated(about: str, seen: Seen) -> Verdict:
    if not seen.unlisted:
        return fine("gatekeeper-limit", about, "every constraint lists all of its violations")
    longest = max(listed for listed, _ in seen.unlisted.values())
    missing = sum(more for _, more in seen.unlisted.values())
    told = _some(
        [f"{name} lists {listed} of {listed + more}" for name, (listed, more) in sorted(seen.unlisted.items())]
    )
    need = max(listed + more for listed, more in seen.unlisted.values())
    mend = f"raise --constraint-violations-limit of Gatekeeper's audit (now {longest}, it seems) to {min(need, 500)}"
    mend += "; 500 is the most that Gatekeeper recommends" if need > 500 else ""
    return problem("gatekeeper-limit", about, f"{missing} violations are not listed: {told}", mend=mend)


def audit(about: str, seen: Seen, *, now: float, most: float) -> Verdict:
    mend = "look at the Pod gatekeeper-audit: its log and restarts, --audit-interval (0 is off), and the folder of"
    mend += " --api-cache-dir, without which every audit fails"
    if not seen.audited:
        return problem("gatekeeper-audit", about, f"no audit yet of {_some(seen.unaudited)}", mend=mend)
    age = now - max(seen.audited.values())
    if age > most:
        told = f"the last audit began {span(age)} ago, and should have {span(most)} ago at most"
        return problem("gatekeeper-audit", about, told, mend=mend)
    if seen.unaudited:
        told = f"not audited: {_some(seen.unaudited)}; others were {span(age)} ago"
        scoped = "a new constraint waits for the next audit; one with enforcementAction scoped needs the point"
        return problem("gatekeeper-audit", about, told, mend=f"{scoped} audit.gatekeeper.sh")
    return fine("gatekeeper-audit", about, f"the last audit of {len(seen.audited)} constraints began {span(age)} ago")


def span(seconds: float) -> str:
    """As people say it, by its greatest unit and the next one: `2 d 3 h`."""
    left = max(0, round(seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    first = next((n for n, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    parts: list[str] = []
    for unit, size in units[first : first + 2]:
        number, left = divmod(left, size)
        if number or not parts:
            parts.append(f"{number} {unit}")
    return " ".join(parts)


def _some(names: Iterable[str]) -> str:
    told = list(names)
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(line(one) for one in told[:_SHOWN]) + more
