"""Renders a violation as one ASFF finding (schema 2018-10-08) for Security Hub CSPM.

| ASFF                  | from                                                                                     |
|-----------------------|------------------------------------------------------------------------------------------|
| Title                 | sentence, object, cluster: within 80 characters if possible, since lists of findings     |
|                       | show no more (text.py)                                                                   |
| Description           | object, cluster, policy, source, rule; then the message; only this is cut (text.py)      |
| FindingProviderFields | severity and type (compliance.py); never the top-level fields, which are the customer's  |
| Compliance            | fail FAILED, warn WARNING, error NOT_AVAILABLE; control, requirements, standards         |
| Remediation, SourceUrl| what to do, how to accept the violation, and a link (remediation.py)                     |
| Vulnerabilities       | for a scanner's result: the package, its versions, the score                             |
| Resources             | the object, then its cluster; only the cluster if the engine names no object             |
| ProductFields         | `policyhub/…`: what the operator reads back, what analysts filter by, the properties     |
| most of these         | different for a finding about a truncated list (truncation.py)                           |
| RecordState           | ACTIVE, or ARCHIVED when the violation is gone                                           |

Never written, because they belong to the analyst or to the service: Workflow, Note, UserDefinedFields,
VerificationState, Severity, Types, Confidence, Criticality, the top-level Region. Every string fits its limit and is
not blank; Security Hub accepts the finding whatever the violation contains. Pure: no I/O, no clock.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from policyhub.clock import UNDATED, WallMs
from policyhub.findings import truncation
from policyhub.findings.compliance import compliance, finding_type
from policyhub.findings.limits import fit, fit_distinct, length
from policyhub.findings.remediation import remediation, source_url, vulnerabilities
from policyhub.findings.sentence import non_blank
from policyhub.findings.text import description, title, unnamed_subject
from policyhub.model.engines import KUBE_BENCH_SOURCES
from policyhub.model.violation import Severity, Violation
from policyhub.sources.policy import DESCRIPTION, TITLE
from policyhub.sources.target import target_of
from policyhub.sources.truncation import is_notice

RENDERER = 4
"""Increased when the texts of findings change. It is stored next to the digest, never in it."""

_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""The start of the year 1 and the end of the year 9999, in Unix milliseconds."""

PRODUCT = "policyhub"
CLUSTER, CLUSTER_UID = f"{PRODUCT}/cluster", f"{PRODUCT}/cluster-uid"
"""The product fields that tell whose the finding is: the cluster's identity, and its uid."""
RELAPSES, RELAPSED_AT = f"{PRODUCT}/relapses", f"{PRODUCT}/relapsed-at"
"""How often the finding was sent again after it had been archived, and when last: kept in Security Hub alone."""
PARTITIONS = frozenset({"aws", "aws-cn", "aws-us-gov"})
"""The only partitions that ASFF can name; in others (aws-iso, aws-eusc) the member is left out."""

# Security Hub's limits, in UTF-16 units.
_GENERATOR, _RESOURCE_ID, _ORIGINAL = 512, 512, 64
_DETAIL = 1023  # documented as "fewer than 1,024"
_FIELDS, _FIELD_KEY, _FIELD_VALUE = 50, 128, 1024  # 2,048 is documented, 1,024 is what others found

# A finding has at most 240 KB, and a batch of 100 at most 6 MB. JSON may need six bytes for one unit, so this much of
# an engine's properties keeps a finding near 60 KB at worst and at 2 KB as a rule.
_PROPERTY_UNITS = 6000

_PROCESS_PROPERTIES = frozenset({"actualvalue", "audit", "auditconfig", "auditenv", "reason", "testinfo"})
"""Properties with what kube-bench read of a node: arguments of processes, which may contain secrets. Its adapters write
`audit_config` or `AuditConfig`."""

_FORBIDDEN_IN_KEY = re.compile(r"[^A-Za-z0-9 .:+\\=@_/-]")
_ARN = re.compile(r"arn:(?P<partition>[^:]+):eks:(?P<region>[^:]+):[^:]*:cluster/(?P<name>.+)")


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A monitored cluster, and the hub that its findings go to."""

    id: str
    """The cluster's part of finding ids: the EKS cluster's ARN, else the MonitoredCluster's name."""
    name: str
    arn: str | None
    uid: str
    """Of the kube-system namespace: distinguishes a cluster from a later one of the same name."""
    account: str
    region: str
    """Of the hub. The cluster may be in another Region, see its ARN."""
    partition: str
    product_arn: str


