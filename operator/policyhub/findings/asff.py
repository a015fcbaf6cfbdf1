"""How a violation reads in Security Hub CSPM: one ASFF finding (schema 2018-10-08).

| ASFF                  | from                                                                                     |
|-----------------------|------------------------------------------------------------------------------------------|
| Title                 | policy, kind and name of the object, cluster: within the first 80 characters where that  |
|                       | can be, since a list of findings shows no more; then the rule                            |
| Description           | the message, which is cut before the context (policy, rule, source, object, cluster)     |
| FindingProviderFields | severity and type; never the top-level fields, which are the customer's                  |
| Compliance.Status     | fail FAILED, warn WARNING, error NOT_AVAILABLE                                           |
| Resources             | the object first, then its cluster                                                       |
| ProductFields         | `policyhub/…`: what the operator reads back, what analysts filter by, the properties     |
| RecordState           | ACTIVE, or ARCHIVED when the violation is gone                                           |

Never written, because they belong to the analyst or to the service: Workflow, Note, UserDefinedFields,
VerificationState, Severity, Types, Confidence, Criticality, the top-level Region. Every string fits its limit and holds
something to read; whatever a violation holds, the finding is one that Security Hub takes. Pure: no I/O, no clock.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from policyhub.findings.limits import cut, fit, fit_distinct, length
from policyhub.sources.violation import Result, Severity, Subject, Violation

RENDERER = 1
"""Raised when findings of the same violation begin to read otherwise; kept beside the digest, never in it."""

PRODUCT = "policyhub"
CLUSTER_UID = f"{PRODUCT}/cluster-uid"
"""The product field that tells whose the finding is."""
PARTITIONS = frozenset({"aws", "aws-cn", "aws-us-gov"})
"""The only partitions that ASFF can name; in others (aws-iso, aws-eusc) the member is left out."""

_STATUS: dict[Result, str] = {"fail": "FAILED", "warn": "WARNING", "error": "NOT_AVAILABLE"}
_TYPE = "Software and Configuration Checks/Kubernetes Policies"

# Security Hub's limits, in UTF-16 units.
_TITLE, _DESCRIPTION, _GENERATOR, _RESOURCE_ID, _ORIGINAL = 256, 1024, 512, 512, 64
_RECOMMENDATION, _DETAIL = 512, 1023  # documented as "fewer than 1,024"
_FIELDS, _FIELD_KEY, _FIELD_VALUE = 50, 128, 1024  # 2,048 is documented, 1,024 is what others found
_TYPE_SEGMENT = 128  # no limit is documented; more than this is no name

# What a list of findings shows of a title, and the least of a long policy name that it must keep.
_TITLE_SEEN, _POLICY_SEEN, _CLUSTER_SEEN = 80, 32, 40

# A finding has at most 240 KB, and a batch of 100 at most 6 MB. JSON may need six bytes for one unit, so this much of
# an engine's properties keeps a finding near 60 KB at worst and at 2 KB as a rule.
_PROPERTY_UNITS = 6000

_FORBIDDEN_IN_KEY = re.compile(r"[^A-Za-z0-9 .:+\\=@_/-]")
_ARN = re.compile(r"arn:(?P<partition>[^:]+):eks:(?P<region>[^:]+):[^:]*:cluster/(?P<name>.+)")
_URL = re.compile(r"https?://[\x21-\x7e]{1,1000}")
_REMEDIATION_TEXT, _REMEDIATION_URLS = "remediation", ("primaryLink", "remediation-docs")


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A monitored cluster, and the hub that its findings go to."""

    id: str
    """What ids are made of: the EKS cluster's ARN, else the MonitoredCluster's name."""
    name: str
    arn: str | None
    uid: str
    """Of the kube-system namespace: tells a cluster from another one that took its name."""
    account: str
    region: str
    """Of the hub. The cluster may lie in another one, as its ARN says."""
    partition: str
    product_arn: str


def render(
    violation: Violation,
    *,
    cluster: Cluster,
    finding_id: str,
    digest: str,
    origin: str,
    created_at: int,
    observed_at: int,
    updated_at: int,
    archived: bool,
    default_severity: Severity = "MEDIUM",
) -> dict[str, Any]:
    """The finding as BatchImportFindings takes it. Times in Unix milliseconds.

    `created_at` is also when it was first observed and must never change; `observed_at` is when it was last seen.
    """
    created, updated = timestamp(created_at), timestamp(updated_at)
    observed_at = max(created_at, observed_at)
    severity: dict[str, str] = {"Label": violation.severity or default_severity}
    if violation.severity is not None:
        severity["Original"] = violation.severity.lower()
    finding: dict[str, Any] = {
        "SchemaVersion": "2018-10-08",
        "Id": finding_id,
        "ProductArn": cluster.product_arn,
        "ProductName": PRODUCT,
        "GeneratorId": fit_distinct("/".join(_filled(PRODUCT, *_names(violation))), _GENERATOR),
        "AwsAccountId": cluster.account,
        "CreatedAt": created,
        "FirstObservedAt": created,
        "LastObservedAt": updated if observed_at == updated_at else timestamp(observed_at),
        "UpdatedAt": updated,
        "Title": _title(violation, cluster),
        "Description": _description(violation, cluster),
        "FindingProviderFields": {"Severity": severity, "Types": [finding_type(violation.source)]},
        "Compliance": {"Status": _STATUS[violation.result]},
        "Resources": [_object(violation, cluster), _cluster(cluster)],
        "ProductFields": _product_fields(violation, cluster=cluster, digest=digest, origin=origin),
        "RecordState": "ARCHIVED" if archived else "ACTIVE",
    }
    recommendation = _recommendation(dict(violation.properties))
    if recommendation:
        finding["Remediation"] = {"Recommendation": recommendation}
    return finding


