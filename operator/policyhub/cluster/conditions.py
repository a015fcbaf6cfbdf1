"""The conditions of a MonitoredCluster, built from its snapshot.

| condition        | True                                            | not True (the first reason that applies)        |
|------------------|-------------------------------------------------|-------------------------------------------------|
| Connected        | the API server answers and is the same cluster  | why it does not                                 |
| HubReachable     | Security Hub accepts findings of this account   | the missing permission or setting, and where    |
| SourcesComplete  | every served source is listed and watched       | which sources are not, and why                  |
| InSync           | Security Hub matches the cluster                | what is not read or sent yet, or was rejected   |
| InputAccepted    | all reports and constraints were fully accepted | what was rejected, truncated or not understood, |
|                  |                                                 | by namespace                                    |
| EnginesReporting | an engine is served, each reports as often as   | which engine is silent, stale or truncates its  |
|                  | it should, and no list is truncated             | lists                                           |
| ArchiveHeld      | (bad) an engine lost too many findings at once  | nothing is held                                 |
| IdentityConflict | (bad) identity and cluster are not one to one   | there is no conflict                            |
| OwnersKnown      | Pods' owners are listed, watched and verified   | what prevents that                              |
| PoliciesKnown    | policies are listed and watched                 | what prevents that                              |
| Ready            | findings are sent and archived as they should   | the first condition that prevents it            |

Ready is True while findings are sent. Its reason is then the first problem that remains (`_remaining_problem`), or
AllWell if there is none. In mode DryRun it is True with the reason DryRun, because that mode is configured to send
nothing. Each message ends with what to do (`policyhub.cluster.remedies`).

Pure: no I/O, no clock.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace

from policyhub.api.reason import Cause, ConditionStatus, Nature, Reason, Trait
from policyhub.api.status import ConditionType
from policyhub.clock import SteadyMs
from policyhub.cluster import approval, conflict, engines, insync
from policyhub.cluster.accepted import accepted
from policyhub.cluster.conflict import NAMES, UID
from policyhub.cluster.formatting import counted, some
from policyhub.cluster.remedies import HELD_UNTIL, with_remedy
from policyhub.cluster.shown import left_out
from policyhub.cluster.snapshot import Snapshot
from policyhub.model.text import line

NAME = 253
MESSAGE_PART = 512
"""Maximum length of the message of one source, where a condition names several."""

_FINE = "the findings of this cluster are up to date"

ConditionState = tuple[ConditionType, ConditionStatus, Cause]
"""A condition, its status, and why."""


def conditions(seen: Snapshot, *, was_in_sync: bool, now: SteadyMs) -> list[ConditionState]:
    """All conditions, Ready first. `was_in_sync`: whether InSync was True in the last status."""
    barring, shared = conflict.barring(seen), conflict.shared(seen)
    required: list[ConditionState] = [
        _either("Connected", seen.connection, Reason.CONNECTED, _connected(seen)),
        _either(
            "HubReachable",
            _hub_fault(seen),
            Reason.REACHABLE,
            f"Security Hub of account {seen.account}, {seen.region} accepts findings",
        ),
        _either("SourcesComplete", _sources_fault(seen), *_sources_good(seen)),
        _either(
            "InSync",
            insync.fault(seen, was_in_sync=was_in_sync, now=now),
            Reason.IN_SYNC,
            f"Security Hub matches the cluster{insync.would_archive(seen)}",
        ),
    ]
    owners = _owners(seen)
    states = [
        *required,
        owners,
        _policies(seen),
        ("EnginesReporting", *engines.condition(seen)),
        _by_reason("InputAccepted", accepted(seen.findings)),
        _by_reason("ArchiveHeld", guarded(seen)),
        _by_reason(
            "IdentityConflict",
            barring
            or shared
            or Cause(
                Reason.NO_CONFLICT,
                "no other cluster uses this identity, and this cluster has no findings under another one",
            ),
        ),
    ]
    final = {
        type_: (type_, status, replace(fault, message=with_remedy(type_, fault))) for type_, status, fault in states
    }
    failing = [
        final[type_][2] for type_, status, fault in required if status != "True" and fault.reason is not Reason.DRY_RUN
    ]
    if barring is not None:
        failing.insert(0, final["IdentityConflict"][2])
    unknown = owners[1] != "True" and owners[2].reason.nature_in("OwnersKnown") is not Nature.CHOICE
    if unknown and seen.connection is None:
        owned = final["OwnersKnown"][2].message
        failing.append(Cause(Reason.OWNERS_UNKNOWN, f"{_OWNERS_UNKNOWN} (condition OwnersKnown): {owned}"))
    ready = failing[0] if failing else _remaining_problem(seen, final)
    return [
        ("Ready", "True" if not failing else "Unknown" if ready.reason.untried else "False", ready),
        *final.values(),
    ]


def _remaining_problem(seen: Snapshot, final: Mapping[ConditionType, ConditionState]) -> Cause:
    """The cause of a True Ready: the first problem that remains in full, the conditions of the others by name."""
    found: list[tuple[str, Cause]] = []
    if seen.mode == "DryRun":  # before any problem, because nothing is sent
        found.append(("", Cause(Reason.DRY_RUN, final["InSync"][2].message)))
    if seen.guarded:
        found.append(("ArchiveHeld", Cause(Reason.ARCHIVE_HELD, f"{_FINE}, but: {final['ArchiveHeld'][2].message}")))
    if final["EnginesReporting"][1] == "False":
        lacking = final["EnginesReporting"][2]
        found.append(("EnginesReporting", replace(lacking, message=f"{_FINE}, but: {lacking.message}")))
    if seen.clock_moved:
        found.append(("", Cause(Reason.CLOCK_MOVED, f"{_FINE}; {_clock(seen)}")))
    if Trait.BESIDE in (shared := final["IdentityConflict"][2]).reason.traits:
        found.append(("IdentityConflict", replace(shared, message=f"{_FINE}; {shared.message}")))
    if final["InputAccepted"][1] == "False":  # what a tenant writes never makes the cluster unready, but it is shown
        refused = final["InputAccepted"][2]
        found.append(("InputAccepted", Cause(Reason.INPUT_REFUSED, f"{_FINE}, but: {refused.message}")))
    if final["OwnersKnown"][2].reason in {Reason.FORBIDDEN, Reason.EXISTENCE_FORBIDDEN}:
        found.append(("OwnersKnown", Cause(Reason.OWNERS_FORBIDDEN, f"{_FINE}; {final['OwnersKnown'][2].message}")))
    if not found:
        return Cause(Reason.ALL_WELL, _FINE)
    first = found[0][1]
    others = [type_ for type_, _ in found[1:] if type_]
    if not others:
        return first
    return replace(first, message=f"{first.message} (other conditions with a problem: {', '.join(others)})")


_OWNERS_UNKNOWN = (
    "it is not known which Pods belong to which workload: new violations may be missing, and nothing is archived"
)


def _either(type_: ConditionType, fault: Cause | None, reason: Reason, message: str) -> ConditionState:
    return (type_, "True", Cause(reason, message)) if fault is None else _by_reason(type_, fault)


def _by_reason(type_: ConditionType, cause: Cause) -> ConditionState:
    return type_, cause.reason.status, cause


def _connected(seen: Snapshot) -> str:
    invalid = seen.cluster_uid and uid(seen) is None
    more = "; the uid of its namespace kube-system is invalid and therefore not shown"
    return "the API server answers" + (more if invalid else "")


def uid(seen: Snapshot) -> str | None:
    """The uid of the cluster, if it is a valid one."""
    return seen.cluster_uid if UID.fullmatch(seen.cluster_uid) else None


def _hub_fault(seen: Snapshot) -> Cause | None:
    return seen.account_fault or seen.reading or seen.hub


def _sources_fault(seen: Snapshot) -> Cause | None:
    if (fault := seen.connection) is not None:
        return fault if fault.reason.untried else Cause(Reason.NOT_CONNECTED, f"not connected: {fault.message}")
    if seen.discovery is not None:
        return seen.discovery
    faults = seen.source_faults
    if not faults:
        return None
    named = "; ".join(
        f"{line(source_api, NAME)}: {line(fault.message, MESSAGE_PART)}"
        for source_api, fault in sorted(faults.items())[:5]
    )
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    first = min(faults.items(), key=lambda item: (item[1].reason is Reason.LISTING, item[0]))[1]
    return Cause(first.reason, named + more + left_out(seen.sources))


def _sources_good(seen: Snapshot) -> tuple[Reason, str]:
    if not seen.sources:
        return engines.NO_SOURCE.reason, engines.NO_SOURCE.message
    kept = seen.kept
    more = (
        f"; {counted(kept, 'finding')} of constraint kinds that are no longer served {_be(kept)} kept" if kept else ""
    )
    watched = sum(1 for source in seen.sources if not source.vanished)
    complete = f"{counted(watched, 'source')} {_be(watched)} listed and watched{more}{left_out(seen.sources)}"
    if seen.findings is not None and seen.findings.superseded:
        superseded = seen.findings.superseded
        left = ", ".join(f"{line(source, NAME)} in {group}" for source, group in superseded[:NAMES])
        others = f", and {len(superseded) - NAMES} more" if len(superseded) > NAMES else ""
        return (
            Reason.SUPERSEDED_REPORTS,
            f"{complete}; reports that their engine no longer updates are ignored and can be deleted: {left}{others}",
        )
    return Reason.COMPLETE, complete


def _owners(seen: Snapshot) -> ConditionState:
    """OwnersKnown: which objects roll up to which. Every failure except a missing permission makes Ready not True."""
    type_: ConditionType = "OwnersKnown"
    if not seen.roll_up:
        off = f"spec.rollUp is false: findings are not rolled up{_unchecked_kinds(seen)}"
        return _by_reason(type_, Cause(Reason.ROLL_UP_OFF, off))
    faults = seen.owners.faults
    if seen.owners.watched and not faults:
        message = f"Pods, their owners and the owners' controllers are listed and watched{_unverified_owners(seen)}"
        if seen.owners.unchecked_kinds:
            return _by_reason(type_, Cause(Reason.EXISTENCE_FORBIDDEN, message + _unchecked_kinds(seen)))
        return _by_reason(type_, Cause(Reason.WATCHED, message))
    failures = [fault for fault in faults if fault.reason is not Reason.LISTING]
    if not failures:
        message = "Pods, their owners and the owners' controllers are still being listed"
        return type_, "Unknown", Cause(Reason.LISTING, message)
    first = min(failures, key=lambda fault: fault.reason is Reason.FORBIDDEN)
    return _by_reason(type_, Cause(first.reason, first.message + _unverified_owners(seen) + _unchecked_kinds(seen)))


def _unchecked_kinds(seen: Snapshot) -> str:
    """Kinds whose existence the operator may not look up: their findings are archived on weaker evidence."""
    if not seen.owners.unchecked_kinds:
        return ""
    return (
        "; the operator may not check whether objects of these kinds still exist:"
        f" {some(seen.owners.unchecked_kinds)}. Their findings are archived after the archive delay, and held if an"
        " engine loses many at once. Allow the operator to get and list these kinds (chart: rbac.existence)"
    )


def _unverified_owners(seen: Snapshot) -> str:
    """Controllers that tenants name and that cannot be verified: shown, but no failure of the cluster."""
    unverified_owners = seen.owners.unverified_owners
    if unverified_owners is None:
        return ""
    one = unverified_owners.objects == 1
    return (
        f"; {counted(unverified_owners.objects, 'object')} in {counted(unverified_owners.namespaces, 'namespace')}"
        f" {'names' if one else 'name'} a controller that cannot be verified, so {'its' if one else 'their'} findings"
        f" are not rolled up. For example, {unverified_owners.example}. Ask the owner of the namespace"
    )


def _policies(seen: Snapshot) -> ConditionState:
    """PoliciesKnown: the texts of policies. Ready does not depend on it: findings are sent without them, too."""
    type_: ConditionType = "PoliciesKnown"
    if not seen.enrichment:
        off = "spec.enrichment is false: findings contain only the texts of reports and constraints"
        return _by_reason(type_, Cause(Reason.ENRICHMENT_OFF, off))
    policies = seen.policies
    if policies is None:
        return type_, "Unknown", Cause(Reason.LISTING, "the policies have not been listed yet")
    faults = policies.faults
    if not faults:
        message = f"{counted(policies.kinds, 'kind')} of policies {_be(policies.kinds)} listed and watched"
        return _by_reason(type_, Cause(Reason.WATCHED, message))
    first = next((faults[name] for name in sorted(faults) if faults[name].reason is not Reason.LISTING), None)
    if first is None or (not policies.settled and first.reason is Reason.DISCOVERY_FAILED):
        return type_, "Unknown", Cause(Reason.LISTING, "the policies have not been listed yet")
    return _by_reason(type_, first)


def _clock(seen: Snapshot) -> str:
    """What the change of the wall clock means for findings, and what to do."""
    minutes = abs(seen.clock_moved) // 60_000
    way = "forward" if seen.clock_moved > 0 else "back"
    return (
        f"the clock of the operator's node was set {way} by {counted(minutes, 'minute')} while the operator ran: times"
        " in findings that were sent before are wrong by as much. These findings are not sent again. Synchronize the"
        " node's clock"
    )


def guarded(seen: Snapshot) -> Cause:
    """The cause of ArchiveHeld."""
    if not seen.guarded:
        return Cause(Reason.NOTHING_HELD, "no engine has lost unusually many findings at once")
    losses = some(
        (
            f"{_shortened(source)}: {hold.lost} of {counted(hold.total, 'active finding')} {_be(hold.lost)} no longer"
            f" reported, {hold.reason}"
            for source, hold in sorted(seen.guarded.items())
        ),
        between="; ",
    )
    return Cause(
        Reason.TOO_MANY_LOST,
        f"{losses}. {HELD_UNTIL} Check that the engine runs and that nobody removed its policies by mistake."
        f" To approve archiving them for one hour: {_approve(seen)}",
    )


def _approve(seen: Snapshot) -> str:
    """The commands that approve the losses of one engine, quoted for a shell whatever the engine's name is."""
    first = min(seen.guarded, key=lambda source: (len(source) > _NAME, source))
    if len(first) > _NAME:
        return (
            f"policyhub archive {shlex.quote(seen.name)} --approve=NAME, where NAME is the engine's name in the product"
            " field policyhub/source of its findings: it is too long to show here"
        )
    approved = f"{approval.ANNOTATION}={approval.quoted(first)}@$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)"
    return (
        f"policyhub archive {shlex.quote(seen.name)} {shlex.quote(f'--approve={first}')}; or: kubectl annotate"
        f' --overwrite monitoredcluster {shlex.quote(seen.name)} "{approved}"'
    )


_NAME = 128
"""Maximum length of an engine's name in a command, which must contain it in full."""
_SHOWN = 64


def _shortened(text: str) -> str:
    return line(text, _SHOWN)


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
