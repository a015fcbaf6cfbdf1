"""What is watched in a cluster besides its reports: namespaces, policies, and the owners of objects. The API server is
also asked whether objects and policies still exist (`sync.existence`).

Findings are sent even if the operator may not watch some of these:

| not watched | effect                                                         |
|-------------|----------------------------------------------------------------|
| namespaces  | findings of deleted namespaces are archived on weaker evidence |
| owners      | findings are not rolled up                                     |
| policies    | findings have the texts of the reports only                    |

An object that cannot be read is reported until two listings have not returned it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.cancellation import TaskGroup
from policyhub.clock import NEVER, SteadyMs
from policyhub.cluster.policy_watcher import LONG_REFUSAL_GRACE_MS, PolicyWatcher
from policyhub.cluster.sinks import namespaces
from policyhub.cluster.sinks.namespaces import NamespaceSink
from policyhub.cluster.site import Site
from policyhub.kube.connection import Connection
from policyhub.kube.discovery import served_kinds
from policyhub.kube.reflector import Reflector
from policyhub.model.source_apis import enabled
from policyhub.model.text import line
from policyhub.sync import owners
from policyhub.sync.existence import Existence
from policyhub.sync.existence_client import ExistenceClient
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import Owners, UnverifiedObjects
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.refusals import Refusal
from policyhub.sync.rollup import Rollup

log = structlog.get_logger(__name__)

KIND_SECONDS = 0.25
"""Seconds between two lookups of kinds that tenants name as controllers."""
IDLE_SECONDS = 1.0
"""Seconds between two checks whether a lookup is due."""
MALFORMED = "malformed-object"
"""The reason for an object that cannot be read at all."""


class Context:
    """The context of one cluster, over one connection after another."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self.owners: tuple[Reflector, ...] = ()
        """Reflectors of Pods, ReplicaSets, Jobs, and the controllers that verify them; empty: nothing is watched."""
        self.rollup: Rollup | None = None
        self.policy_metadata: PolicyMetadata | None = None
        self.policy_watcher: PolicyWatcher | None = None
        """None: `spec.enrichment` is false."""
        self._site = site
        self._ledger = ledger
        self._refused: dict[tuple[str, str], SteadyMs] = {}
        """Objects that could not be read: (group resource, reason) → when that last happened."""
        self.existence = Existence(now=site.now, on_answer=ledger.requeue_answered)
        """Looks up whether objects and policies still exist."""
        ledger.sources.existence = self.existence
        if site.spec.roll_up:
            self.rollup = self._roll_up()
        if site.spec.enrichment:
            self.policy_metadata = PolicyMetadata(now=site.now, on_malformed=self._policy_malformed)
            if _known_before(site, "PoliciesKnown"):
                self.policy_metadata.refusal_grace_ms = LONG_REFUSAL_GRACE_MS
            self.policy_watcher = PolicyWatcher(
                self.policy_metadata,
                groups=enabled(site.spec.sources),
                relist_interval=site.settings.relist_interval,
                discovery_interval=site.settings.discovery_interval,
                now=site.now,
                rng=site.rng,
            )

    def _roll_up(self) -> Rollup:
        ledger, now = self._ledger, self._site.now
        rollup = Rollup(
            ledger=ledger,
            owners=Owners(
                now=now,
                on_change=lambda objects: rollup.shift(objects, now=now()),
                on_malformed=self._owner_malformed,
            ),
        )
        rollup.owners.confirmed = NEVER
        if _known_before(self._site, "OwnersKnown"):
            rollup.owners.refusal_grace_ms = LONG_REFUSAL_GRACE_MS
        ledger.sources.ownership = rollup
        return rollup

    # -- watching -------------------------------------------------------------------------------------------------

    def watch(self, connection: Connection, tasks: TaskGroup) -> None:
        """Watch over this connection until the tasks are cancelled."""
        tasks.create_task(self._watch_namespaces(connection))
        tasks.create_task(self._watch_owners(connection))
        tasks.create_task(ExistenceClient(self.existence, cluster=self._site.name, now=self._site.now).run(connection))
        if self.policy_watcher is not None:
            tasks.create_task(self.policy_watcher.run(connection))

    async def _watch_namespaces(self, connection: Connection) -> None:
        view = NamespaceSink(self._ledger.sources, cluster=self._site.name, now=self._site.now)
        reflector = Reflector(
            connection,
            namespaces.RESOURCE,
            view,
            relist_interval=self._site.settings.relist_interval,
            forbidden_cap=namespaces.FORBIDDEN_CAP,
        )
        try:
            await reflector.run()
        finally:
            view.live(live=False)

    async def _watch_owners(self, connection: Connection) -> None:
        if self.rollup is None:
            return
        sinks = {**self.rollup.owners.sinks, **self.rollup.owners.controller_sinks}
        self.owners = tuple(
            Reflector(
                connection,
                resource,
                sink,
                relist_interval=self._site.settings.relist_interval,
                forbidden_cap=owners.FORBIDDEN_CAP,
                select=owners.RESOURCES.get(resource),
                metadata=True,
            )
            for resource, sink in sinks.items()
        )
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(_verify_kinds(connection, self.rollup.owners))
                for reflector in self.owners:
                    tasks.create_task(reflector.run())
        finally:
            self.owners = ()
            for sink in sinks.values():
                sink.end()

    def reflectors(self) -> Iterator[Reflector]:
        """The reflectors of owners and policies."""
        yield from self.owners
        if self.policy_watcher is not None:
            yield from self.policy_watcher.reflectors.values()

    @property
    def settled(self) -> bool:
        """Whether the policy texts are known or not wanted. Reports are read only then."""
        return self.policy_watcher is None or self.policy_watcher.is_ready

    # -- results --------------------------------------------------------------------------------------------------

    def update(self) -> None:
        """Called once a second: end grace periods, apply changes of ownership, forget old unreadable objects."""
        self._forget_refused()
        if self.rollup is not None:
            self.rollup.owners.expire()
            if self.rollup.has_changes:
                self._ledger.sources.reconsider(self.rollup.take_changes())

    @property
    def unverified_owners(self) -> Mapping[str, UnverifiedObjects]:
        """Namespace → objects whose controller cannot be verified: their findings are not rolled up to it."""
        return self.rollup.owners.unverified_owners if self.rollup is not None else {}

    def _policy_malformed(self, resource_name: str, why: str) -> None:
        if self._refuse(resource_name, why):
            log.warning("policy_malformed", cluster=self._site.name, resource=resource_name, message=why)

    def _owner_malformed(self, resource_name: str, why: str) -> None:
        if self._refuse(resource_name, why):
            log.warning("owner_malformed", cluster=self._site.name, resource=resource_name, message=why)

    def _refuse(self, resource_name: str, why: str) -> bool:
        """Note an object that could not be read. Returns whether that is new."""
        self._site.metrics.source_objects_malformed.labels(self._site.name, resource_name, MALFORMED).inc()
        self._refused[resource_name, line(why)] = self._site.now()
        return self._ledger.refusals.put(resource_name, "", line(why), (Refusal(MALFORMED),))

    def _forget_refused(self) -> None:
        old = self._site.now() - int(2000 * self._site.settings.relist_interval)
        for resource_name, why in [key for key, at in self._refused.items() if at < old]:
            del self._refused[resource_name, why]
            self._ledger.refusals.drop(resource_name, "", why)