def timestamp(milliseconds: int) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000, tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def finding_type(source: str) -> str:
    """`namespace/category/classifier`; a slash within a segment would make a fourth one."""
    return f"{_TYPE}/{fit(source.replace('/', '-'), _TYPE_SEGMENT) or 'unknown'}"


def _names(violation: Violation) -> tuple[str, str, str]:
    return violation.source, violation.policy, violation.rule


def _filled(*parts: str) -> list[str]:
    return [part for part in parts if part and not part.isspace()]


def _where(subject: Subject) -> str:
    name = "/".join(_filled(subject.namespace, subject.name))
    return " ".join(_filled(subject.kind, name)) or "an unnamed object"


def _title(violation: Violation, cluster: Cluster) -> str:
    where = fit(f"{_where(violation.subject)} ({cut(cluster.name, _CLUSTER_SEEN)})", _TITLE - _POLICY_SEEN - 2) or ""
    what = fit(violation.policy, _TITLE) or fit(violation.rule, _TITLE) or violation.source
    what = cut(what, max(_POLICY_SEEN, _TITLE_SEEN - len(where) - 2))
    rule = f", rule {violation.rule}" if violation.policy and violation.rule else ""
    return fit(f"{what}: {where}{rule}", _TITLE) or PRODUCT


def _description(violation: Violation, cluster: Cluster) -> str:
    names = ", ".join(
        _filled(violation.policy and f"policy {violation.policy}", violation.rule and f"rule {violation.rule}")
    )
    told = f"{violation.result} on {_where(violation.subject)} in {cluster.name}; {names}; source {violation.source}"
    context = fit(told, _DESCRIPTION // 2) or PRODUCT
    message = fit(violation.message, _DESCRIPTION - length(context) - 3)
    return context if message is None else f"{message} ({context})"


def _object(violation: Violation, cluster: Cluster) -> dict[str, Any]:
    subject = violation.subject
    path = (cluster.id, subject.group or "core", subject.kind or "-", subject.namespace or "-", subject.name or "-")
    details = {
        "Kind": subject.kind,
        "ApiVersion": violation.api_version or subject.group,
        "Namespace": subject.namespace,
        "Name": subject.name,
        "Cluster": cluster.name,
        "ClusterId": cluster.id,
    }
    return {
        "Type": "Other",
        "Id": fit_distinct("kubernetes/" + "/".join(path), _RESOURCE_ID),
        **_place(cluster),
        "Details": {"Other": {key: text for key, value in details.items() if (text := fit(value, _DETAIL))}},
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    known = _ARN.fullmatch(cluster.arn or "")
    if cluster.arn and known:
        details: dict[str, Any] = {"AwsEksCluster": {"Arn": cluster.arn, "Name": known["name"]}}
        return {"Type": "AwsEksCluster", "Id": cluster.arn, **_place(cluster), "Details": details}
    details = {"Other": {"Kind": "Cluster", "Name": fit(cluster.name, _DETAIL) or cluster.id}}
    named = fit_distinct(f"kubernetes/{cluster.id}", _RESOURCE_ID)
    return {"Type": "Other", "Id": named, **_place(cluster), "Details": details}


def _place(cluster: Cluster) -> dict[str, str]:
    """Where the cluster lies: as its ARN says, else where its hub is."""
    known = _ARN.fullmatch(cluster.arn or "")
    partition, region = (known["partition"], known["region"]) if known else (cluster.partition, cluster.region)
    place = {"Partition": partition} if partition in PARTITIONS else {}
    return {**place, "Region": region} if 0 < len(region) <= 16 else place


def _product_fields(violation: Violation, *, cluster: Cluster, digest: str, origin: str) -> dict[str, str]:
    own = {
        "cluster": cluster.id,
        "cluster-uid": cluster.uid,
        "digest": digest,
        "renderer": str(RENDERER),
        "origin": origin,
        "source": violation.source,
        "policy": violation.policy,
        "rule": violation.rule,
        "namespace": violation.subject.namespace,
        "discriminator": violation.discriminator,
        "category": violation.category,
        "result": violation.result,
    }
    fields = {f"{PRODUCT}/{key}": text for key, value in own.items() if (text := fit(value, _FIELD_VALUE))}
    left = _PROPERTY_UNITS
    for key, value in violation.properties:
        allowed = _FORBIDDEN_IN_KEY.sub("_", f"{PRODUCT}/property/{key}")[:_FIELD_KEY]
        text = fit(value, min(_FIELD_VALUE, left)) if left > 1 else None
        if text is None or allowed in fields:
            continue
        if len(fields) == _FIELDS:
            break
        fields[allowed] = text
        left -= length(text)
    return fields


def _recommendation(properties: dict[str, str]) -> dict[str, str]:
    recommendation = {}
    text = fit(properties.get(_REMEDIATION_TEXT), _RECOMMENDATION)
    if text:
        recommendation["Text"] = text
    url = next((url for key in _REMEDIATION_URLS if _URL.fullmatch(url := properties.get(key, ""))), None)
    if url:
        recommendation["Url"] = url
    return recommendation
