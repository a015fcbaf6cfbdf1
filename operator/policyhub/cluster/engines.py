"""Whether the policy engines of a cluster report: the one judgement of the condition EnginesReporting and the doctor.

| engine                        | writes                                                 | called silent after        |
|-------------------------------|--------------------------------------------------------|----------------------------|
| kyverno…,                     | every report anew at each background scan (1 h)        | 3 h                        |
| validatingadmissionpolicy…    |                                                        |                            |
| kubewarden…                   | every report anew at each run of its scanner (1 h)     | 3 h                        |
| gatekeeper                    | every constraint's status at each audit (1 min)        | 30 min (`stale_audit`)     |
| Trivy's ConfigAudit, Rbac-    | reports whose times are those at which they were first | never: times that stand    |
| and InfraAssessment,          | made, however often Trivy scans                        | still tell of no silence   |
| Compliance                    |                                                        |                            |
| event logs (Falco, Tracee …,  | when something happens                                 | never: quiet is no silence |
| and by what they write)       |                                                        |                            |
| others                        | at least once a day; where not, --silent-after         | 26 h                       |

The alerts of charts/policyhub/alerts have the same times; a test compares them. Pure: no I/O, no clock.
"""

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace

from policyhub.api.reason import Cause, ConditionStatus, Reason
from policyhub.cluster.formatting import MOST, coarse, counted, sentence, some, span
from policyhub.cluster.remedies import ENGINES, OTHERS, REMEDIES
from policyhub.cluster.snapshot import EnginesSeen, Snapshot
from policyhub.sources.engines import GATEKEEPER, KNOWN_ENGINES
from policyhub.sources.event_logs import logs_events
from policyhub.sources.producers import times_stand_still
from policyhub.sources.text import line

HOUR = 3600.0
NEVER_SILENT = (
    "trivy configaudit",
    "trivy rbacassessment",
    "trivy infraassessment",
    "trivy clusterinfraassessment",
    "trivy compliance",
    "falco",
    "jspolicy",
    "tracee",
    "kubearmor",
    "cilium",
    "hubble",
)
"""Engines whose newest time says nothing of whether they work. The Trivy adapter gives every result the
creationTimestamp of Trivy's report (fjogeleit/trivy-operator-polr-adapter v0.11.5), and Trivy rewrites these reports in
place; those of vulnerabilities and secrets it deletes and makes again once a day. The others write events."""
SILENT_AFTER: Mapping[str, float] = {
    "kyverno": 3 * HOUR,
    "kubewarden": 3 * HOUR,
    "validatingadmissionpolicy": 3 * HOUR,
    GATEKEEPER: HOUR / 2,
    **dict.fromkeys(NEVER_SILENT, math.inf),
}
"""What an engine's name begins with → seconds after which its newest result means that it has stopped."""
OTHERS_SILENT_AFTER = 26 * HOUR
NAME = 64
"""Characters of an engine's name."""
MOST_LISTED = 500
"""Violations of a constraint: the most that Gatekeeper recommends for its limit."""


def most_of(silent_after: Mapping[str, float], engine: str) -> float:
    """By the longest beginning of its name that is there, in upper or lower case; of two equal ones the later one."""
    fitting = [name for name in reversed([*silent_after]) if engine.casefold().startswith(name.casefold())]
    if fitting:
        return silent_after[max(fitting, key=len)]
    return math.inf if times_stand_still(engine) or logs_events(engine) else OTHERS_SILENT_AFTER


def ordered(seen: EnginesSeen, silent_after: Mapping[str, float] = SILENT_AFTER) -> list[tuple[str, int]]:
    """Engines that write reports and their newest times: known ones first, by their own names before such as begin
    alike, whatever others are called.
    """
    known = tuple(name.casefold() for name in silent_after)

    def order(one: tuple[str, int]) -> tuple[bool, bool, bool, tuple[str, int]]:
        name = one[0]
        return name not in silent_after, name not in KNOWN_ENGINES, not name.casefold().startswith(known), one

    return sorted(seen.newest.items(), key=order)


def silent(engine: str, newest: int, *, now: float, most: float, exact: bool = True) -> Cause | None:
    """`newest` and `now` in Unix seconds. `exact` false: the age is cut so that it changes seldom."""
    age = now - newest
    if age <= most:
        return None
    called = line(engine, NAME)
    found = f"the newest result of {called} is {span(age if exact else coarse(age))} old, and it should be"
    known = next((m for name, m in ENGINES.items() if engine.casefold().startswith(name)), OTHERS.format(engine=called))
    quiet = f"; if it is so quiet by its nature: {shlex.quote(f'--silent-after={called}=…')}" if exact else ""
    return Cause(Reason.ENGINE_SILENT, f"{found} {span(most)} at most", remedy=known + quiet)


