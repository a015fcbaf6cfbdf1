"""All checks in their order: this process, the operator's own cluster, each monitored cluster, each hub.

Read-only, except for `Options.probe_import`. An unexpected exception of one check would hide the results of the others,
so each check turns the errors of the system that it reads into results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, UnknownRegionError
from pydantic import ValidationError

from policyhub.api import selector
from policyhub.api.eks import Eks
from policyhub.api.monitoredcluster import GROUP, PLURAL, VERSION, MonitoredCluster, SecurityHub
from policyhub.clock import SteadyMs
from policyhub.cluster import remedies
from policyhub.cluster.engines import SILENT_AFTER
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor import access, cluster, engines, hub, network, others, quota
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.eks.connector import EksClusters
from policyhub.kube.body import MAX_PAGE_BYTES
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.securityhub import advice
from policyhub.securityhub.opener import Opener
from policyhub.securityhub.target import HubTarget, resolve
from policyhub.settings import Settings

RESOURCE = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
HERE = "this process's cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags of `policyhub doctor`, and what the checks read of this process."""

    settings: Settings
    environ: Mapping[str, str]
    wall: Callable[[], float]
    """Unix seconds."""
    names: Sequence[str] = ()
    """MonitoredClusters to check; empty: all that the settings select."""
    account: str = ""
    """The operator's service account (`namespace/name`), if another identity runs the checks."""
    silent_after: Mapping[str, float] = field(default_factory=lambda: SILENT_AFTER)
    metrics_url: str = ""
    probe_import: bool = False


async def run_checks(home: Connection, options: Options) -> list[CheckResult]:
    """All results, in the order of the checks."""
    settings = options.settings
    results = network.check_certificates(options.environ)
    results += network.check_proxy(options.environ, {HERE: home.server})
    found = await _monitored(home, options)
    if isinstance(found, CheckResult):
        results.append(found)
        found = []
    monitored = [one for one, _ in found]
    if monitored:
        results.append(fine("monitored-clusters", "", f"checked: {', '.join(one.metadata.name for one in monitored)}"))
    needs = access.of_home(monitored, lease=settings.lease)
    results += await access.check(home, HERE, needs, account=options.account)
    for one, generation in found:
        results += await _cluster(home, one, generation, options)
    hubs = dict.fromkeys(target for one in [*monitored, None] if not (target := hub_of(one, settings)).missing)
    opener = Opener()
    for target in hubs:
        results += await _hub(opener, target, options)
    if not hubs:
        unnamed = "no Security Hub was checked: neither a MonitoredCluster nor the settings name an account and Region"
        results.append(unchecked("credentials", "", unnamed, remedy=DOCTOR["credentials"]))
    if options.metrics_url:
        results += await quota.check(options.metrics_url, share=settings.hub_quota_share)
    return results


class _List(msgspec.Struct):
    items: list[dict[str, Any]]


async def _monitored(home: Connection, options: Options) -> list[tuple[MonitoredCluster, int]] | CheckResult:
    """The MonitoredClusters to check, each with its generation; or the result that explains why there are none."""
    try:
        items = msgspec.json.decode(await home.get(RESOURCE, limit=MAX_PAGE_BYTES), type=_List).items
    except Refused as error:
        if error.status == 404:
            remedy = DOCTOR["monitored-clusters/crd"]
            return problem(
                "monitored-clusters", "", "the CRD of MonitoredCluster is not installed in this cluster", remedy=remedy
            )
        failed = f"MonitoredClusters cannot be listed: {error}"
        return unchecked("monitored-clusters", "", failed, remedy=DOCTOR["monitored-clusters"])
    except (Unreachable, msgspec.MsgspecError) as error:
        return unchecked(
            "monitored-clusters", "", f"{home.server} does not answer: {error}", remedy=DOCTOR["connection"]
        )
    own = selector.parse(options.settings.watch_selector or "")
    chosen = [
        item
        for item in items
        if (
            item["metadata"]["name"] in options.names
            if options.names
            else own.matches(item["metadata"].get("labels") or {})
        )
    ]
    lacking = {*options.names} - {i["metadata"]["name"] for i in chosen}
    if lacking or not chosen:
        missing = " ".join(["there is no MonitoredCluster", ", ".join(sorted(lacking))]).rstrip()
        missing += f" with the labels {options.settings.watch_selector}" if options.settings.watch_selector else ""
        existing = ", ".join(sorted(i["metadata"]["name"] for i in items)) or "none"
        remedy = DOCTOR["monitored-clusters/none"]
        return problem("monitored-clusters", "", f"{missing}; existing: {existing}", remedy=remedy)
    found = []
    for item in chosen:
        try:
            found.append((MonitoredCluster.model_validate(item), int(item["metadata"].get("generation", 0))))
        except ValidationError as error:
            invalid = f"{item['metadata']['name']} is not valid: {error.errors()[0]['msg']}"
            return problem("monitored-clusters", "", invalid, remedy=DOCTOR["monitored-clusters/invalid"])
    return found


