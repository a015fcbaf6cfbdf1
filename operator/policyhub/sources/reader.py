"""Which reader fits a source object, by its API. Pure: no I/O, no clock."""

import msgspec

from policyhub.sources import constraints, fingerprint, reports
from policyhub.sources.fingerprint import Decoded
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.violation import Identity, ParsedReport, Severity


def read(
    group: str,
    resource: str,
    raw: bytes | msgspec.Raw,
    *,
    latest: int,
    template: Severity | None = None,
    most: int = 0,
) -> ParsedReport:
    """`latest` is the last second (Unix time) that a time may name: now and a little; `template` the severity that a
    constraint's template names; `most` how many results are taken (0: all). Raises Malformed.
    """
    if group == CONSTRAINTS:
        return constraints.read(resource, raw, latest=latest, template=template, most=most)
    return reports.read(group, resource, raw, latest=latest, most=most)


def decode(group: str, resource: str, raw: bytes | msgspec.Raw) -> Decoded | None:
    """A report, for its fingerprint and for `reports.parse`; None of a constraint. Raises Malformed."""
    return None if group == CONSTRAINTS else fingerprint.decode(group, resource, raw)


def whole(group: str, resource: str, raw: bytes | msgspec.Raw) -> Identity | None:
    """The notice of a cut list that is over, since the report now lists all that it counts; None where it is not. One
    list of a constraint ends nothing: an audit right after Gatekeeper's start may find nothing (sync/audits.py). Raises
    Malformed.
    """
    return None if group == CONSTRAINTS else reports.whole(group, resource, raw)


def passed(group: str, resource: str, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
    """The identities that the object itself reads as passing. A constraint names only what fails."""
    return frozenset() if group == CONSTRAINTS else reports.passed(group, resource, raw)
