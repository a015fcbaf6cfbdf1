"""How a violation reads in Security Hub CSPM: one ASFF finding (schema 2018-10-08).

| ASFF                  | from                                                                                     |
|-----------------------|------------------------------------------------------------------------------------------|
| Title                 | policy, kind and name of the object, cluster: within the first 80 characters where that  |
|                       | can be, since a list of findings shows no more; then the rule (prose.py)                 |
| Description           | object, cluster, policy, source, rule; then the message, which alone is cut (prose.py)   |
| FindingProviderFields | severity and type (taxonomy.py); never the top-level fields, which are the customer's    |
| Compliance            | fail FAILED, warn WARNING, error NOT_AVAILABLE; control, requirements, standards         |
| Remediation, SourceUrl| what the engine says is to be done, and where to read on (remedy.py)                     |
| Vulnerabilities       | of a scanner's result: the package, its versions, the score                              |
| Resources             | the object first, then its cluster                                                       |
| ProductFields         | `policyhub/…`: what the operator reads back, what analysts filter by, the properties     |
| RecordState           | ACTIVE, or ARCHIVED when the violation is gone                                           |

Never written, because they belong to the analyst or to the service: Workflow, Note, UserDefinedFields,
VerificationState, Severity, Types, Confidence, Criticality, the top-level Region. Every string fits its limit and holds
something to read; whatever a violation holds, the finding is one that Security Hub takes. Pure: no I/O, no clock.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from policyhub.clocks import WallMs
from policyhub.findings.limits import fit, fit_distinct, length
from policyhub.findings.prose import description, filled, title
from policyhub.findings.remedy import remediation, source_url, vulnerabilities
from policyhub.findings.taxonomy import compliance, finding_type
from policyhub.sources.policy import DESCRIPTION, TITLE
from policyhub.sources.violation import Severity, Violation

RENDERER = 3
"""Raised when findings of the same violation begin to read otherwise; kept beside the digest, never in it."""

_LAST = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in Unix milliseconds."""

PRODUCT = "policyhub"
CLUSTER_UID = f"{PRODUCT}/cluster-uid"
"""The product field that tells whose the finding is."""
PARTITIONS = frozenset({"aws", "aws-cn", "aws-us-gov"})
"""The only partitions that ASFF can name; in others (aws-iso, aws-eusc) the member is left out."""

# Security Hub's limits, in UTF-16 units.
_GENERATOR, _RESOURCE_ID = 512, 512
_DETAIL = 1023  # documented as "fewer than 1,024"
_FIELDS, _FIELD_KEY, _FIELD_VALUE = 50, 128, 1024  # 2,048 is documented, 1,024 is what others found

# A finding has at most 240 KB, and a batch of 100 at most 6 MB. JSON may need six bytes for one unit, so this much of
# an engine's properties keeps a finding near 60 KB at worst and at 2 KB as a rule.
_PROPERTY_UNITS = 6000

_FORBIDDEN_IN_KEY = re.compile(r"[^A-Za-z0-9 .:+\\=@_/-]")
_ARN = re.compile(r"arn:(?P<partition>[^:]+):eks:(?P<region>[^:]+):[^:]*:cluster/(?P<name>.+)")


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
    created_at: WallMs,
    observed_at: WallMs,
    updated_at: WallMs,
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
        "GeneratorId": fit_distinct("/".join(filled(PRODUCT, *_names(violation))), _GENERATOR),
        "AwsAccountId": cluster.account,
        "CreatedAt": created,
        "FirstObservedAt": created,
        "LastObservedAt": updated if observed_at == updated_at else timestamp(observed_at),
        "UpdatedAt": updated,
        "Title": title(violation, cluster=cluster.name),
        "Description": description(violation, cluster=cluster.name),
        "FindingProviderFields": {"Severity": severity, "Types": [finding_type(violation.source)]},
        "Compliance": compliance(violation),
        "Resources": [_object(violation, cluster), _cluster(cluster)],
        "ProductFields": _product_fields(violation, cluster=cluster, digest=digest, origin=origin),
        "RecordState": "ARCHIVED" if archived else "ACTIVE",
    }
    recommendation = remediation(violation)
    if recommendation:
        finding["Remediation"] = {"Recommendation": recommendation}
    url = source_url(violation)
    if url:
        finding["SourceUrl"] = url
    found = vulnerabilities(violation)
    if found:
        finding["Vulnerabilities"] = found
    return finding