async def _cluster(
    home: Connection, monitored: MonitoredCluster, generation: int, options: Options
) -> list[CheckResult]:
    about = monitored.metadata.name
    interval = options.settings.relist_interval
    state = cluster.evaluate_operator(about, monitored, generation, now=options.wall(), relist_interval=interval)
    results = [state, *cluster.evaluate_identity(about, monitored), *cluster.evaluate_holds(about, monitored)]
    if monitored.spec.connection.eks is not None:
        return results + await _eks(monitored, monitored.spec.connection.eks, options)
    reference = monitored.spec.connection.kubeconfig_secret_ref
    if reference is None:
        return results + await _served(home, monitored, options, account=options.account)
    try:
        connection = await Connection.from_secret(home, reference.namespace, reference.name, key=reference.key)
    except KubeconfigError as error:
        remedy = error.remedy or DOCTOR["connection/secret"]
        return [*results, problem("connection", about, error.found, remedy=remedy)]
    except Unreachable as error:
        return [*results, problem("connection", about, str(error), remedy=DOCTOR["connection"])]
    async with connection:
        return results + await _served(connection, monitored, options, account="")


async def _eks(monitored: MonitoredCluster, eks: Eks, options: Options) -> list[CheckResult]:
    """Connect to an EKS cluster as the operator does, with the AWS identity of this process or the assumed role."""
    name = monitored.metadata.name
    hosts = options.settings.eks_endpoint_hosts
    clusters = EksClusters(now=lambda: SteadyMs(int(options.wall() * 1000)), hosts=hosts)
    connector = clusters.connector(eks, eks.arn or monitored.spec.cluster_arn or "", name=name)
    try:
        connection = await connector.connect()
        async with connection:
            await connection.cluster_uid()
            return await _served(connection, monitored, options, account="")
    except (Refused, Unreachable) as error:
        cause = await connector.explain(error)
        remedy = cause.remedy or remedies.remedy("Connected", cause.reason) or DOCTOR["connection/told"]
        return [problem("connection", name, f"{cause.reason}: {cause.message}", remedy=remedy)]
    finally:
        clusters.close()


async def _served(
    connection: Connection, monitored: MonitoredCluster, options: Options, *, account: str
) -> list[CheckResult]:
    """The checks of a cluster's API server; only the first where it does not answer."""
    about, wall = monitored.metadata.name, options.wall
    results, answers = await cluster.check_server(connection, about, wall=wall)
    if not answers:
        return results
    results += await access.check(connection, about, access.of_monitored(monitored), account=account)
    discovery = await cluster.served(connection, monitored)
    seen = await engines.read_engines(connection, discovery, now=wall())
    results += cluster.evaluate_sources(about, discovery)
    exclude = monitored.spec.sources.exclude
    return results + engines.evaluate(about, seen, now=wall(), silent_after=options.silent_after, exclude=exclude)


def hub_of(monitored: MonitoredCluster | None, settings: Settings) -> HubTarget:
    """The hub of a cluster's findings; for None, the hub that the settings name. Pure."""
    if monitored is None:
        return resolve(SecurityHub(), settings)
    recorded = monitored.status.hub if monitored.status is not None else None
    return resolve(monitored.spec.security_hub, settings, recorded=recorded)


async def _hub(opener: Opener, target: HubTarget, options: Options) -> list[CheckResult]:
    try:
        with opener.opened(target, share=options.settings.hub_quota_share) as client:
            results = await hub.check(client, wall=options.wall, probe_import=options.probe_import)
            if any(r.check == "get-findings" and r.state == "fine" for r in results):
                results += await others.check(client)
            return results
    except UnknownRegionError:
        found = f"AWS has no Region {target.region}"
        return [problem("credentials", target.name, found, remedy=DOCTOR["credentials/region"])]
    except BotoCoreError as error:
        found = f"the AWS configuration cannot be used: {error}"
        return [problem("credentials", target.name, found, remedy=advice.missing(error))]
