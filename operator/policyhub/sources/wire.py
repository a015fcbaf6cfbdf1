"""The wire format of reports: the fields we read from PolicyReport, ClusterPolicyReport, Report and ClusterReport.

The same structs serve wgpolicyk8s.io v1alpha2 and v1beta1 and openreports.io v1alpha1: their JSON names are equal. A
strict decode is the fast path. If it fails, each result is read on its own, so that one wrongly typed member does not
lose the other results. Members that identify a violation are never guessed. Pure: no I/O, no clock.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from policyhub.model.kinds import Reference
from policyhub.model.text import line
from policyhub.model.violation import Malformed

MALFORMED_RESULT = "malformed-result"
"""The identifying members of a result cannot be read: it is left out."""

MALFORMED_MEMBER = "malformed-member"
"""A member that only describes (message, severity, time …) cannot be read: it is left out, its result is kept."""

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
"""The name of a source object. One that no API server accepts is cut where it is stored."""
ServedName = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
ServedNamespace = Annotated[str, msgspec.Meta(max_length=63)]
"""For other objects. Only a malicious server sends longer ones, and the object cannot be read."""


class Stamp(msgspec.Struct, gc=False):
    seconds: int | None = None


class Result(msgspec.Struct, omit_defaults=True):
    policy: str | None = None
    rule: str | None = None
    source: str | None = None
    category: str | None = None
    severity: str | None = None
    result: str | None = None
    message: str | None = None
    resources: list[Reference | None] | None = None
    timestamp: Stamp | None = None
    properties: dict[str, str] | None = None
    status: str | None = None
    """The name of `result` in v1alpha1."""
    data: dict[str, str] | None = None
    """The name of `properties` in v1alpha1."""


class Metadata(msgspec.Struct, rename="camel", omit_defaults=True):
    name: Name
    namespace: str | None = None
    creation_timestamp: Time | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Reference | None] | None = None


class Limits(msgspec.Struct, rename="camel"):
    max_results: int | None = None
    status_filter: list[str] | None = None


class Configuration(msgspec.Struct):
    limits: Limits | None = None


class Summary(msgspec.Struct, gc=False):
    fail: int | None = None
    warn: int | None = None
    error: int | None = None


class Report(msgspec.Struct, rename="camel", omit_defaults=True):
    metadata: Metadata
    api_version: str | None = None
    scope: Reference | None = None
    source: str | None = None
    configuration: Configuration | None = None
    summary: Summary | None = None
    results: list[Result | None] | None = None


EARLIEST = 1_420_070_400
"""2015-01-01: an earlier value is not a time (Falcosidekick writes the second of the minute, kube-bench 0)."""

_report = msgspec.json.Decoder(Report)

_OLDEST = "wgpolicyk8s.io/v1alpha1"
"""The version with other names for two members. No API server serves it to us; files may contain it."""

_FAILING = frozenset({"fail", "warn", "error"})

UNREADABLE = Reference(name="\0")
"""Replaces a reference that cannot be read. Its result is left out: no other object may get its violation."""

_S = TypeVar("_S", bound=msgspec.Struct)

_NAMES = ("policy", "rule", "source")


def report(raw: bytes | msgspec.Raw) -> tuple[Report, list[str]]:
    """The report, and a fixed value for each problem. Raises Malformed if its name cannot be read."""
    problems: list[str] = []
    try:
        decoded = _report.decode(raw)
    except msgspec.ValidationError:
        decoded, problems = _tolerant(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("not-json", f"an object that is no JSON: {error}") from error
    if decoded.api_version == _OLDEST:
        for result in decoded.results or ():
            if result is not None:
                result.result = result.result or result.status
                result.properties = result.properties or result.data
    return decoded, problems


def second(stamp: Stamp | None, latest: int) -> int | None:
    """The time of a result, if it is plausible."""
    if stamp is None or (seconds := stamp.seconds) is None or not EARLIEST <= seconds <= latest:
        return None
    return seconds


def trim(report: Report, limit: int) -> int:
    """Limit the report to this many results, and return how many were left out. A result counts once for each object
    that it names. Failures are kept first, so that many passes cannot hide them.
    """
    results = [result for result in report.results or () if result is not None]
    if sum([len(result.resources) if result.resources else 1 for result in results]) <= limit:
        return 0
    kept: list[Result | None] = []
    over, remaining = 0, limit
    for result in sorted(results, key=lambda result: result.result not in _FAILING):
        objects = result.resources or []
        size = max(1, len(objects))
        if size > remaining:
            over += size - remaining
            result.resources = objects[:remaining]
        if remaining:
            kept.append(result)
        remaining = max(0, remaining - size)
    report.results = kept
    return over


def cut_short(report: Report) -> bool:
    """Whether the engine's configuration limits the results to these, or excludes failures: then more may exist."""
    limits = report.configuration.limits if report.configuration is not None else None
    if limits is None:
        return False
    if limits.status_filter and "fail" not in limits.status_filter:
        return True
    limit = limits.max_results
    return limit is not None and 0 < limit <= len(report.results or ())