@lru_cache(maxsize=4096)  # the findings of a batch share most of theirs
def timestamp(milliseconds: WallMs) -> str:
    """RFC 3339 with milliseconds, in UTC. Beyond the year 9999, which somebody may have written, its last moment."""
    seconds, rest = divmod(min(int(milliseconds), _LAST), 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000, tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _names(violation: Violation) -> tuple[str, str, str]:
    return violation.source, violation.policy, violation.rule


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


@lru_cache(maxsize=256)
def _cluster(cluster: Cluster) -> dict[str, Any]:
    """The cluster as a resource: one for all its findings, which nobody changes."""
    known = _ARN.fullmatch(cluster.arn or "")
    if cluster.arn and known:
        details: dict[str, Any] = {"AwsEksCluster": {"Arn": cluster.arn, "Name": known["name"]}}
        return {"Type": "AwsEksCluster", "Id": cluster.arn, **_place(cluster), "Details": details}
    details = {"Other": {"Kind": "Cluster", "Name": fit(cluster.name, _DETAIL) or cluster.id}}
    named = fit_distinct(f"kubernetes/{cluster.id}", _RESOURCE_ID)
    return {"Type": "Other", "Id": named, **_place(cluster), "Details": details}


@lru_cache(maxsize=256)
def _place(cluster: Cluster) -> dict[str, str]:
    """Where the cluster lies: as its ARN says, else where its hub is."""
    known = _ARN.fullmatch(cluster.arn or "")
    partition, region = (known["partition"], known["region"]) if known else (cluster.partition, cluster.region)
    place = {"Partition": partition} if partition in PARTITIONS else {}
    return {**place, "Region": region} if 0 < len(region) <= 16 else place


def _product_fields(violation: Violation, *, cluster: Cluster, digest: str, origin: str) -> dict[str, str]:
    own = {
        f"{PRODUCT}/cluster": cluster.id,
        CLUSTER_UID: cluster.uid,
        f"{PRODUCT}/digest": digest,
        f"{PRODUCT}/renderer": str(RENDERER),
        f"{PRODUCT}/origin": origin,
        f"{PRODUCT}/source": violation.source,
        f"{PRODUCT}/policy": violation.policy,
        f"{PRODUCT}/rule": violation.rule,
        f"{PRODUCT}/namespace": violation.subject.namespace,
        f"{PRODUCT}/discriminator": violation.discriminator,
        f"{PRODUCT}/category": violation.category,
        f"{PRODUCT}/result": violation.result,
    }
    fields = {key: text for key, value in own.items() if (text := fit(value, _FIELD_VALUE))}
    left = _PROPERTY_UNITS
    for key, value in violation.properties:
        if key in (TITLE, DESCRIPTION):  # said in Title and Description
            continue
        allowed = _property(key[:_FIELD_KEY])
        text = fit(value, min(_FIELD_VALUE, left)) if left > 1 else None
        if text is None or allowed in fields:
            continue
        if len(fields) == _FIELDS:
            break
        fields[allowed] = text
        left -= length(text)
    return fields


@lru_cache(maxsize=1024)  # an engine has a handful; a key has 128 characters at most
def _property(key: str) -> str:
    """The name of the product field that holds a property."""
    return _FORBIDDEN_IN_KEY.sub("_", f"{PRODUCT}/property/{key}")[:_FIELD_KEY]