class Relapse(msgspec.Struct, frozen=True):
    """How often a finding came back, and when last (UNDATED: not known)."""

    count: int = 0
    at: WallMs = UNDATED


NO_RELAPSE = Relapse()


def render(
    violation: Violation,
    *,
    cluster: Cluster,
    finding_id: str,
    digest: str,
    source_api: str,
    created_at: WallMs,
    observed_at: WallMs,
    updated_at: WallMs,
    archived: bool,
    relapse: Relapse = NO_RELAPSE,
    default_severity: Severity = "MEDIUM",
) -> dict[str, Any]:
    """The finding as an argument of BatchImportFindings. Times in Unix milliseconds.

    `created_at` is also when it was first observed. It must never change, however often the violation came back.
    `observed_at` is when it was last seen.
    """
    created, updated = timestamp(created_at), timestamp(updated_at)
    observed_at = max(created_at, observed_at)
    severity: dict[str, str] = {"Label": violation.label(default_severity)}
    members = truncation.notice_members(violation, cluster=cluster.name) if is_notice(violation) else {}
    original = fit(violation.severity.lower() if violation.severity else violation.enforcement, _ORIGINAL)
    if original and not members:  # as it was stated; nothing where nobody has, and of a notice it is ours
        severity["Original"] = original
    finding: dict[str, Any] = {
        "SchemaVersion": "2018-10-08",
        "Id": finding_id,
        "ProductArn": cluster.product_arn,
        "ProductName": PRODUCT,
        "CompanyName": PRODUCT,
        "GeneratorId": fit_distinct("/".join(non_blank(PRODUCT, *_names(violation))), _GENERATOR),
        "AwsAccountId": cluster.account,
        "CreatedAt": created,
        "FirstObservedAt": created,
        "LastObservedAt": updated if observed_at == updated_at else timestamp(observed_at),
        "UpdatedAt": updated,
        "Title": title(violation, cluster=cluster.name),
        "Description": members.get("Description")
        or description(violation, cluster=cluster.name, relapse=_relapse(relapse)),
        "FindingProviderFields": {"Severity": severity, "Types": [finding_type(violation.source)]},
        "Compliance": compliance(violation),
        "Remediation": {"Recommendation": remediation(violation, cluster=cluster.name)},
        "Resources": _resources(violation, cluster),
        "ProductFields": _product_fields(
            violation, cluster=cluster, digest=digest, source_api=source_api, relapse=relapse
        ),
        "RecordState": "ARCHIVED" if archived else "ACTIVE",
    }
    url = source_url(violation)
    if url:
        finding["SourceUrl"] = url
    found = vulnerabilities(violation)
    if found:
        finding["Vulnerabilities"] = found
    return finding | members


