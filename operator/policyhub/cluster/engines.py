"""Whether the policy engines of a cluster report: one rule for the condition EnginesReporting and the doctor.

Each engine's row in model/engines.py says after which time it counts as silent, and why. Otherwise this applies:

| the source                                        | is silent after                                                  |
|---------------------------------------------------|------------------------------------------------------------------|
| gives its results fixed times (`fixed_times`)     | never: the times do not show whether it runs                     |
| writes events (event_logs.py)                     | never: there may be no events                                    |
| any other                                         | 26 h: most write at least once a day; otherwise use              |
|                                                   | --silent-after                                                   |

The alerts in charts/policyhub/alerts have the same times; a test compares them. Pure: no I/O, no clock.
"""

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace

from policyhub.api.reason import Cause, ConditionStatus, Reason
from policyhub.cluster.formatting import MOST, coarse, counted, sentence, some, span
from policyhub.cluster.remedies import ENGINE_SILENT, REMEDIES
from policyhub.cluster.snapshot import EnginesSeen, Snapshot
from policyhub.model.engines import ENGINES, GATEKEEPER, KNOWN_ENGINES, has_fixed_times
from policyhub.model.text import line
from policyhub.sources.event_logs import is_event_log

HOUR = 3600.0
SILENT_AFTER: Mapping[str, float] = {
    prefix: engine.silent_after
    for engine in ENGINES
    if engine.silent_after is not None
    for prefix in engine.name_prefixes()
}
"""Prefix of an engine's name → age of its newest result, in seconds, beyond which the engine counts as silent."""
OTHERS_SILENT_AFTER = 26 * HOUR
_REMEDIES: Mapping[str, str] = {
    prefix: engine.silent_remedy for engine in ENGINES if engine.silent_remedy for prefix in engine.name_prefixes()
}
"""Prefix of an engine's name → what to check when the engine is silent."""
NAME = 64
"""Maximum length of an engine's name in a message."""
MOST_LISTED = 500
"""The highest limit for the violations of a constraint that Gatekeeper recommends."""


def most_of(silent_after: Mapping[str, float], engine: str) -> float:
    """Seconds after which the engine counts as silent: those of the longest prefix of its name, regardless of case; of
    two equal prefixes, the later one.
    """
    fitting = [name for name in reversed([*silent_after]) if engine.casefold().startswith(name.casefold())]
    if fitting:
        return silent_after[max(fitting, key=len)]
    return math.inf if has_fixed_times(engine) or is_event_log(engine) else OTHERS_SILENT_AFTER


def ordered(seen: EnginesSeen, silent_after: Mapping[str, float] = SILENT_AFTER) -> list[tuple[str, int]]:
    """Engines that write reports, with their newest times. First those that `silent_after` names exactly, then other
    known engines, then names with a prefix in `silent_after`, then the rest: no name that somebody invents comes before
    a known engine.
    """
    known = tuple(name.casefold() for name in silent_after)

    def order(one: tuple[str, int]) -> tuple[bool, bool, bool, tuple[str, int]]:
        name = one[0]
        return name not in silent_after, name not in KNOWN_ENGINES, not name.casefold().startswith(known), one

    return sorted(seen.newest.items(), key=order)


def silent(engine: str, newest: int, *, now: float, most: float, exact: bool = True) -> Cause | None:
    """`newest` and `now` are Unix seconds, `most` is seconds. Without `exact` the age is rounded down: the message
    rarely changes.
    """
    age = now - newest
    if age <= most:
        return None
    shown_name = line(engine, NAME)
    found = f"the newest result of {shown_name} is {span(age if exact else coarse(age))} old, and it should be"
    remedy = next((text for prefix, text in _REMEDIES.items() if engine.casefold().startswith(prefix)), "")
    remedy = remedy or ENGINE_SILENT.format(engine=shown_name)
    hint = f"; if it normally reports less often: {shlex.quote(f'--silent-after={shown_name}=…')}" if exact else ""
    return Cause(Reason.ENGINE_SILENT, f"{found} {span(most)} at most", remedy=remedy + hint)


