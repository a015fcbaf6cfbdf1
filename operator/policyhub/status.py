"""The status of a MonitoredCluster, made of what its data plane knows.

| condition        | True                                           | not True: the first of …                         |
|------------------|------------------------------------------------|--------------------------------------------------|
| Connected        | the API server answers and is the same cluster | why it does not                                  |
| HubReachable     | Security Hub takes findings of this account    | the permission or setting that is missing, where |
| SourcesComplete  | every served source is seen whole and live     | which is not, and why                            |
| InSync           | Security Hub has what the cluster calls for    | what is still to be read, sent or was refused    |
| InputAccepted    | all that reports and constraints say was taken | what was refused, cut or not understood, whose   |
| ArchiveHeld      | (bad) an engine lost too many findings at once | False                                            |
| IdentityConflict | (bad) findings of this identity are another's  | False                                            |
| Ready            | all of the above are good                      | the reason of the first that is not              |

InSync stays True through the seconds in which a fresh change is on its way: it tells of backlog, not of life.
Texts of the cluster and of Security Hub are shown on one line and cut; in a command they are quoted for a shell.
Pure: no I/O, no clock.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from policyhub import approval
from policyhub.api.scalar import format_time
from policyhub.api.status import Condition, ConditionType, Findings, Hub, Source, Status
from policyhub.dataplane import ADOPT_ANNOTATION, DataPlane, Fault, owner_fault, policy_faults, source_fault
from policyhub.sources.text import line
from policyhub.sync.entry import NEW, NOTIFIED, RESOLVED, SUPPRESSED
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Hold
from policyhub.sync.refusals import Refused
from policyhub.sync.shares import Excess

BACKLOG_MS = 30_000
"""A finding that waits longer than this is backlog."""


def build(plane: DataPlane, *, previous: Mapping[str, Condition], generation: int, now: int) -> Status:
    """`previous` are the conditions last written, by type: their transition times stand while a status does. `now` is
    Unix milliseconds.
    """
    verdicts = _verdicts(plane, previous, now=now)
    moment = datetime.fromtimestamp(now // 1000, UTC)

    def condition(type_: ConditionType, status: str, fault: Fault) -> Condition:
        before = previous.get(type_)
        return Condition(
            type=type_,
            status=status,
            reason=fault.reason,
            message=fault.message,
            observed_generation=generation,
            last_transition_time=before.last_transition_time if before and before.status == status else moment,
        )

    ledger = plane.ledger
    findings = Findings()
    if ledger is not None:
        severities = ledger.severities()
        findings = Findings(
            active=sum(severities.values()),
            critical=severities.get("CRITICAL", 0),
            high=severities.get("HIGH", 0),
            pending=ledger.pending,
            held=sum(ledger.held_reasons().values()),
            past_sla=plane.past_sla,
            **_triage(plane, ledger),
        )
    return Status(
        observed_generation=generation,
        conditions=tuple(condition(*verdict) for verdict in verdicts),
        identity=plane.monitored.identity,
        cluster_uid=plane.state.cluster_uid or None,
        hub=Hub(account_id=plane.account, region=plane.region),
        findings=findings,
        sources=_sources(plane),
    )


def refused(generation: int, fault: Fault, *, previous: Mapping[str, Condition], hub: Hub | None, now: int) -> Status:
    """The status of a MonitoredCluster that cannot be worked on as it is written."""
    before = previous.get("Ready")
    since = (
        before.last_transition_time if before and before.status == "False" else datetime.fromtimestamp(now // 1000, UTC)
    )
    ready = Condition(
        type="Ready",
        status="False",
        reason=fault.reason,
        message=fault.message,
        observed_generation=generation,
        last_transition_time=since,
    )
    return Status(observed_generation=generation, conditions=(ready,), hub=hub)


def timestamp(now: int) -> str:
    """Unix milliseconds as Kubernetes writes times."""
    return format_time(datetime.fromtimestamp(now // 1000, UTC))


Verdict = tuple[ConditionType, str, Fault]


def _verdicts(plane: DataPlane, previous: Mapping[str, Condition], *, now: int) -> list[Verdict]:
    conflict = _conflict(plane)
    was_in_sync = (before := previous.get("InSync")) is not None and before.status == "True"
    good: list[Verdict] = [
        _either("Connected", plane.state.connection, "Connected", "the API server answers"),
        _either(
            "HubReachable",
            _hub_fault(plane),
            "Reachable",
            f"Security Hub of {plane.account}, {plane.region} takes findings",
        ),
        _either("SourcesComplete", _sources_fault(plane), *_sources_good(plane)),
        _either(
            "InSync",
            _sync_fault(plane, was_in_sync=was_in_sync, now=now),
            "InSync",
            f"Security Hub has what the cluster calls for{_would_archive(plane)}",
        ),
    ]
    failing = [fault for _, status, fault in good if status != "True"]
    if conflict is not None:
        failing.insert(0, conflict)
    accepted = _input(plane, now=now)
    ready = failing[0] if failing else Fault("AllWell", "the findings of this cluster are up to date")
    if not failing and accepted[1] == "False":  # what a tenant writes does not make the cluster unready, but is said
        ready = Fault("InputRefused", f"the findings of this cluster are up to date, but: {accepted[2].message}")
    return [
        ("Ready", "True" if not failing else "Unknown" if ready.reason in _UNKNOWN else "False", ready),
        *good,
        _owners(plane),
        _policies(plane),
        accepted,
        ("ArchiveHeld", "True" if plane.guarded else "False", _guarded(plane)),
        (
            "IdentityConflict",
            "True" if conflict else "False",
            conflict or Fault("NoConflict", "no other cluster uses this identity"),
        ),
    ]


_UNKNOWN = frozenset({"Connecting", "NotVerified", "Discovering"})
"""Reasons of what was not tried yet."""


def _either(type_: ConditionType, fault: Fault | None, reason: str, message: str) -> Verdict:
    if fault is None:
        return type_, "True", Fault(reason, message)
    return type_, "Unknown" if fault.reason in _UNKNOWN else "False", fault


def _hub_fault(plane: DataPlane) -> Fault | None:
    fault = plane.state.account or plane.state.reading
    if fault is not None:
        return fault
    trouble = plane.hub_trouble
    return Fault(trouble.reason, trouble.message) if trouble is not None else None


def _sources_fault(plane: DataPlane) -> Fault | None:
    if (fault := plane.state.connection) is not None:
        return fault if fault.reason in _UNKNOWN else Fault("NotConnected", f"not connected: {fault.message}")
    if plane.state.discovery is not None:
        return plane.state.discovery
    faults = plane.source_faults()
    if not faults:
        return None
    named = "; ".join(f"{origin}: {fault.message}" for origin, fault in sorted(faults.items())[:5])
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    first = min(faults.items(), key=lambda item: (item[1].reason == "Listing", item[0]))[1]
    return Fault(first.reason, named + more)


def _sources_good(plane: DataPlane) -> tuple[str, str]:
    if not plane.sources:
        return (
            "NoSourceServed",
            "the cluster serves no policy reports and no constraints: is a policy engine installed?",
        )
    kept = plane.kept()
    more = f"; {kept} findings of constraint kinds that are no longer served are kept for now" if kept else ""
    watched = sum(1 for source in plane.sources.values() if not source.vanished)
    complete = f"{watched} sources are listed and watched{more}"
    if plane.ledger is not None and plane.ledger.frozen:
        left = _some([f"{_shown(source)} in {group}" for source, group in sorted(plane.ledger.frozen)])
        return (
            "FrozenReports",
            f"{complete}; reports that nobody updates any more are ignored and can be deleted: {left}",
        )
    return "Complete", complete


def _owners(plane: DataPlane) -> Verdict:
    """Whether it is known what counts for what: no part of Ready, since without it all counts for itself."""
    if not plane.monitored.spec.roll_up:
        return "OwnersKnown", "False", Fault("RollUpOff", "spec.rollUp is false: every object counts for itself")
    faults = [fault for reflector in plane.owners if (fault := owner_fault(reflector)) is not None]
    if plane.owners and not faults:
        return "OwnersKnown", "True", Fault("Watched", "Pods, ReplicaSets and Jobs are listed and watched")
    told = next((fault for fault in faults if fault.reason != "Listing"), None)
    if told is None:
        return "OwnersKnown", "Unknown", Fault("Listing", "Pods, ReplicaSets and Jobs were not listed yet")
    return "OwnersKnown", "False", told


def _policies(plane: DataPlane) -> Verdict:
    """Whether it is known what policies say of themselves: no part of Ready, since findings stand without it."""
    type_: ConditionType = "PoliciesKnown"
    if not plane.monitored.spec.enrichment:
        return type_, "False", Fault("EnrichmentOff", "spec.enrichment is false: findings say what the reports say")
    library = plane.library
    faults = policy_faults(library) if library is not None else {}
    if library is not None and not faults:
        kinds = len(library.reflectors)
        return type_, "True", Fault("Watched", f"{kinds} kinds of policies are listed and watched")
    told = next((faults[name] for name in sorted(faults) if faults[name].reason != "Listing"), None)
    if told is None or (library is not None and not library.settled and told.reason == "DiscoveryFailed"):
        return type_, "Unknown", Fault("Listing", "the policies were not listed yet")
    return type_, "False", told


def _input(plane: DataPlane, *, now: int) -> Verdict:
    """Whether all that the cluster's objects say was taken: no part of Ready, since whoever may write in one namespace
    must not make the cluster unready.
    """
    type_: ConditionType = "InputAccepted"
    ledger = plane.ledger
    if ledger is None:
        return type_, "Unknown", Fault("NotRead", "nothing was read yet")
    told = [_refused_line(refused) for refused in ledger.refusals.summary()]
    limited = any(set(refused.reasons) & set(Excess) for refused in ledger.refusals.summary())
    exhausted = ledger.shares.exhausted(now=now)
    told += [f"{namespace}: its imports of the day are used up, {IMPORTS_LIMIT}" for namespace in exhausted]
    if not told:
        return type_, "True", Fault("AllAccepted", "all that reports and constraints say was taken")
    more = f"; and {len(told) - TOLD_NAMESPACES} more" if len(told) > TOLD_NAMESPACES else ""
    message = "; ".join(told[:TOLD_NAMESPACES]) + more
    if exhausted and not limited:
        return type_, "False", Fault("ImportsUsedUp", message)
    if limited:
        return type_, "False", Fault("LimitExceeded", message)
    return type_, "False", Fault("NotUnderstood", message)


def _refused_line(refused: Refused) -> str:
    """One namespace: what was refused, with an example."""
    one = refused.refusal
    what = f"{refused.origin}/{refused.name}"
    more = f" (and {refused.objects - 1} more objects)" if refused.objects > 1 else ""
    where = refused.namespace or "outside of namespaces"
    match one.reason:
        case Excess.REPORT_RESULTS:
            said = f"{one.number:,} results in one report, {one.taken:,} taken ({REPORT_LIMIT})"
        case Excess.REPORT_BYTES:
            said = f"a report of {one.number:,} bytes was not read (POLICYHUB_LIMIT_REPORT_BYTES)"
        case Excess.NAMESPACE:
            said = f"{one.number:,} violations in one report, {one.taken or 0:,} taken ({NAMESPACE_LIMIT})"
        case Excess.CLUSTER:
            said = f"{one.number:,} violations in one report, {one.taken or 0:,} taken ({CLUSTER_LIMIT})"
        case _:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(refused.reasons.items())[:5])
            return f"{where}: not understood or not taken: {reasons}, such as in {what}{more}"
    return f"{where}: {said}: {what}{more}; nothing is archived because these objects lack it"


REPORT_LIMIT = "POLICYHUB_LIMIT_REPORT_RESULTS"
NAMESPACE_LIMIT = "its namespace has reached POLICYHUB_LIMIT_NAMESPACE_FINDINGS"
CLUSTER_LIMIT = "the cluster has reached POLICYHUB_LIMIT_CLUSTER_FINDINGS"
IMPORTS_LIMIT = "other changes of its findings wait for tomorrow (POLICYHUB_LIMIT_NAMESPACE_IMPORTS)"
TOLD_NAMESPACES = 10


def _sync_fault(plane: DataPlane, *, was_in_sync: bool, now: int) -> Fault | None:
    ledger = plane.ledger
    if ledger is None:
        fault = plane.state.connection
        return fault if fault and fault.reason in _UNKNOWN else Fault("NotConnected", "the cluster was not read yet")
    if _conflict(plane) is not None:
        return Fault("IdentityConflict", "nothing is sent while another cluster uses this identity")
    if plane.state.account is not None or plane.state.reading is not None:
        return Fault("HubUnreachable", "Security Hub does not take findings, or does not say what it holds")
    if plane.state.inventory is not None:
        return plane.state.inventory
    if not ledger.reports_listed:
        return Fault("Listing", "the first listing of all reports is not complete yet")
    if plane.monitored.spec.mode == "DryRun":
        would = ", ".join(f"{number} {change}" for change, number in sorted(plane.preview.items())) or "none"
        return Fault("DryRun", f"nothing is sent in this mode; findings that would be: {would}")
    if ledger.rejected:
        return Fault(
            "FindingsRejected", f"Security Hub refuses {ledger.rejected} findings for good; the log names each"
        )
    if ledger.pending:
        oldest = ledger.oldest_pending()
        if not was_in_sync or (oldest is not None and now - oldest > BACKLOG_MS):
            return Fault("Pending", f"{ledger.pending} changes wait for Security Hub")
    return None


def _would_archive(plane: DataPlane) -> str:
    """What mode NoArchive keeps."""
    kept = plane.ledger.held_reasons()[Hold.MODE] if plane.ledger is not None else 0
    return f"; {kept} findings would be archived in mode Sync" if kept else ""


def _guarded(plane: DataPlane) -> Fault:
    if not plane.guarded:
        return Fault("NothingHeld", "no engine has lost unusually many findings at once")
    told = _some(
        [
            f"{_shown(source)}: {hold.lost} of {hold.total} active findings are no longer called for, {hold.reason}"
            for source, hold in sorted(plane.guarded.items())
        ],
        between="; ",
    )
    return Fault(
        "TooManyLost",
        f"{told}. None of them is archived until what was missing comes back or somebody approves. Is the engine at"
        f" work, and did nobody remove its policies by mistake? To archive them, for one hour: {_approve(plane)}",
    )


def _approve(plane: DataPlane) -> str:
    """The commands that approve of one engine's losses: as a shell reads them, whatever the engine is called."""
    first = min(plane.guarded, key=lambda source: (len(source) > _NAME, source))
    if len(first) > _NAME:
        return (
            f"policyhub archive {shlex.quote(plane.name)} --approve=NAME, with the name as the product field"
            " policyhub/source of its findings has it, which is too long to be repeated here"
        )
    approved = f"{approval.ANNOTATION}={approval.quoted(first)}@$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)"
    return (
        f"policyhub archive {shlex.quote(plane.name)} {shlex.quote(f'--approve={first}')}; or: kubectl annotate"
        f' --overwrite monitoredcluster {shlex.quote(plane.name)} "{approved}"'
    )