def _known_before(site: Site, type_: str) -> bool:
    """Whether the last status, written by a former process or before the spec changed, shows that the operator may read
    them: they were known, or another failure than a missing permission prevented it.
    """
    status = site.monitored.status
    conditions = status.conditions if status is not None else ()
    return any(condition.type == type_ and condition.reason not in _MISSING for condition in conditions)


_MISSING = frozenset({Reason.FORBIDDEN, Reason.ROLL_UP_OFF, Reason.ENRICHMENT_OFF, Reason.NOT_CONNECTED})


async def _verify_kinds(connection: Connection, owners: Owners) -> None:
    """Look up the kinds of custom resources that objects name as their controllers, one at a time."""
    while True:
        group_version = owners.next_group_version()
        if group_version is not None:
            owners.record_kinds(*group_version, await served_kinds(connection, *group_version))
        await asyncio.sleep(KIND_SECONDS if group_version is not None else IDLE_SECONDS)


# -- failures ---------------------------------------------------------------------------------------------------------


def owner_faults(reflectors: Iterable[Reflector]) -> list[Cause]:
    """Why it is not known, or not verified, which objects roll up to which."""
    faults: list[Cause] = []
    forbidden: list[str] = []
    for reflector in reflectors:
        state, what = reflector.state, reflector.resource.plural
        verifies = reflector.resource in owners.CONTROLLERS
        if state.reason is Reason.LISTING_FORBIDDEN:
            if not verifies:
                message = f"{state.message}. Until this is fixed, findings are not rolled up. {_ALLOW}"
                faults.append(Cause(Reason.FORBIDDEN, message))
            else:
                forbidden.append(what)
        elif verifies and state.reason is Reason.VANISHED:
            continue  # not served here: the cluster has no such controllers
        elif state.cause is not None:
            faults.append(replace(state.cause, message=f"{what}: {state.message}"))
        elif not state.live:
            faults.append(Cause(Reason.LISTING, f"the first listing of {what} is not complete yet"))
    if forbidden:
        message = (
            f"the operator may not list {', '.join(forbidden)}, so it cannot verify which of these own a Pod: whoever"
            f" creates a Pod can hide its violations behind the name of any of them. {_ALLOW}"
        )
        faults.append(Cause(Reason.FORBIDDEN, message))
    return faults


_ALLOW = (
    "Allow the operator to list and watch pods, replicasets, jobs, deployments, statefulsets, daemonsets, cronjobs and"
    " replicationcontrollers (chart: rbac.rollUp)"
)


def policy_faults(watcher: PolicyWatcher) -> dict[str, Cause]:
    """Why policies are not known, by group resource or API group."""
    faults = {group: Cause(Reason.DISCOVERY_FAILED, f"{group}: {reason}") for group, reason in watcher.unknown.items()}
    for resource_name, reflector in watcher.reflectors.items():
        state = reflector.state
        if state.reason is Reason.LISTING_FORBIDDEN and not watcher.is_synced(resource_name):
            faults[resource_name] = Cause(
                Reason.LISTING, f"{state.message}; the operator tries again before it accepts this"
            )
        elif state.reason is Reason.LISTING_FORBIDDEN:
            message = (
                f"{state.message}. Until this is fixed, findings contain only the texts of reports and constraints."
                " Allow the operator to list and watch these policies (chart: rbac.enrichment)"
            )
            faults[resource_name] = Cause(Reason.FORBIDDEN, message)
        elif state.cause is not None:
            faults[resource_name] = replace(state.cause, message=f"{resource_name}: {state.message}")
        elif not state.live:
            faults[resource_name] = Cause(Reason.LISTING, f"the first listing of {resource_name} is not complete yet")
    return faults
