"""The cluster and hub that findings are rendered for: the fields of a MonitoredCluster, by flags or by its file.

The models of `api` validate everything, so the API server would reject the same values. A value that is not set gets a
placeholder that nobody can mistake for a real one. The origin of each value is kept. Pure: no I/O.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from policyhub.api.monitoredcluster import KIND, MonitoredCluster
from policyhub.api.scalar import partition_of
from policyhub.findings.asff import Cluster
from policyhub.model.source_apis import enabled
from policyhub.securityhub.arn import product_arn
from policyhub.sources.filter import Filter, filter_of

PLACEHOLDERS = {
    "cluster_name": "example",
    "cluster_uid": "00000000-0000-0000-0000-000000000000",
    "account_id": "111122223333",
    "region": "us-east-1",
}
"""The account is the one in AWS's examples; no namespace has this uid."""

_FLAGS = {
    "cluster_name": ("metadata", "name"),
    "cluster_arn": ("spec", "clusterArn"),
    "account_id": ("spec", "securityHub", "accountId"),
    "region": ("spec", "securityHub", "region"),
    "minimum_severity": ("spec", "minimumSeverity"),
    "exclude_source": ("spec", "sources", "exclude"),
    "event_logs": ("spec", "sources", "eventLogs"),
    "namespace": ("spec", "namespaces", "include"),
    "exclude_namespace": ("spec", "namespaces", "exclude"),
    "result": ("spec", "results"),
    "roll_up": ("spec", "rollUp"),
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class TargetError(Exception):
    """Invalid flags or an invalid MonitoredCluster; the message names each flag or field."""


class Target(msgspec.Struct, frozen=True):
    cluster: Cluster
    filter: Filter
    groups: frozenset[str]
    """The API groups that are read."""
    roll_up: bool
    enrichment: bool
    origins: dict[str, str]
    """Origin (a flag or a field) of the name, ARN and uid of the cluster, the account and the Region."""


def cluster_of(
    *, cluster_name: str, cluster_arn: str | None, cluster_uid: str, account_id: str, region: str
) -> Cluster:
    """The cluster with these values."""
    where = partition_of(region)
    return Cluster(
        id=cluster_arn or cluster_name,
        name=cluster_name,
        arn=cluster_arn,
        uid=cluster_uid,
        account=account_id,
        region=region,
        partition=where,
        product_arn=product_arn(partition=where, region=region, account=account_id),
    )


def target(
    flags: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    document: Any = None,
    file: str = "",
    uid: str = "",
) -> Target:
    """Flags (None: not given) take precedence over a MonitoredCluster's document, and this over the operator's
    settings, which come from the environment. `uid` was read from the cluster.

    Raises TargetError.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    origins = {name: _flag(name) for name in given}
    for name, value in (settings or {}).items():
        if not _origin(name, origins, document, file):
            given[name], origins[name] = value, f"POLICYHUB_{name.upper()}"
    monitored = _monitored(given, origins, document, file)
    spec = monitored.spec
    sources = {
        name: _origin(name, origins, document, file) for name in ("cluster_name", "cluster_arn", "account_id", "region")
    }
    name = monitored.metadata.name
    if sources["cluster_name"] == "" and spec.cluster_arn is not None:
        name, sources["cluster_name"] = spec.cluster_arn.rpartition("/")[2], sources["cluster_arn"]
    account = spec.security_hub.account_id or PLACEHOLDERS["account_id"]
    region = spec.security_hub.region or PLACEHOLDERS["region"]
    sources = {key: source or f"{_flag(key)} (placeholder)" for key, source in sources.items()}
    given_uid = given.get("cluster_uid")
    sources["cluster_uid"] = (
        "--cluster-uid" if given_uid else "uid of namespace kube-system" if uid else "--cluster-uid (placeholder)"
    )
    cluster = cluster_of(
        cluster_name=name,
        cluster_arn=spec.cluster_arn,
        cluster_uid=str(given_uid or uid or PLACEHOLDERS["cluster_uid"]),
        account_id=account,
        region=region,
    )
    return Target(cluster, filter_of(spec), enabled(spec.sources), spec.roll_up, spec.enrichment, sources)


def _monitored(given: dict[str, Any], origins: dict[str, str], document: Any, file: str) -> MonitoredCluster:
    if document is None:
        document = {"metadata": {"name": PLACEHOLDERS["cluster_name"]}, "spec": {"connection": {"inCluster": {}}}}
    elif not isinstance(document, dict) or document.get("kind") != KIND:
        raise TargetError(f"{file}: not a {KIND}")
    merged = document
    for name, path in _FLAGS.items():
        if name in given:
            value = given[name]
            # An empty string means "none" for a flag that may be repeated.
            merged = _with(merged, path, [one for one in value if one] if isinstance(value, list | tuple) else value)
    try:
        monitored = MonitoredCluster.model_validate(merged)
    except ValidationError as error:
        named = {path: origins[name] for name, path in _FLAGS.items() if name in origins}
        lines = []
        for problem in error.errors():
            loc = problem["loc"]
            origin = next((origin for path, origin in named.items() if loc[: len(path)] == path), None)
            where = origin or f"{file}: {'.'.join(str(part) for part in loc)}"
            lines.append(f"{where}: {problem['msg']} (given: {problem['input']!r})")
        raise TargetError("\n".join(lines)) from error
    name = monitored.metadata.name
    if not _NAME.fullmatch(name):
        where = origins.get("cluster_name") or f"{file}: metadata.name"
        raise TargetError(f"{where}: {name!r} is not a valid name of a Kubernetes object")
    return monitored


def _with(document: Any, path: tuple[str, ...], value: Any) -> Any:
    """The document with one member replaced."""
    first, *rest = path
    inner = document.get(first) if isinstance(document, dict) else None
    members = document if isinstance(document, dict) else {}
    return {**members, first: _with(inner or {}, tuple(rest), value) if rest else value}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _origin(name: str, origins: dict[str, str], document: Any, file: str) -> str:
    """The flag, the environment variable or the field of the file that sets the value; empty if none does."""
    if name in origins:
        return origins[name]
    for part in _FLAGS[name]:
        document = document.get(part) if isinstance(document, dict) else None
    return f"{'.'.join(_FLAGS[name])} of {file}" if document else ""
