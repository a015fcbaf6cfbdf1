"""The control plane: MonitoredClusters come and go, each gets a data plane, and each is told how it fares.

kopf watches; an event handler hands the object over. No finalizer and no annotation is ever set: nothing of ours would
keep an object Terminating after `helm uninstall`. kopf does not report what was deleted while its watch was down, so
the list of MonitoredClusters is compared once a minute.

Where the settings select MonitoredClusters by labels, the others are another operator's: nothing is written to them.
One that loses its label is given up like one that was deleted, and its findings stay for the operator that takes it.
"""

import asyncio
import contextlib
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import kopf
import msgspec
import structlog
from botocore.exceptions import BotoCoreError, UnknownRegionError
from pydantic import ValidationError

from policyhub import status
from policyhub.api import selector
from policyhub.api.monitoredcluster import GROUP, KIND, PLURAL, VERSION, MonitoredCluster
from policyhub.api.status import Condition, Hub, Status, status_patch
from policyhub.dataplane import ADOPT_ANNOTATION, Connect, DataPlane, Fault
from policyhub.hubs import Hubs
from policyhub.kube import local
from policyhub.kube.body import PAGE
from policyhub.kube.connection import Connection, Refused, Unreachable, in_cluster_address
from policyhub.metrics import Metrics
from policyhub.settings import Settings

log = structlog.get_logger(__name__)

RESOURCE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
STATUS_SECONDS = 2.0
"""A status is written at most this often."""
TIMES_SECONDS = 60.0
"""Times alone (last listed, newest result) are written at most this often."""
RETRY_SECONDS = 15.0
"""A status that could not be written is tried again after this."""
COMPARE_SECONDS = 60.0
RESTART_SECONDS = 5.0


@dataclass(slots=True)
class Watched:
    """One MonitoredCluster."""

    name: str
    uid: str
    intent: object
    """What its data plane was started for; another one starts another data plane."""
    generation: int
    conditions: dict[str, Condition]
    plane: DataPlane | None = None
    fault: Fault | None = None
    """Why there is no data plane."""
    task: asyncio.Task[None] | None = None
    hub: Hub | None = None
    """The hub that the findings were written to before, by its status."""
    claim: tuple[str, str, str] = ("", "", "")
    """(account, Region, identity): who may write these findings."""
    written: dict[str, Any] = field(default_factory=dict)
    written_at: float = 0.0
    retry_at: float = 0.0
    """After a failed write: not before."""