def stale_audit(seen: EnginesSeen, *, now: float, most: float, exact: bool = True) -> Cause | None:
    """Whether Gatekeeper's audit has stopped. `exact` false: a constraint counts as not audited only after that long,
    since each new one waits for the next audit.
    """
    late = sorted(name for name, made in seen.unaudited.items() if exact or now - made > most)
    if not seen.audits and late:
        found = f"no audit yet of {some(late)}"
        return Cause(Reason.NOT_AUDITED, found, remedy=REMEDIES[Reason.AUDIT_STALE])
    age = now - seen.audited
    if seen.audits and age > most:
        ago = span(age if exact else coarse(age))
        found = f"the last audit began {ago} ago, and should have {span(most)} ago at most"
        return Cause(Reason.AUDIT_STALE, found, remedy=REMEDIES[Reason.AUDIT_STALE])
    if late:
        when = f"; others were {span(age)} ago" if exact else ""
        return Cause(Reason.NOT_AUDITED, f"not audited: {some(late)}{when}", remedy=REMEDIES[Reason.NOT_AUDITED])
    return None


def cut_lists(seen: EnginesSeen) -> Cause | None:
    """Whether constraints count more violations than they list."""
    if not seen.unlisted:
        return None
    longest = max(listed for listed, _ in seen.unlisted.values())
    missing = sum(more for _, more in seen.unlisted.values())
    need = max(listed + more for listed, more in seen.unlisted.values())
    told = some(f"{name} lists {listed} of {listed + more}" for name, (listed, more) in sorted(seen.unlisted.items()))
    found = f"{missing} {'violation is' if missing == 1 else 'violations are'} not listed: {told}"
    remedy = REMEDIES[Reason.LISTS_CUT].format(now=longest, need=min(need, MOST_LISTED))
    if need > MOST_LISTED:
        remedy += f"; {MOST_LISTED} is the most that Gatekeeper recommends"
    return Cause(Reason.LISTS_CUT, found, remedy=remedy)


def troubles(seen: EnginesSeen, *, now: float) -> list[Cause]:
    """All of them, for the condition, which has room for a few: what constraints say comes first, since whoever may
    write a report anywhere may name engines that have been silent for years.
    """
    found = [stale_audit(seen, now=now, most=SILENT_AFTER[GATEKEEPER], exact=False), cut_lists(seen)]
    found += [
        silent(engine, at, now=now, most=most_of(SILENT_AFTER, engine), exact=False) for engine, at in ordered(seen)
    ]
    return [trouble for trouble in found if trouble is not None]


def reporting(seen: EnginesSeen) -> str:
    """Of engines that are well."""
    named = [line(engine, NAME) for engine, _ in ordered(seen)]
    if seen.audits:
        named.insert(0, f"gatekeeper ({counted(seen.audits, 'constraint')})")
    if not named:
        return "no engine has given a result with a time yet"
    return f"{some(named)} {'reports' if len(named) == 1 else 'report'} as often as they should".replace(
        "reports as often as they", "reports as often as it"
    )


NO_SOURCE = Cause(
    Reason.NO_SOURCE_SERVED, "the cluster serves no policy reports and no constraints: no policy engine is installed"
)


def condition(seen: Snapshot) -> tuple[ConditionStatus, Cause]:
    """EnginesReporting. Judged only while all that engines write can be seen: else their silence is ours."""
    if seen.connection is not None or seen.findings is None:
        return "Unknown", Cause(Reason.NOT_CONNECTED, "the cluster cannot be read now")
    if seen.discovery is not None:
        return "Unknown", seen.discovery
    if not seen.sources:
        return "False", NO_SOURCE
    if seen.source_faults or not seen.findings.reports_listed:
        return "Unknown", Cause(Reason.SOURCES_INCOMPLETE, "not all that engines write can be seen now")
    found = troubles(seen.engines, now=seen.wall / 1000)
    if not found:
        return "True", Cause(Reason.REPORTING, reporting(seen.engines))
    told = [f"{trouble.message}. {sentence(trouble.remedy)}" for trouble in found[:MOST]]
    more = f". And {len(found) - MOST} more" if len(found) > MOST else ""
    return "False", replace(found[0], message=". ".join([told[0], *map(sentence, told[1:])]) + more)
