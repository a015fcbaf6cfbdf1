"""Where each field of a finding came from: the table that stands beside the mapping of `findings.asff`.

A row names a field of the finding (`*` for any number or key) and says what it is made of; a word in braces stands for
the place where that was read. Which of several members a reader took is found by asking the reader about one result at
a time, so nothing of it is known here twice. A test renders findings of every shape and wants a row for each field.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from policyhub.findings.identity import finding_id
from policyhub.render.collector import Collector, ReadObject
from policyhub.render.raw_object import Location, joined
from policyhub.sources import reader
from policyhub.sources.policy import SEVERITY_KEYS, tail
from policyhub.sources.risk import rated
from policyhub.sources.severity import severity_of
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.truncation import is_notice
from policyhub.sources.violation import SourceKey, Violation
from policyhub.sync.entry import Entry

Document = dict[str, Any]
_Said = tuple[list[int], Violation]
"""The numbers of the results, and what the first of them says of its own object."""

UNKNOWN = "the mapping"
"""For a field that the table does not have."""
_MOST = 3
"""Places named of several."""

ROWS: dict[str, str] = {
    "SchemaVersion": "constant",
    "Id": "{cluster_id}, then a hash of {source}, {policy}, {rule}, {subject}{discriminator}",
    "ProductArn": "{account}, {region}",
    "ProductName": "constant",
    "CompanyName": "constant",
    "GeneratorId": "{source}, {policy}, {rule}",
    "AwsAccountId": "{account}",
    "CreatedAt": "{time}",
    "FirstObservedAt": "{time}",
    "LastObservedAt": "the time of rendering (--now)",
    "UpdatedAt": "the time of rendering (--now)",
    "RecordState": "constant: the violation is there",
    "Title": "{policy}, {subject}, {cluster_name}, {rule}",
    "Description": "{subject}, {cluster_name}, {result}, {policy}, {source}, {rule}, then {message}",
    "Compliance.Status": "{result}",
    "Compliance.SecurityControlId": "{control}",
    "Compliance.RelatedRequirements[*]": "{properties}",
    "Compliance.AssociatedStandards[*].StandardsId": "{properties}, {category}",
    "FindingProviderFields.Severity.Label": "{severity}",
    "FindingProviderFields.Severity.Original": "{original}",
    "FindingProviderFields.Types[*]": "constant, then {source}",
    "Remediation.Recommendation.Text": "{remedy}, then constants with {policy}",
    "Remediation.Recommendation.Url": "{properties}: remediation-docs, else primaryLink; else the page of the check",
    "SourceUrl": "{properties}",
    "Vulnerabilities*": "{policy}, {properties}",
    "Resources[0].Type": "constant",
    "Resources[0].Id": "{cluster_id}, {subject}",
    "Resources[0].Details.Other.Kind": "{subject}",
    "Resources[0].Details.Other.ApiVersion": "{subject}",
    "Resources[0].Details.Other.Namespace": "{subject}",
    "Resources[0].Details.Other.Name": "{subject}",
    "Resources[0].Details.Other.Cluster": "{cluster_name}",
    "Resources[0].Details.Other.ClusterId": "{cluster_id}",
    "Resources[0].Details.AwsEksCluster.Arn": "{cluster_id}",
    "Resources[0].Details.AwsEksCluster.Name": "{cluster_id}",
    "Resources[1].Type": "{cluster_id}",
    "Resources[1].Id": "{cluster_id}",
    "Resources[1].Details.AwsEksCluster.Arn": "{cluster_id}",
    "Resources[1].Details.AwsEksCluster.Name": "{cluster_id}",
    "Resources[1].Details.Other.Kind": "constant",
    "Resources[1].Details.Other.Name": "{cluster_name}",
    "Resources[*].Partition": "{where}",
    "Resources[*].Region": "{where}",
    "ProductFields.policyhub/cluster": "{cluster_id}",
    "ProductFields.policyhub/cluster-uid": "{cluster_uid}",
    "ProductFields.policyhub/digest": "a hash of what a reader of the finding can act on",
    "ProductFields.policyhub/renderer": "constant: the version of the mapping",
    "ProductFields.policyhub/origin": "the API of {object}",
    "ProductFields.policyhub/source": "{source}",
    "ProductFields.policyhub/policy": "{policy}",
    "ProductFields.policyhub/rule": "{rule}",
    "ProductFields.policyhub/namespace": "{subject}",
    "ProductFields.policyhub/discriminator": "{properties}",
    "ProductFields.policyhub/category": "{category}",
    "ProductFields.policyhub/result": "{result}",
    "ProductFields.policyhub/report": "metadata.name",
    "ProductFields.policyhub/property/*": "{properties}",
}
_COUNTS = "constant, with the numbers of {properties}"
NOTICE_ROWS: dict[str, str] = {
    "GeneratorId": "{source}, {policy}, {rule}, then constant",
    "Title": "constant, then {subject}, {cluster_name}",
    "Description": f"{{subject}}, {{source}}, {{cluster_name}}: {_COUNTS}",
    "Compliance.Status": "constant: what is not listed is not known",
    "Remediation.Recommendation.Text": _COUNTS,
    "Remediation.Recommendation.Url": "constant",
    "ProductFields.policyhub/discriminator": "constant",
}
"""The same of the notice that a list is not whole, where it differs."""
_WILD = {(row.partition("*")[0], row.partition("*")[2]): text for row, text in ROWS.items() if "*" in row}
"""What a path begins and ends with."""


def fields(finding: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of the finding: its path and its value."""
    if isinstance(finding, dict):
        for key, value in finding.items():
            yield from fields(value, f"{path}.{key}" if path else key)
    elif isinstance(finding, list):
        for number, value in enumerate(finding):
            yield from fields(value, f"{path}[{number}]")
    else:
        yield path, str(finding)