class Supervisor:
    """Starts and stops data planes, and writes what becomes of them."""

    def __init__(
        self,
        *,
        home: Connection,
        hubs: Hubs,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], int],
        wall: Callable[[], int],
        clock: Callable[[], float],
        rng: random.Random,
        open_home: Connect,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps, `wall` by the one on the wall. `home` reads and
        writes our own objects; `open_home` opens one more connection to the home cluster.
        """
        self._home = home
        self._hubs = hubs
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._clock = clock
        self._rng = rng
        self._open_home = open_home
        self._selector = selector.parse(settings.watch_selector or "")
        self.watched: dict[str, Watched] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # -- coming and going -----------------------------------------------------------------------------------------

    async def observe(self, body: Mapping[str, Any]) -> None:
        """Take a MonitoredCluster as it is now. One event of a name at a time: kopf has a worker for each uid."""
        name = body["metadata"]["name"]
        async with self._turns[name]:
            if self._selector.matches(body["metadata"].get("labels") or {}):
                await self._observe(name, body)
            elif name in self.watched:
                await self._stop(name)
                del self.watched[name]
                self._claim()
                log.info("monitored_cluster_given_up", cluster=name)

    async def _observe(self, name: str, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        uid = metadata.get("uid", "")
        intent = (uid, body.get("spec"), (metadata.get("annotations") or {}).get(ADOPT_ANNOTATION))
        watched = self.watched.get(name)
        if watched is not None and watched.intent == intent:
            watched.generation = metadata.get("generation", 0)
            if watched.plane is not None:
                watched.plane.annotate(metadata.get("annotations") or {})
            return
        conditions = watched.conditions if watched is not None and watched.uid == uid else _conditions(body)
        await self._stop(name)
        watched = Watched(
            name=name,
            uid=uid,
            intent=intent,
            conditions=conditions,
            generation=metadata.get("generation", 0),
        )
        self.watched[name] = watched
        try:
            monitored = MonitoredCluster.model_validate(body)
        except ValidationError as error:
            watched.fault = Fault(
                "InvalidSpec",
                "; ".join(
                    f"spec{''.join(f'.{part}' for part in problem['loc'] if part != 'spec')}: {problem['msg']}"
                    for problem in error.errors()
                ),
            )
            log.warning("monitored_cluster_invalid", cluster=name, message=watched.fault.message)
        else:
            watched.hub = monitored.status.hub if monitored.status is not None else None
            self._start(watched, monitored)
        self._claim()

    async def forget(self, name: str, uid: str) -> None:
        """The MonitoredCluster is gone: its findings stay as they are. Another of the same name is another one."""
        async with self._turns[name]:
            watched = self.watched.get(name)
            if watched is None or watched.uid != uid:
                return
            await self._stop(name)
            del self.watched[name]
            self._metrics.forget_cluster(name)
            self._claim()
            log.info("monitored_cluster_gone", cluster=name)

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        hub, settings = monitored.spec.security_hub, self._settings
        account, region = hub.account_id or settings.account_id, hub.region or settings.region
        if not account or not region:
            missing = " and ".join(n for n, v in (("accountId", account), ("region", region)) if not v)
            watched.fault = Fault(
                "HubNotNamed",
                f"set spec.securityHub.{missing}, or the operator's POLICYHUB_ACCOUNT_ID and POLICYHUB_REGION",
            )
            return
        recorded = watched.hub
        if recorded is not None and (recorded.account_id, recorded.region) != (account, region):
            watched.fault = Fault(
                "HubChanged",
                f"the findings are in account {recorded.account_id}, {recorded.region}; the settings now name"
                f" {account}, {region}, where nobody would archive them. Set spec.securityHub to the old account and"
                " Region, or delete this MonitoredCluster and create it again",
            )
            return
        role_arn = hub.role_arn or settings.role_arn or ""
        external_id = hub.external_id or settings.external_id or ""
        try:
            client, engine = self._hubs.open((account, region, role_arn, external_id))
        except UnknownRegionError as error:
            watched.fault = Fault("UnknownRegion", f"spec.securityHub.region: {error}")
            return
        except BotoCoreError as error:
            watched.fault = Fault("AwsConfiguration", f"the operator's AWS configuration cannot be used: {error}")
            return
        plane = DataPlane(
            monitored=monitored,
            account=account,
            region=region,
            connect=self._connector(monitored),
            hub=client,
            engine=engine,
            settings=settings,
            metrics=self._metrics,
            now=self._now,
            wall=self._wall,
            rng=self._rng,
        )
        watched.plane = plane
        watched.claim = (account, region, monitored.identity)
        watched.task = asyncio.create_task(self._keep(plane), name=f"data plane {plane.name}")
        log.info("monitored_cluster_started", cluster=plane.name, identity=monitored.identity, hub=engine.hub_name)

    async def _keep(self, plane: DataPlane) -> None:
        while True:
            try:
                await plane.run()
            except Exception:  # outermost loop: a mistake of ours about one cluster must not stop the others
                log.exception("data_plane_failed", cluster=plane.name)
                await asyncio.sleep(RESTART_SECONDS)

    async def _stop(self, name: str) -> None:
        watched = self.watched.get(name)
        if watched is not None and watched.task is not None:
            watched.task.cancel()
            await asyncio.gather(watched.task, return_exceptions=True)

    def _claim(self) -> None:
        """Two MonitoredClusters of one identity at one hub: both say so, neither sends."""
        for watched in self.watched.values():
            if watched.plane is not None:
                others = [w.name for w in self.watched.values() if w is not watched and w.claim == watched.claim]
                watched.plane.claimed_twice = min(others, default="")

    def _connector(self, monitored: MonitoredCluster) -> Connect:
        reference = monitored.spec.connection.kubeconfig_secret_ref
        if reference is None:
            return self._open_home

        async def connect() -> Connection:
            return await Connection.from_secret(self._home, reference.namespace, reference.name, key=reference.key)

        return connect

    async def compare(self) -> None:
        """Once a minute: take what is there and forget what is not, whatever the events told. Until cancelled."""
        while True:
            await asyncio.sleep(COMPARE_SECONDS)
            before = {watched.name: watched.uid for watched in self.watched.values()}
            try:
                listed = msgspec.json.decode(await self._home.get(RESOURCE, limit=PAGE))["items"]
            except (Refused, Unreachable) as error:
                log.warning("monitored_clusters_not_listed", message=str(error))
                continue
            there = {(body["metadata"]["name"], body["metadata"]["uid"]) for body in listed}
            for name, uid in before.items() - there:
                await self.forget(name, uid)
            for body in listed:
                await self.observe(body)

    # -- telling --------------------------------------------------------------------------------------------------

    async def report(self) -> None:
        """Write each status when it has changed. Runs until cancelled."""
        while True:
            for watched in list(self.watched.values()):
                if self._clock() < watched.retry_at:
                    continue
                try:
                    await self._report(watched)
                except (Refused, Unreachable) as error:
                    watched.retry_at = self._clock() + RETRY_SECONDS
                    if not (isinstance(error, Refused) and error.status == 404):  # gone: its event is on its way
                        log.warning("status_not_written", cluster=watched.name, message=str(error))
                except Exception:  # outermost loop: one status that cannot be built must not end the others
                    watched.retry_at = self._clock() + RETRY_SECONDS
                    log.exception("status_failed", cluster=watched.name)
            await asyncio.sleep(STATUS_SECONDS)

    async def _report(self, watched: Watched) -> None:
        fresh = self._status(watched)
        self._metrics.tell(watched.name, [(c.type, c.status, c.reason) for c in fresh.conditions])
        patch = status_patch(fresh)
        settled = _without_times(patch)
        if settled == _without_times(watched.written) and (
            patch == watched.written or self._clock() - watched.written_at < TIMES_SECONDS
        ):
            return
        await self._home.patch(f"{RESOURCE}/{watched.name}/status", patch)
        watched.written, watched.written_at = patch, self._clock()
        before, watched.conditions = watched.conditions, {c.type: c for c in fresh.conditions}
        for condition in fresh.conditions:
            old = before.get(condition.type)
            if old is None or (old.status, old.reason) != (condition.status, condition.reason):
                log.info(
                    "condition",
                    cluster=watched.name,
                    type=condition.type,
                    status=condition.status,
                    reason=condition.reason,
                    message=condition.message,
                )
            if _is_news(condition, old):
                await self._event(watched, condition)

    def _status(self, watched: Watched) -> Status:
        if watched.plane is None:
            fault = watched.fault or Fault("Starting", "not started yet")
            return status.refused(
                watched.generation, fault, previous=watched.conditions, hub=watched.hub, now=self._now()
            )
        return status.build(watched.plane, previous=watched.conditions, generation=watched.generation, now=self._now())

    async def _event(self, watched: Watched, condition: Condition) -> None:
        """An Event on the MonitoredCluster; best effort, in `default` as for every cluster-scoped object."""
        normal = (condition.status == "True") != (condition.type in BAD)
        moment = status.timestamp(self._now())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{watched.name}-", "namespace": "default"},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": watched.name,
                "uid": watched.uid,
            },
            "type": "Normal" if normal else "Warning",
            "reason": condition.reason,
            "message": f"{condition.type}={condition.status}: {condition.message}"[:1000],
            "source": {"component": "policyhub"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            await self._home.post("/api/v1/namespaces/default/events", body)
        except (Refused, Unreachable) as error:
            log.warning("event_not_written", cluster=watched.name, message=str(error))

    async def close(self) -> None:
        """Stop every data plane; what was pending should have been drained before."""
        for name in list(self.watched):
            await self._stop(name)


PROGRESS = frozenset({"InSync", "Pending", "Listing", "InventoryIncomplete", "NotConnected", "HubUnreachable"})
"""Reasons that tell of progress, or repeat what another condition tells: worth a condition, not an Event."""


BAD = frozenset({"IdentityConflict", "ArchiveHeld"})
"""Conditions that are good when False."""


def _is_news(condition: Condition, old: Condition | None) -> bool:
    """Whether a person should be told by an Event: something is wrong now, or all is well again."""
    if old is not None and old.status == condition.status:
        return False
    if condition.type in BAD:
        return condition.status == "True"
    if condition.type == "Ready":
        return condition.status == "True"
    return condition.status == "False" and condition.reason not in PROGRESS


def _conditions(body: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions that a former process wrote; those that cannot be read start anew."""
    found = {}
    for condition in (body.get("status") or {}).get("conditions") or ():
        with contextlib.suppress(ValidationError):
            read = Condition.model_validate(condition)
            found[read.type] = read
    return found