@lru_cache(maxsize=4096)  # the findings of a batch share most of theirs
def timestamp(milliseconds: WallMs) -> str:
    """RFC 3339 with milliseconds, in UTC. Times outside the years 1 to 9999, from foreign data, become the nearest."""
    seconds, rest = divmod(min(max(int(milliseconds), _FIRST), _LAST), 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000, tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _names(violation: Violation) -> tuple[str, ...]:
    # The policy of a result of kube-bench is a section of the benchmark: the discriminator names the check.
    check = (violation.discriminator,) if violation.source in KUBE_BENCH_SOURCES else ()
    return violation.source, violation.policy, violation.rule, *check


def is_about_cluster(violation: Violation) -> bool:
    """Whether the engine names no object and the result concerns the whole cluster: nobody can fix a report."""
    return unnamed_subject(violation) == "cluster"


def _relapse(relapse: Relapse) -> str:
    if not relapse.count:
        return ""
    times = "" if relapse.count == 1 else f", for the {relapse.count}. time"
    when = f" on {timestamp(relapse.at)[:10]}" if relapse.at else ""
    return f"It came back{when} after it had been resolved{times}"


def _resources(violation: Violation, cluster: Cluster) -> list[dict[str, Any]]:
    of_cluster = is_about_cluster(violation) and not is_notice(violation)  # which is about the report itself
    return [_cluster(cluster)] if of_cluster else [_object(violation, cluster), _cluster(cluster)]


def _object(violation: Violation, cluster: Cluster) -> dict[str, Any]:
    subject = violation.subject
    path = (cluster.id, subject.group or "core", subject.kind or "-", subject.namespace or "-", subject.name or "-")
    target = target_of(subject)
    as_stated = target is subject or not subject.kind  # else it is that of what stands for the object
    api_version = violation.api_version or target.group if as_stated else target.group
    details = {
        "Kind": target.kind,
        "ApiVersion": api_version,
        "Namespace": target.namespace,
        "Name": target.name,
        "Cluster": cluster.name,
        "ClusterId": cluster.id,
    }
    return {
        "Type": "Other",
        "Id": fit_distinct("kubernetes/" + "/".join(path), _RESOURCE_ID),
        **_location(cluster),
        "Details": {"Other": {key: text for key, value in details.items() if (text := fit(value, _DETAIL))}},
    }


@lru_cache(maxsize=256)
def _cluster(cluster: Cluster) -> dict[str, Any]:
    """The cluster as a resource: one dict for all its findings; do not modify it."""
    known = _ARN.fullmatch(cluster.arn or "")
    if cluster.arn and known:
        details: dict[str, Any] = {"AwsEksCluster": {"Arn": cluster.arn, "Name": known["name"]}}
        return {"Type": "AwsEksCluster", "Id": cluster.arn, **_location(cluster), "Details": details}
    details = {"Other": {"Kind": "Cluster", "Name": fit(cluster.name, _DETAIL) or cluster.id}}
    named = fit_distinct(f"kubernetes/{cluster.id}", _RESOURCE_ID)
    return {"Type": "Other", "Id": named, **_location(cluster), "Details": details}


@lru_cache(maxsize=256)
def _location(cluster: Cluster) -> dict[str, str]:
    """Partition and Region of the cluster: from its ARN, else those of its hub."""
    known = _ARN.fullmatch(cluster.arn or "")
    partition, region = (known["partition"], known["region"]) if known else (cluster.partition, cluster.region)
    location = {"Partition": partition} if partition in PARTITIONS else {}
    return {**location, "Region": region} if 0 < len(region) <= 16 else location


def _product_fields(
    violation: Violation, *, cluster: Cluster, digest: str, source_api: str, relapse: Relapse
) -> dict[str, str]:
    own = {
        CLUSTER: cluster.id,
        CLUSTER_UID: cluster.uid,
        f"{PRODUCT}/digest": digest,
        f"{PRODUCT}/renderer": str(RENDERER),
        f"{PRODUCT}/origin": source_api,
        f"{PRODUCT}/source": violation.source,
        f"{PRODUCT}/policy": violation.policy,
        f"{PRODUCT}/rule": violation.rule,
        f"{PRODUCT}/namespace": violation.subject.namespace or target_of(violation.subject).namespace,
        f"{PRODUCT}/discriminator": violation.discriminator,
        f"{PRODUCT}/category": violation.category,
        f"{PRODUCT}/result": violation.result,
        f"{PRODUCT}/report": violation.subject.name if is_about_cluster(violation) else "",
        RELAPSES: str(relapse.count) if relapse.count else "",
        RELAPSED_AT: timestamp(relapse.at) if relapse.count and relapse.at else "",
    }
    fields = {key: text for key, value in own.items() if (text := fit(value, _FIELD_VALUE))}
    remaining = _PROPERTY_UNITS
    for key, value in violation.properties:
        if key in (TITLE, DESCRIPTION):  # part of Title and Description
            continue
        if violation.source in KUBE_BENCH_SOURCES and key.lower().replace("_", "") in _PROCESS_PROPERTIES:
            continue
        allowed = _property(key[:_FIELD_KEY])
        text = fit(value, min(_FIELD_VALUE, remaining)) if remaining > 1 else None
        if text is None or allowed in fields:
            continue
        if len(fields) == _FIELDS:
            break
        fields[allowed] = text
        remaining -= length(text)
    return fields


@lru_cache(maxsize=1024)  # an engine has a handful; a key has 128 characters at most
def _property(key: str) -> str:
    """The name of the product field for a property."""
    return _FORBIDDEN_IN_KEY.sub("_", f"{PRODUCT}/property/{key}")[:_FIELD_KEY]
