"""Takes the snapshot of a monitored cluster from which its status is built."""

from collections.abc import Iterable
from dataclasses import replace

from policyhub.clock import SteadyMs
from policyhub.cluster.conflict import ADOPT_ANNOTATION, UID
from policyhub.cluster.context import Context, owner_faults, policy_faults
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.snapshot import (
    EnginesSeen,
    Findings,
    Foreign,
    OwnersSeen,
    PoliciesSeen,
    Snapshot,
    SourceSeen,
    Twin,
    UnverifiedSummary,
)
from policyhub.cluster.sources import Source
from policyhub.model.engines import GATEKEEPER
from policyhub.model.violation import SourceKey
from policyhub.sync import figures
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger


def snapshot_of(plane: DataPlane, *, planes: Iterable[DataPlane] = (), now: SteadyMs) -> Snapshot:
    """`planes` are the data planes of all MonitoredClusters."""
    site, state, work = plane.site, plane.state, plane.work
    snapshot = Snapshot(
        name=plane.name,
        identity=site.monitored.identity,
        account=site.account,
        region=site.region,
        cluster_uid=state.cluster_uid,
        eks_arn=plane.eks_arn,
        wall=site.wall(),
        adopts=site.monitored.metadata.annotations.get(ADOPT_ANNOTATION, ""),
        mode=site.spec.mode,
        roll_up=site.spec.roll_up,
        enrichment=site.spec.enrichment,
        connection=state.connection,
        hub=site.engine.problem or site.engine.read_problem,
        account_fault=state.account,
        reading=state.reading,
        discovery=state.discovery,
        inventory=state.inventory,
        claimed_twice=plane.claimed_twice,
        rivals=plane.rivals,
        unlisted=plane.unlisted,
        restarts=plane.restarts,
        twins=twins(plane, planes),
        owners=OwnersSeen(watched=False),
        policies=None,
        findings=None,
    )
    if work is None:
        return snapshot
    return replace(
        snapshot,
        inventory_at=work.inventory.began_at,
        past_sla=work.tick.past_sla,
        clock_moved=work.tick.clock_moved,
        sources=tuple(_source(source) for _, source in sorted(work.sources.watched.items())),
        source_faults=work.sources.faults(),
        engines=engines_seen(work.sources.watched.values(), work.queue.ledger, exclude=site.spec.sources.exclude),
        kept=work.sources.kept_findings(),
        owners=_owners(work.context),
        policies=_policies(work.context),
        guarded=dict(work.queue.ledger.guard.held),
        preview=work.tick.preview,
        aliases=work.inventory.aliases,
        findings=_findings(work.queue.ledger, now=now),
    )


def twins(plane: DataPlane, planes: Iterable[DataPlane]) -> tuple[Twin, ...]:
    """Other MonitoredClusters that send findings of the same cluster to the same hub, under another identity."""
    site, uid = plane.site, plane.state.cluster_uid
    if not UID.fullmatch(uid):
        return ()
    hub = site.account, site.region
    return tuple(
        Twin(other.name, other.site.monitored.identity)
        for other in planes
        if other.state.cluster_uid == uid
        and other.sends
        and (other.site.account, other.site.region) == hub
        and other.site.monitored.identity != site.monitored.identity
    )


def _source(source: Source) -> SourceSeen:
    resource, view, fault = source.resource, source.view, source.fault()
    return SourceSeen(
        name=f"{resource.plural}.{resource.version}.{resource.group}",
        state=fault.reason if fault else None,
        objects=source.reflector.counters.objects if view.last_listed else None,
        last_listed=view.listed_at,
        newest=view.newest,
        vanished=source.vanished,
    )


def engines_seen(sources: Iterable[Source], ledger: Ledger, *, exclude: Iterable[str]) -> EnginesSeen:
    """Without excluded engines: their silence is no problem."""
    excluded = frozenset(name.strip().casefold() for name in exclude)
    newest: dict[str, int] = {}
    unaudited: dict[str, int] = {}
    unlisted: dict[str, tuple[int, int]] = {}
    audited = 0
    for source in sources:
        view = source.view
        if source.vanished or (source.constraints and GATEKEEPER in excluded):
            continue
        if source.constraints:
            audited = max(audited, view.newest_by.get(GATEKEEPER, 0))
            unaudited |= {_named(key): made for key, made in view.unaudited.items()}
            unlisted |= {_named(key): (view.listed.get(key, 0), more) for key, more in view.unlisted.items()}
            continue
        for engine, at in view.newest_by.items():
            if engine.casefold() not in excluded:
                newest[engine] = max(at, newest.get(engine, 0))
    audits = 0 if GATEKEEPER in excluded else sum(1 for at in ledger.sources.constraints.audits.values() if at)
    return EnginesSeen(
        newest=newest, audited=audited, audits=audits if audited else 0, unaudited=unaudited, unlisted=unlisted
    )


def _named(key: SourceKey) -> str:
    return f"{key.resource}/{key.name}"


def _owners(context: Context) -> OwnersSeen:
    found = context.unverified_owners
    unverified_owners = None
    if found:
        unverified_owners = UnverifiedSummary(
            objects=sum(unverified.number for unverified in found.values()),
            namespaces=len(found),
            example=max(found.values(), key=lambda unverified: unverified.number).example,
        )
    return OwnersSeen(
        watched=bool(context.owners),
        faults=tuple(owner_faults(context.owners)),
        unverified_owners=unverified_owners,
        unchecked_kinds=tuple(context.existence.forbidden),
    )


def _policies(context: Context) -> PoliciesSeen | None:
    watcher = context.policy_watcher
    if watcher is None:
        return None
    return PoliciesSeen(kinds=len(watcher.reflectors), settled=watcher.is_ready, faults=policy_faults(watcher))


def _findings(ledger: Ledger, *, now: SteadyMs) -> Findings:
    reasons, quarantine = figures.held_reasons(ledger), ledger.observed.quarantine
    conflict = foreign = None
    if quarantine.conflict:
        uid, number = quarantine.counts.most_common(1)[0]
        conflict = Foreign(number=number, uid=uid)
    if quarantine.ids:
        id_, uid = min(quarantine.ids.items())
        foreign = Foreign(number=len(quarantine.ids), uid=uid, example=id_)
    return Findings(
        cluster_uid=ledger.cluster_uid,
        active=dict(ledger.finding_counts.severities().items()),
        triage={(*key,): number for key, number in ledger.finding_counts.triage.items()},
        pending=figures.pending(ledger),
        oldest_pending=figures.oldest_pending(ledger) if figures.pending(ledger) else None,
        rejected=figures.rejected(ledger),
        held=sum(reasons.values()),
        mode_holds=reasons[Hold.MODE],
        reports_listed=ledger.sources.reports_listed,
        superseded=tuple(sorted({(engine, group) for engine, group, _ in ledger.desired.superseded})),
        refused=tuple(ledger.refusals.summary()),
        late=tuple(sorted({name for names in ledger.sources.waiting_namespaces.values() for name in names})),
        exhausted=tuple(ledger.usage.exhausted_namespaces(now=now)),
        quarantined=figures.quarantined(ledger),
        conflict=conflict,
        foreign=foreign,
    )
