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
| OwnersKnown      | Pods' owners are listed, watched and verified  | what stands in the way                           |
| Ready            | all of the above are good, or the rights of    | the reason of the first that is not              |
|                  | OwnersKnown were left out (OwnersForbidden)    |                                                  |

InSync stays True through the seconds in which a fresh change is on its way: it tells of backlog, not of life.

Whatever the cluster, the engines or AWS say, a status can be written: messages are cleaned and cut, a reason, a uid or
a source that the CRD does not take is left out, and said to be, and the whole stays far below what etcd takes.
Pure: no I/O, no clock.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from policyhub import approval, conflict
from policyhub.api.scalar import format_time
from policyhub.api.status import Condition, ConditionType, Findings, Hub, Source, Status, status_patch
from policyhub.conflict import NAMES, UID
from policyhub.dataplane import DataPlane, Fault, owner_faults, policy_faults, source_fault
from policyhub.dataplane import Source as Watched
from policyhub.sources.text import capped, line
from policyhub.sync import figures
from policyhub.sync.entry import NEW, NOTIFIED, RESOLVED, SUPPRESSED
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.refusals import Refused
from policyhub.sync.shares import Excess

_FINE = "the findings of this cluster are up to date"
BACKLOG_MS = 30_000
"""A finding that waits longer than this is backlog."""
MESSAGE = 4_096
"""Characters of a message. The API server takes 32,768; nobody reads as many, and all conditions together must fit."""
SOURCES_BYTES = 250_000
"""Of the list of sources. With every condition at its longest the status has less than 500 kB, a third of etcd's
limit."""
SOURCES = 1_024
_SOURCE_BYTES = 200
"""What a source takes beside its name."""
NAME = 253
STATUS_FAILED = "StatusFailed"

_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,315}[a-z0-9])?")


def build(plane: DataPlane, *, previous: Mapping[str, Condition], generation: int, now: int) -> Status:
    """`previous` are the conditions last written, by type: their transition times stand while a status does. `now` is
    Unix milliseconds.
    """
    verdicts = _verdicts(plane, previous, now=now)
    ledger = plane.ledger
    findings = Findings()
    if ledger is not None:
        severities = ledger.standings.severities()
        findings = Findings(
            active=sum(severities.values()),
            critical=severities.get("CRITICAL", 0),
            high=severities.get("HIGH", 0),
            pending=figures.pending(ledger),
            held=sum(figures.held_reasons(ledger).values()),
            past_sla=plane.past_sla,
            **_triage(plane, ledger),
        )
    return Status(
        observed_generation=generation,
        conditions=_conditions(verdicts, previous, generation=generation, now=now),
        identity=plane.monitored.identity,
        cluster_uid=_uid(plane),
        hub=Hub(account_id=plane.account, region=plane.region),
        findings=findings,
        sources=_sources(plane),
    )


def refused(generation: int, fault: Fault, *, previous: Mapping[str, Condition], hub: Hub | None, now: int) -> Status:
    """The status of a MonitoredCluster that cannot be worked on as it is written."""
    verdicts: list[Verdict] = [("Ready", "False", fault)]
    conditions = _conditions(verdicts, previous, generation=generation, now=now)
    return Status(observed_generation=generation, conditions=conditions, hub=hub)


def failed(generation: int, why: str, *, previous: Mapping[str, Condition], now: int) -> Status:
    """The conditions of a status that could not be built, or that the API server does not take."""
    told = Fault(
        "StatusFailed",
        f"the status of this cluster cannot be told: {why}. Findings may be sent and archived as before or not; nothing"
        " here says so. The operator tries again every 15 seconds: please report it with the log's lines status_failed"
        " and status_not_written",
    )
    verdicts: list[Verdict] = [(type_, "False" if type_ == "Ready" else "Unknown", told) for type_ in _TYPES]
    conditions = _conditions(verdicts, previous, generation=generation, now=now)
    return Status(observed_generation=generation, conditions=conditions)