def _without_times(patch: Mapping[str, Any]) -> object:
    body = dict(patch.get("status") or {})
    body["findings"] = {k: v for k, v in (body.get("findings") or {}).items() if k != "triageRead"}
    body["sources"] = [
        {k: v for k, v in source.items() if k not in {"lastListed", "newestResult"}}
        for source in body.get("sources") or ()
    ]
    return body


def registry(supervisor: Supervisor, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
    """Sign-in, and every event of a MonitoredCluster, handed to the loop that the supervisor runs in."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo:
        return addressed(kopf.login_with_service_account(**kwargs), os.environ) or await login_locally()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  (kopf passes by name)
        if type == "DELETED":
            work = supervisor.forget(str(body["metadata"]["name"]), str(body["metadata"]["uid"]))
        else:
            work = supervisor.observe(json.loads(json.dumps(dict(body))))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    return handlers


def addressed(pod: kopf.ConnectionInfo | None, environ: Mapping[str, str]) -> kopf.ConnectionInfo | None:
    """Kopf's sign-in as the Pod's service account, at the address that the rest of the process uses: kopf's own is a
    name, so that it would need a DNS that works. None outside a Pod.
    """
    if pod is None:
        return None
    return replace(pod, server=in_cluster_address(environ))


async def login_locally() -> kopf.ConnectionInfo:
    """Kopf's sign-in by the kubeconfig that the rest of the process uses; it signs in anew when the token has ended.
    Raises KubeconfigError, OSError.
    """
    access, token = await local.load(os.environ.get("KUBECONFIG") or local.DEFAULT)
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=access.authority,
        insecure=not access.verify,
        token=access.token if token is None else await token(),
        certificate_data=access.certificate,
        private_key_data=access.key,
        proxy_url=access.proxy,
    )


def settings() -> kopf.OperatorSettings:
    """Kopf without anything that would need permissions or leave marks on objects."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.networking.request_timeout = 30
    return chosen