def stale_audit(seen: EnginesSeen, *, now: float, most: float, exact: bool = True) -> Cause | None:
    """Whether Gatekeeper's audit has stopped. Without `exact` a constraint counts as not audited only after `most`
    seconds, because each new one waits for the next audit.
    """
    late = sorted(name for name, made in seen.unaudited.items() if exact or now - made > most)
    if not seen.audits and late:
        found = f"Gatekeeper has not audited any constraint yet: {some(late)}"
        return Cause(Reason.NOT_AUDITED, found, remedy=REMEDIES[Reason.AUDIT_STALE])
    age = now - seen.audited
    if seen.audits and age > most:
        ago = span(age if exact else coarse(age))
        found = f"Gatekeeper's last audit began {ago} ago, and it should have begun {span(most)} ago at most"
        return Cause(Reason.AUDIT_STALE, found, remedy=REMEDIES[Reason.AUDIT_STALE])
    if late:
        when = f"; the audit of the others began {span(age)} ago" if exact else ""
        return Cause(Reason.NOT_AUDITED, f"not audited: {some(late)}{when}", remedy=REMEDIES[Reason.NOT_AUDITED])
    return None


def cut_lists(seen: EnginesSeen) -> Cause | None:
    """Whether constraints have more violations than they list."""
    if not seen.unlisted:
        return None
    longest = max(listed for listed, _ in seen.unlisted.values())
    missing = sum(more for _, more in seen.unlisted.values())
    need = max(listed + more for listed, more in seen.unlisted.values())
    messages = some(
        f"{name} lists {listed} of {listed + more}" for name, (listed, more) in sorted(seen.unlisted.items())
    )
    found = f"{missing} {'violation is' if missing == 1 else 'violations are'} not listed: {messages}"
    remedy = REMEDIES[Reason.LISTS_CUT].format(now=longest, need=min(need, MOST_LISTED))
    if need > MOST_LISTED:
        remedy += f"; {MOST_LISTED} is the most that Gatekeeper recommends"
    return Cause(Reason.LISTS_CUT, found, remedy=remedy)


def problems(seen: EnginesSeen, *, now: float) -> list[Cause]:
    """All problems, those of constraints first, because the condition shows only a few: anyone who may write a report
    can make up engines that have been silent for years.
    """
    found = [stale_audit(seen, now=now, most=SILENT_AFTER[GATEKEEPER], exact=False), cut_lists(seen)]
    found += [
        silent(engine, at, now=now, most=most_of(SILENT_AFTER, engine), exact=False) for engine, at in ordered(seen)
    ]
    return [problem for problem in found if problem is not None]


def reporting(seen: EnginesSeen) -> str:
    """The message if all engines report."""
    named = [line(engine, NAME) for engine, _ in ordered(seen)]
    if seen.audits:
        named.insert(0, f"gatekeeper ({counted(seen.audits, 'constraint')})")
    if not named:
        return "no engine has written a result with a time yet"
    return f"{some(named)} {'reports' if len(named) == 1 else 'report'} as often as they should".replace(
        "reports as often as they", "reports as often as it"
    )


NO_SOURCE = Cause(
    Reason.NO_SOURCE_SERVED, "the cluster serves no policy reports and no constraints: no policy engine is installed"
)


def condition(seen: Snapshot) -> tuple[ConditionStatus, Cause]:
    """The condition EnginesReporting. Unknown unless all reports can be read: otherwise the silence may be our own."""
    if seen.connection is not None or seen.findings is None:
        return "Unknown", Cause(Reason.NOT_CONNECTED, "the cluster cannot be read now")
    if seen.discovery is not None:
        return "Unknown", seen.discovery
    if not seen.sources:
        return "False", NO_SOURCE
    if seen.source_faults or not seen.findings.reports_listed:
        return "Unknown", Cause(Reason.SOURCES_INCOMPLETE, "not all reports and constraints can be read now")
    found = problems(seen.engines, now=seen.wall / 1000)
    if not found:
        return "True", Cause(Reason.REPORTING, reporting(seen.engines))
    messages = [f"{problem.message}. {sentence(problem.remedy)}" for problem in found[:MOST]]
    more = f". And {len(found) - MOST} more" if len(found) > MOST else ""
    return "False", replace(found[0], message=". ".join([messages[0], *map(sentence, messages[1:])]) + more)