def failed_patch(status: Status) -> dict[str, Any]:
    """The merge patch for it: numbers and sources go, since they are of no known time; identity and hub stay."""
    body = status_patch(status)["status"]
    kept = ("observedGeneration", "conditions", "findings", "sources")
    return {"status": {name: body[name] for name in kept}}


_TYPES: tuple[ConditionType, ...] = get_args(ConditionType)


def _conditions(
    verdicts: "Iterable[Verdict]", previous: Mapping[str, Condition], *, generation: int, now: int
) -> tuple[Condition, ...]:
    """As the API server takes them; a transition time stands while the status does."""
    moment = datetime.fromtimestamp(now // 1000, UTC)
    made = []
    for type_, status, fault in verdicts:
        before = previous.get(type_)
        made.append(
            Condition(
                type=type_,
                status=status,
                reason=_reason(fault.reason),
                message=capped(fault.message, MESSAGE),
                observed_generation=generation,
                last_transition_time=before.last_transition_time if before and before.status == status else moment,
            )
        )
    return tuple(made)


def _reason(text: str) -> str:
    """One CamelCase word; what is none would have the API server refuse the whole status."""
    return text if _REASON.fullmatch(text) else "Unnamed"


def timestamp(now: int) -> str:
    """Unix milliseconds as Kubernetes writes times."""
    return format_time(datetime.fromtimestamp(now // 1000, UTC))


Verdict = tuple[ConditionType, str, Fault]


def _verdicts(plane: DataPlane, previous: Mapping[str, Condition], *, now: int) -> list[Verdict]:
    barring, shared = conflict.barring(plane), conflict.shared(plane)
    was_in_sync = (before := previous.get("InSync")) is not None and before.status == "True"
    good: list[Verdict] = [
        _either("Connected", plane.state.connection, "Connected", _connected(plane)),
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
    owners = _owners(plane)
    failing = [fault for _, status, fault in good if status != "True"]
    if barring is not None:
        failing.insert(0, barring)
    accepted = _input(plane, now=now)
    fine = Fault("AllWell", _FINE)
    if owners[2].reason == "Forbidden":
        fine = Fault("OwnersForbidden", f"{_FINE}; {owners[2].message}")
    elif owners[1] != "True" and owners[2].reason != "RollUpOff" and plane.state.connection is None:
        failing.append(Fault("OwnersUnknown", f"{_OWNERS_UNKNOWN} (condition OwnersKnown): {owners[2].message}"))
    if accepted[1] == "False":  # what a tenant writes does not make the cluster unready, but it is said
        fine = Fault("InputRefused", f"{_FINE}, but: {accepted[2].message}")
    if shared is not None and shared.reason == conflict.FOREIGN:
        fine = Fault("ForeignFindings", f"{_FINE}; {shared.message}")
    ready = failing[0] if failing else fine
    return [
        ("Ready", "True" if not failing else "Unknown" if ready.reason in _UNKNOWN else "False", ready),
        *good,
        owners,
        _policies(plane),
        accepted,
        ("ArchiveHeld", "True" if plane.guarded else "False", _guarded(plane)),
        (
            "IdentityConflict",
            "True" if barring or shared else "False",
            barring or shared or Fault("NoConflict", "no other cluster uses this identity"),
        ),
    ]


_OWNERS_UNKNOWN = (
    "it is not known which Pods belong to which workload: new violations may be missing, and nothing is archived"
)
_UNKNOWN = frozenset({"Connecting", "NotVerified", "Discovering"})
"""Reasons of what was not tried yet."""


def _either(type_: ConditionType, fault: Fault | None, reason: str, message: str) -> Verdict:
    if fault is None:
        return type_, "True", Fault(reason, message)
    return type_, "Unknown" if fault.reason in _UNKNOWN else "False", fault


def _connected(plane: DataPlane) -> str:
    odd = plane.state.cluster_uid and _uid(plane) is None
    return "the API server answers" + ("; the uid of its namespace kube-system is none, and not shown" if odd else "")


def _uid(plane: DataPlane) -> str | None:
    return plane.state.cluster_uid if UID.fullmatch(plane.state.cluster_uid) else None


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
    named = "; ".join(
        f"{line(origin, NAME)}: {line(fault.message, MESSAGE // 8)}" for origin, fault in sorted(faults.items())[:5]
    )
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
    hidden = len(plane.sources) - len(_shown(plane))
    if hidden:
        more += f"; {hidden} of them are not shown below: too many, or named otherwise than Kubernetes names resources"
    complete = f"{watched} sources are listed and watched{more}"
    if plane.ledger is not None and plane.ledger.desired.superseded:
        frozen = sorted(plane.ledger.desired.superseded)
        left = ", ".join(f"{line(source, NAME)} in {group}" for source, group in frozen[:NAMES])
        others = f", and {len(frozen) - NAMES} more" if len(frozen) > NAMES else ""
        return (
            "FrozenReports",
            f"{complete}; reports that nobody updates any more are ignored and can be deleted: {left}{others}",
        )
    return "Complete", complete


def _owners(plane: DataPlane) -> Verdict:
    """Whether it is known what counts for what. A right that was left out is no fault of Ready; all else is."""
    type_: ConditionType = "OwnersKnown"
    if not plane.monitored.spec.roll_up:
        return type_, "False", Fault("RollUpOff", "spec.rollUp is false: every object counts for itself")
    faults = owner_faults(plane.owners)
    if plane.owners and not faults:
        message = f"Pods, their owners and the controllers of these are listed and watched{_strays(plane)}"
        return type_, "True", Fault("Watched", message)
    told = [fault for fault in faults if fault.reason != "Listing"]
    if not told:
        return type_, "Unknown", Fault("Listing", "Pods, their owners and the controllers of these are still listed")
    first = min(told, key=lambda fault: fault.reason == "Forbidden")
    return type_, "False", Fault(first.reason, first.message + _strays(plane))


def _strays(plane: DataPlane) -> str:
    """What tenants name as controllers and is none: no fault of the cluster, and to be seen."""
    strays = plane.strays
    if not strays:
        return ""
    number = sum(stray.number for stray in strays.values())
    first = max(strays.values(), key=lambda stray: stray.number)
    return (
        f"; {number} objects in {len(strays)} namespaces name a controller that cannot be verified, and have findings"
        f" of their own. For example, {first.example}"
    )


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
    late = sorted({name for names in ledger.sources.unheard.values() for name in names})
    told += [
        f"{line(name)}: its reports or owners change faster than they are read, and are read later" for name in late
    ]
    told += [f"{namespace}: its imports of the day are used up, {IMPORTS_LIMIT}" for namespace in exhausted]
    if not told:
        return type_, "True", Fault("AllAccepted", "all that reports and constraints say was taken")
    more = f"; and {len(told) - TOLD_NAMESPACES} more" if len(told) > TOLD_NAMESPACES else ""
    message = "; ".join(told[:TOLD_NAMESPACES]) + more
    if late and not limited and not exhausted:
        return type_, "False", Fault("ReadLater", message)
    if exhausted and not limited:
        return type_, "False", Fault("ImportsUsedUp", message)
    if limited:
        return type_, "False", Fault("LimitExceeded", message)
    return type_, "False", Fault("NotUnderstood", message)


def _refused_line(refused: Refused) -> str:
    """One namespace: what was refused, with an example."""
    one = refused.refusal
    what = line(f"{refused.origin}/{refused.name}", NAME)
    more = f" (and {refused.objects - 1} more objects)" if refused.objects > 1 else ""
    where = line(refused.namespace, NAME) or "outside of namespaces"
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
    if (barred := _barred(plane)) is not None:
        return barred
    if plane.state.account is not None or plane.state.reading is not None:
        return Fault("HubUnreachable", "Security Hub does not take findings, or does not say what it holds")
    if plane.state.inventory is not None:
        return plane.state.inventory
    if not ledger.sources.reports_listed:
        return Fault("Listing", "the first listing of all reports is not complete yet")
    if plane.monitored.spec.mode == "DryRun":
        would = ", ".join(f"{number} {change}" for change, number in sorted(plane.preview.items())) or "none"
        return Fault("DryRun", f"nothing is sent in this mode; findings that would be: {would}")
    return _unsent(ledger, was_in_sync=was_in_sync, now=now)


def _barred(plane: DataPlane) -> Fault | None:
    """Why nothing of this cluster is sent, whatever it is."""
    if conflict.barring(plane) is not None:
        return Fault("IdentityConflict", "nothing is sent while another cluster uses this identity")
    if plane.unlisted:
        return Fault("Starting", "nothing is sent before all MonitoredClusters have been listed")
    return None


def _unsent(ledger: Ledger, *, was_in_sync: bool, now: int) -> Fault | None:
    """Why some findings are not in Security Hub as the cluster has them."""
    if figures.rejected(ledger):
        return Fault(
            "FindingsRejected", f"Security Hub refuses {figures.rejected(ledger)} findings for good; the log names each"
        )
    if figures.quarantined(ledger):
        return Fault(
            "FindingsQuarantined",
            f"{figures.quarantined(ledger)} findings of this cluster are not sent: their ids are another cluster's in Security"
            " Hub. IdentityConflict names one, and what to do",
        )
    if figures.pending(ledger):
        oldest = figures.oldest_pending(ledger)
        if not was_in_sync or (oldest is not None and now - oldest > BACKLOG_MS):
            return Fault("Pending", f"{figures.pending(ledger)} changes wait for Security Hub")
    return None


def _would_archive(plane: DataPlane) -> str:
    """What mode NoArchive keeps."""
    kept = figures.held_reasons(plane.ledger)[Hold.MODE] if plane.ledger is not None else 0
    return f"; {kept} findings would be archived in mode Sync" if kept else ""


def _guarded(plane: DataPlane) -> Fault:
    if not plane.guarded:
        return Fault("NothingHeld", "no engine has lost unusually many findings at once")
    told = _some(
        [
            f"{_cut(source)}: {hold.lost} of {hold.total} active findings are no longer called for, {hold.reason}"
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


def _cut(text: str) -> str:
    return line(text, _SHOWN)


def _some(told: list[str], *, between: str = ", ") -> str:
    more = f"{between}and {len(told) - _MOST} more" if len(told) > _MOST else ""
    return between.join(told[:_MOST]) + more


def _triage(plane: DataPlane, ledger: Ledger) -> dict[str, Any]:
    """What analysts have done; nothing before an inventory has told all of it."""
    if not plane.inventory_at:
        return {}
    by_status: Counter[str] = Counter()
    for (status, _), number in ledger.standings.triage.items():
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
    for name, source in _shown(plane).items():
        view, fault = source.view, source_fault(source)
        found.append(
            Source(
                resource=name,
                objects=source.reflector.counters.objects if view.last_listed else None,
                last_listed=_moment(view.last_listed // 1000),
                newest_result=_moment(view.newest),
                state=_reason(fault.reason) if fault else "Watching",
            )
        )
    return tuple(found)


def _shown(plane: DataPlane) -> dict[str, Watched]:
    """The sources that the API server would take, by name: Gatekeeper's kinds are named as the cluster pleases."""
    found: dict[str, Watched] = {}
    left = SOURCES_BYTES
    for _, source in sorted(plane.sources.items()):
        r = source.resource
        name = f"{r.plural}.{r.version}.{r.group}"
        if len(found) < SOURCES and _RESOURCE.fullmatch(name) and left >= len(name) + _SOURCE_BYTES:
            left -= len(name) + _SOURCE_BYTES
            found[name] = source
    return found


def _moment(seconds: int) -> datetime | None:
    """None for 0, and for what no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None
