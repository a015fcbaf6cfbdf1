"""Selects the reader of a source object by its API. Pure: no I/O, no clock."""

import msgspec

from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import Identity, ParsedReport, Severity
from policyhub.sources import constraints, fingerprint, reports
from policyhub.sources.fingerprint import Decoded


def read(
    group: str,
    resource: str,
    raw: bytes | msgspec.Raw,
    *,
    latest: int,
    template: Severity | None = None,
    limit: int = 0,
) -> ParsedReport:
    """`latest` is the latest plausible time in Unix seconds: now plus a tolerance. `template` is the severity in a
    constraint's template. `limit` is the maximum number of results to read (0: all). Raises Malformed.
    """
    if group == CONSTRAINTS:
        return constraints.read(resource, raw, latest=latest, template=template, limit=limit)
    return reports.read(group, resource, raw, latest=latest, limit=limit)


def decode(group: str, resource: str, raw: bytes | msgspec.Raw) -> Decoded | None:
    """A report, for its fingerprint and for `reports.parse`; None for a constraint. Raises Malformed."""
    return None if group == CONSTRAINTS else fingerprint.decode(group, resource, raw)


def completed_notice(group: str, resource: str, raw: bytes | msgspec.Raw) -> Identity | None:
    """The notice that ends because the report now lists everything that it counts; None if it does not. Always None for
    a constraint: one list proves nothing, because an audit right after Gatekeeper's start may find nothing
    (sync/audits.py). Raises Malformed.
    """
    return None if group == CONSTRAINTS else reports.completed_notice(group, resource, raw)


def passed(group: str, resource: str, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
    """The identities that pass in this object. A constraint names only violations."""
    return frozenset() if group == CONSTRAINTS else reports.passed(group, resource, raw)