def unevaluated(report: Report) -> bool:
    """Whether more policies could not be evaluated than are listed: Kubewarden's scanner counts a policy whose server
    it cannot reach, and lists no result for it.
    """
    errors = report.summary.error if report.summary is not None else None
    if not errors:
        return False
    return errors > sum(1 for result in report.results or () if result is not None and result.result == "error")


def breaches(report: Report) -> int:
    """How many failures and warnings the summary counts; 0 without a summary."""
    summary = report.summary
    return 0 if summary is None else max(0, summary.fail or 0) + max(0, summary.warn or 0)


def _tolerant(raw: bytes | msgspec.Raw) -> tuple[Report, list[str]]:
    document = untyped(raw)
    problems: list[str] = []
    metadata = metadata_of(document, Metadata, problems)
    if metadata.owner_references is None and document["metadata"].get("ownerReferences") is not None:
        metadata.owner_references = [UNREADABLE]
    listed = document.get("results")
    if listed is not None and not isinstance(listed, list):
        problems.append(MALFORMED_RESULT)
        listed = None
    results: list[Result | None] = [_result(item, problems) for item in listed or () if item is not None]
    scope, source, version = document.get("scope"), document.get("source"), document.get("apiVersion")
    if source is not None and not isinstance(source, str):
        problems.append(MALFORMED_MEMBER)
        source = None
    return (
        Report(
            metadata=metadata,
            api_version=version if isinstance(version, str) else None,
            scope=None if scope is None else _reference(scope),
            source=source,
            configuration=_converted(document.get("configuration"), Configuration, problems),
            summary=_converted(document.get("summary"), Summary, problems),
            results=results,
        ),
        problems,
    )


def untyped(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """The strict reader stops at the first wrong type, so the rest may still be invalid JSON. Raises Malformed."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("not-json", f"an object that is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Malformed("not-an-object", f"JSON of type {type(document).__name__} where an object is due")
    return document


def metadata_of(document: dict[str, Any], shape: type[_S], problems: list[str]) -> _S:
    """Name and namespace must be readable; of the rest, readable members are used. Raises Malformed."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise Malformed("no-metadata", f"{_kind(document)} without metadata")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not name or not isinstance(namespace, str | None):
        raise Malformed("no-name", f"{_kind(document)} named {_shown(name)} in namespace {_shown(namespace)}")
    return members(metadata, shape, problems)


def _kind(document: dict[str, Any]) -> str:
    return f"an object of kind {_shown(document.get('kind'))}"


def _shown(value: object) -> str:
    """For a message: short and not nested."""
    return repr(line(value, 64)) if isinstance(value, str) else type(value).__name__


def _result(item: object, problems: list[str]) -> Result | None:
    if not isinstance(item, dict):
        problems.append(MALFORMED_RESULT)
        return None
    try:
        return msgspec.convert(item, Result)
    except msgspec.ValidationError:
        pass
    if not all(isinstance(item.get(name), str | None) for name in _NAMES):
        problems.append(MALFORMED_RESULT)
        return None
    resources, properties = item.get("resources"), item.get("properties")
    if not isinstance(resources, list | None) or not isinstance(properties, dict | None):
        problems.append(MALFORMED_RESULT)
        return None
    described = {name: value for name, value in item.items() if name != "resources"}
    described["timestamp"] = stamp(item.get("timestamp"))
    result = members(described, Result, problems)
    result.resources = None if resources is None else [_reference(entry) for entry in resources if entry is not None]
    return result


def stamp(value: object) -> object:
    """Kubescape writes RFC 3339 where the API has seconds. Other text stays as it is, and is counted."""
    try:
        return Stamp(seconds=int(msgspec.convert(value, Time).timestamp())) if isinstance(value, str) else value
    except msgspec.ValidationError:
        return value


def _reference(value: object) -> Reference:
    try:
        return msgspec.convert(value, Reference)
    except msgspec.ValidationError:
        return UNREADABLE


def members(mapping: dict[str, Any], shape: type[_S], problems: list[str]) -> _S:
    """Each member of the right type; the others get their defaults and are counted."""
    readable: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        if field.encode_name not in mapping:
            continue
        value = mapping[field.encode_name]
        if field.name == "properties" and isinstance(value, dict):
            value = {key: text for key, part in value.items() if (text := _text(part)) is not None}
        try:
            readable[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            problems.append(MALFORMED_MEMBER)
    return shape(**readable)


def _text(value: object) -> str | None:
    """A property value as text: numbers and booleans as in JSON, anything else is left out."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    return None


def _converted(value: object, shape: type[_S], problems: list[str]) -> _S | None:
    try:
        return None if value is None else msgspec.convert(value, shape)
    except msgspec.ValidationError:
        problems.append(MALFORMED_MEMBER)
        return None