def row(path: str) -> str | None:
    """What the table says of a field."""
    found = ROWS.get(path)
    return found or next((text for (begin, end), text in _WILD.items() if _between(path, begin, end)), None)


def _between(path: str, begin: str, end: str) -> bool:
    return len(path) >= len(begin) + len(end) and path.startswith(begin) and path.endswith(end)


class Provenance:
    """Explains the findings of an intake that kept its objects."""

    def __init__(self, intake: Collector) -> None:
        self._intake = intake
        self._last: tuple[SourceKey, dict[str, _Said], Document] | None = None

    def claimants(self, entry: Entry) -> list[str]:
        """The objects that call for the finding and their places, the one that speaks first."""
        speaker = _claimant(entry)
        keys = [speaker, *(key for key, _ in entry.claims if key != speaker)]
        return [_named(key, self._intake.provenance[key].location) for key in keys]

    def explain(self, entry: Entry, finding: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Each field: its path, its value, and where it came from."""
        facts = self._facts(entry)
        facts["control"] = _control(finding, entry, facts)
        rows = NOTICE_ROWS if entry.representative is not None and is_notice(entry.representative) else {}
        return [
            (path, value, (rows.get(path) or row(path) or UNKNOWN).format_map(facts)) for path, value in fields(finding)
        ]

    def _facts(self, entry: Entry) -> dict[str, str]:
        key, target = _claimant(entry), self._intake.target
        heard = self._intake.provenance[key]
        places, document = self._places(key, heard)
        notice = entry.representative if entry.representative is not None and is_notice(entry.representative) else None
        every = list(range(len(document.get("results") or ())))
        numbers, violation = places[entry.id] if notice is None else (every, notice)
        identity = "cluster_arn" if target.cluster.arn else "cluster_name"
        facts = dict(target.origins)
        facts |= {
            "cluster_id": target.origins[identity],
            "where": target.origins["cluster_arn" if target.cluster.arn else "region"],
            "account": target.origins["account_id"],
            "object": str(heard.location),
            "discriminator": f", {violation.discriminator!r}" if violation.discriminator else "",
        }
        said = _constraint if key.group == CONSTRAINTS else _report
        facts |= said(document, numbers, violation) if notice is None else _notice(document, notice)
        if entry.representative is not None and not entry.representative.own:
            facts["subject"] = f"the controller of {facts['subject']}"
        facts["remedy"] = _remedy(violation, facts)
        facts["time"] = self._time(entry, facts["at"], document, numbers)
        return facts

    def _places(self, key: SourceKey, heard: ReadObject) -> tuple[dict[str, _Said], Document]:
        """Which of the object's results (or listed violations) call for which finding, by its id."""
        if self._last is None or self._last[0] != key:
            document: Document = msgspec.json.decode(heard.raw)
            found: dict[str, _Said] = {}
            for number, single in _singles(document, key.group):
                said = reader.read(key.group, key.resource, msgspec.json.encode(single), latest=0).plain_violations
                for violation in said:
                    counted = self._intake.counted(violation)
                    if counted is not None:
                        id_ = finding_id(self._intake.target.cluster.id, counted.identity)
                        found.setdefault(id_, ([], violation))[0].append(number)
            self._last = key, found, document
        return self._last[1], self._last[2]

    def _time(self, entry: Entry, at: str, document: Document, numbers: list[int]) -> str:
        if entry.observed_at is None:
            return "the time of rendering: no plausible time is given"
        if entry.observed_at > self._intake.now:
            return "the time of rendering: what is given lies in the future"
        results = document.get("results") or []
        for number in numbers:
            stamp = results[number].get("timestamp") if number < len(results) else None
            if isinstance(stamp, dict) and stamp.get("seconds") == entry.observed_at // 1000:
                return f"results[{number}].timestamp"
        if len(entry.claims) > 1:
            return f"the earliest time that {len(entry.claims)} objects give"
        if document.get("results") is None and (document.get("status") or {}).get("auditTimestamp"):
            return "status.auditTimestamp"
        return f"metadata.creationTimestamp: {at} has no plausible time"


def _claimant(entry: Entry) -> SourceKey:
    """Of those that say what is said: one of the API that the finding names."""
    keys = [key for key, said in entry.claims if said == entry.representative]
    return next((key for key in keys if key.source_api == entry.source_api), keys[0])


def _singles(document: Document, group: str) -> Iterator[tuple[int, Document]]:
    """The object with one of its results at a time."""
    if group == CONSTRAINTS:
        status = document["status"]
        for number, entry in enumerate(status.get("violations") or ()):
            yield number, {**document, "status": {**status, "violations": [entry]}}
    else:
        for number, result in enumerate(document.get("results") or ()):
            yield number, {**document, "results": [result]}


def _named(key: SourceKey, place: Location) -> str:
    """The object by its name, and where it was read unless that says no more."""
    name = f"{key.source_api} {key.namespace}/{key.name}" if key.namespace else f"{key.source_api} {key.name}"
    return name if str(place) == name else f"{name} ({place})"


def _control(finding: Mapping[str, Any], entry: Entry, facts: Mapping[str, str]) -> str:
    """What the control's id was taken from."""
    control, said = finding["Compliance"].get("SecurityControlId"), entry.representative
    if said is None or control in {said.policy, said.rule}:
        return facts["policy" if said is None or control == said.policy else "rule"]
    key = next((key for key, value in said.properties if value == control), None)
    return facts["properties"] if key is None else joined(facts["properties"], (key,))


def _remedy(violation: Violation, facts: Mapping[str, str]) -> str:
    """Where it begins."""
    if any(tail(key) == "remediation" for key, _ in violation.properties):
        return f"{facts['properties']}.remediation"
    return f"{facts['subject']}, as far as {facts['message']} names a field"


def _at(name: str, numbers: list[int]) -> str:
    told = ", ".join(joined(name, (number,)) for number in numbers[:_MOST])
    return f"{told} and {len(numbers) - _MOST} more" if len(numbers) > _MOST else told or name


def _report(document: Document, numbers: list[int], violation: Violation) -> dict[str, str]:
    at = _at("results", numbers)
    first = joined("results", (numbers[0],)) if numbers else "results"
    result: Document = document["results"][numbers[0]] if numbers else {}
    return {
        "at": at,
        "source": _source(document, result, first, violation),
        "policy": f"{first}.policy" if violation.policy else "no policy",
        "rule": f"{first}.rule" if violation.rule else "no rule",
        "subject": _subject(document, result, first, violation),
        "severity": f"{first}.severity" if violation.severity else f"{_rank(violation)}: {first} names no severity",
        "original": f"{first}.severity",
        "category": f"{first}.category",
        "result": f"{at}: result" if len(numbers) > 1 else f"{first}.result",
        "message": f"{at}: message" if len(numbers) > 1 else f"{first}.message",
        "properties": f"{first}.properties",
    }


def _rank(violation: Violation) -> str:
    return "the default" if rated(violation).risk is None else "the known risk of the policy"


def _notice(document: Document, notice: Violation) -> dict[str, str]:
    """Of a list that is not whole."""
    if notice.policy:
        at = "status.totalViolations and the length of status.violations"
        named = {"source": "the engine of constraints", "policy": "kind", "rule": "metadata.name"}
    else:
        at = "summary and the number of results"
        first = next((one for one in document.get("results") or () if isinstance(one, dict)), {})
        named = {"source": _source(document, first, "results[0]", notice), "policy": "nothing", "rule": "nothing"}
    constant = {"severity": "constant", "category": "nothing", "message": "nothing"}
    subject = f"the {'constraint' if notice.policy else 'report'} itself"
    return {**named, **constant, "at": at, "subject": subject, "properties": at, "result": at}


def _source(document: Document, result: Document, at: str, violation: Violation) -> str:
    if str(result.get("source") or "").strip():
        return f"{at}.source"
    if str(document.get("source") or "").strip():
        return "source"
    labels = (document.get("metadata") or {}).get("labels") or {}
    label = next((key for key, value in labels.items() if str(value).strip() == violation.source), None)
    if label is not None:
        return joined("metadata.labels", (label,))
    return f"nothing: {at} has a known engine's properties, or no engine is named"


def _subject(document: Document, result: Document, at: str, violation: Violation) -> str:
    name = violation.subject.name
    for number, reference in enumerate(result.get("resources") or ()):
        if isinstance(reference, dict) and reference.get("name") == name:
            return f"{at}.resources[{number}]"
    if (document.get("scope") or {}).get("name") == name:
        return "scope"
    owners = (document.get("metadata") or {}).get("ownerReferences") or [{}]
    return "metadata.ownerReferences[0]" if owners[0].get("name") == name else "the report itself"


def _constraint(document: Document, numbers: list[int], violation: Violation) -> dict[str, str]:
    at = _at("status.violations", numbers)
    entry: Document = document["status"]["violations"][numbers[0]] if numbers else {}
    action = _action(document.get("spec") or {}, entry, joined("status.violations", tuple(numbers[:1])))
    return {
        "at": at,
        "source": "the engine of constraints",
        "policy": "kind",
        "rule": "metadata.name",
        "subject": at,
        "severity": _stated(document) or f"{_rank(violation)}: no annotation or label names a severity",
        "original": _stated(document) or action,
        "category": "nothing",
        "result": "fail, as all that an audit lists",
        "message": f"{at}: message",
        "properties": f"{action}, metadata.annotations" if len(violation.properties) > 1 else action,
    }


def _stated(document: Document) -> str:
    metadata = document["metadata"]
    for where in ("annotations", "labels"):
        for key in SEVERITY_KEYS:
            if severity_of((metadata.get(where) or {}).get(key)) is not None:
                return joined(f"metadata.{where}", (key,))
    return ""


def _action(spec: Document, entry: Document, at: str) -> str:
    if entry.get("enforcementActions"):
        return f"{at}.enforcementActions"
    action = entry.get("enforcementAction") or spec.get("enforcementAction")
    if action == "scoped" and spec.get("scopedEnforcementActions"):
        return "spec.scopedEnforcementActions"
    if entry.get("enforcementAction"):
        return f"{at}.enforcementAction"
    return "spec.enforcementAction" if action else "the default action, deny"