_NAME = 128
"""Characters of a foreign name that a command repeats; it must be whole there."""
_SHOWN = 64
_MOST = 5
"""Things that a message names of many."""


def _shown(text: str) -> str:
    return line(text, _SHOWN)


def _some(told: list[str], *, between: str = ", ") -> str:
    more = f"{between}and {len(told) - _MOST} more" if len(told) > _MOST else ""
    return between.join(told[:_MOST]) + more


def _conflict(plane: DataPlane) -> Fault | None:
    if plane.claimed_twice:
        return Fault(
            "ClaimedTwice",
            f"MonitoredCluster {plane.claimed_twice} has the same identity and hub; delete one of the two",
        )
    ledger = plane.ledger
    if ledger is None or not ledger.foreign:
        return None
    uid, number = ledger.foreign.most_common(1)[0]
    cure = "Give this cluster another identity"
    if uid and len(uid) <= _NAME:
        adopt = shlex.quote(f"{ADOPT_ANNOTATION}={uid}")
        cure += "; or, if it is the same cluster rebuilt, take them over: kubectl annotate monitoredcluster"
        cure += f" {shlex.quote(plane.name)} {adopt}"
    return Fault(
        "OtherCluster",
        f"Security Hub holds at least {number} findings of {_shown(ledger.cluster_id)} from the cluster with uid"
        f" {_shown(uid) or '(none)'}; this one has {_shown(ledger.cluster_uid)}. Nothing is sent or archived. {cure}",
    )


def _triage(plane: DataPlane, ledger: Ledger) -> dict[str, Any]:
    """What analysts have done; nothing before an inventory has told all of it."""
    if not plane.inventory_at:
        return {}
    by_status: Counter[str] = Counter()
    for (status, _), number in ledger.triage.items():
        by_status[status] += number
    return {
        "open": by_status[NEW],
        "notified": by_status[NOTIFIED],
        "suppressed": by_status[SUPPRESSED],
        "resolved": by_status[RESOLVED],
        "triage_read": datetime.fromtimestamp(plane.inventory_at // 1000, UTC),
    }


def _sources(plane: DataPlane) -> tuple[Source, ...]:
    found = []
    for _, source in sorted(plane.sources.items()):
        r, view, fault = source.resource, source.view, source_fault(source)
        found.append(
            Source(
                resource=f"{r.plural}.{r.version}.{r.group}",
                objects=source.reflector.counters.objects if view.last_listed else None,
                last_listed=datetime.fromtimestamp(view.last_listed // 1000, UTC) if view.last_listed else None,
                newest_result=datetime.fromtimestamp(view.newest, UTC) if view.newest else None,
                state=fault.reason if fault else "Watching",
            )
        )
    return tuple(found[:1024])
