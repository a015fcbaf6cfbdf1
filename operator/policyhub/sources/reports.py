"""Reads policy reports: (Cluster)PolicyReport of wgpolicyk8s.io and (Cluster)Report of openreports.io.

| result                     | becomes                                                     |
|----------------------------|-------------------------------------------------------------|
| fail, warn, error          | a violation                                                 |
| pass, skip                 | no violation; positive evidence in `passed`                 |
| missing or any other value | no violation, no evidence: problem `unknown-result`         |

Sources and objects of results: sources/results.py; limits of texts: sources/problems.py. If the summary counts more
than the results show, a missing violation is no evidence, and a notice reports this: sources/truncation.py.

Invariant: nothing here depends on the API group or version of a report. Pure: no I/O, no clock.
"""

import msgspec

from policyhub.model.violation import Identity, ParsedReport, Violation
from policyhub.sources import wire
from policyhub.sources.coverage import POLICIES, Evaluation, Named
from policyhub.sources.fingerprint import Decoded, decode
from policyhub.sources.merge import merge
from policyhub.sources.problems import HARMLESS, UNKNOWN_RESULT
from policyhub.sources.results import ResultReader
from policyhub.sources.truncation import MAX_TOTAL

PLAUSIBLE_AHEAD_SECONDS = 300
"""How far the time of a result may be ahead of our clock."""

_VIOLATING = frozenset({"fail", "warn", "error"})
_PASSING = frozenset({"pass", "skip"})
_BREACHES = frozenset({"fail", "warn"})


def read(group: str, resource: str, raw: bytes | msgspec.Raw, *, latest: int, limit: int = 0) -> ParsedReport:
    """`latest` is the latest plausible time in Unix seconds: now plus a tolerance. `limit` is the maximum number of
    results to read; a result counts once for each object that it names (0: all). Raises Malformed.
    """
    return parse(decode(group, resource, raw), latest=latest, limit=limit)


def parse(decoded: Decoded, *, latest: int, limit: int = 0) -> ParsedReport:
    """As `read`, for a decoded report, which must not be used afterwards."""
    return _parse(decoded, latest=latest, limit=limit)[0]


def completed_notice(group: str, resource: str, raw: bytes | msgspec.Raw) -> Identity | None:
    """The notice that ends because the report lists everything that it counts; None if it does not.

    Raises Malformed.
    """
    _, reader, is_complete = _parse(decode(group, resource, raw), latest=0, limit=0)
    return reader.truncation().identity if is_complete else None


def _parse(decoded: Decoded, *, latest: int, limit: int) -> tuple[ParsedReport, ResultReader, bool]:
    """Also returns the reader of the results, and whether the list is certainly complete."""
    report, problems = decoded.report, decoded.problems
    over = wire.trim(report, limit) if limit else 0
    reader = ResultReader(report, problems)
    found: dict[Identity, list[tuple[Violation, int | None]]] = {}
    newest: dict[str, int] = {}
    unnamed: dict[Evaluation, None] = {}  # a set in insertion order
    named: list[tuple[Evaluation, Named]] = []
    results = report.results or ()
    for result in results:
        if result is None:
            continue
        source = reader.sources.get(result.source) or reader.source_of(result)
        passes = result.result in _PASSING
        objects = reader.subjects(result, [] if passes else problems) if result.resources else None
        if result.policy or result.rule:
            if objects is None:
                unnamed[source, result.policy or "", passes] = None
            else:
                named.append(((source, result.policy or "", passes), objects))
        observed = wire.second(result.timestamp, latest)
        if observed is not None and observed > newest.get(source, 0):
            newest[source] = observed
        if passes:
            continue
        if result.result not in _VIOLATING:
            problems.append(UNKNOWN_RESULT)
            continue
        if objects is None:
            objects = reader.subjects(result, problems)
        for violation in reader.violations(result, objects, problems):
            found.setdefault(violation.identity, []).append((violation, observed))
    coverage = reader.coverage(unnamed, named, few=len(results) <= POLICIES)
    notice = _notice(reader, report, lacking=over + problems.count(wire.MALFORMED_RESULT))
    readable = not wire.cut_short(report) and HARMLESS.issuperset(problems)
    parsed = ParsedReport(
        key=decoded.key,
        violations=tuple([_merged(found[identity]) for identity in sorted(found)]),
        created=_created(report.metadata),
        complete=readable and not over and notice is None and not wire.unevaluated(report),
        newest=max(newest.values(), default=None),
        newest_by=tuple(sorted(newest.items())),
        covered=coverage.objects,
        scanned=coverage.scanned,
        passing=coverage.passing,
        over=over,
        notice=notice,
        problems=tuple(problems),
    )
    return parsed, reader, readable and notice is None


def passed(group: str, resource: str, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
    """The identities that have only `pass` or `skip` in this object.

    This is positive evidence about this object's own claims, not about those of other objects. Raises Malformed.
    """
    del group, resource  # the evidence does not depend on the API
    report, problems = wire.report(raw)
    reader = ResultReader(report, problems)
    passing: set[Identity] = set()
    other: set[Identity] = set()
    for result in report.results or ():
        if result is not None:
            into = passing if result.result in _PASSING else other
            into.update(reader.identities(result, problems))
    if wire.MALFORMED_RESULT in problems:  # an unreadable result may fail what another one passes
        return frozenset()
    return frozenset(passing - other)


def _created(metadata: wire.Metadata) -> int | None:
    return None if metadata.creation_timestamp is None else int(metadata.creation_timestamp.timestamp())


def _notice(reader: ResultReader, report: wire.Report, *, lacking: int) -> Violation | None:
    """A notice if the summary counts more failures and warnings than there are; a result counts once for each object
    that it names. `lacking` results were not read: each may be a failure or warning.
    """
    total = wire.breaches(report)
    if not total:
        return None
    breaches = (r for r in report.results or () if r is not None and r.result in _BREACHES)
    listed = lacking + sum([max(1, len(r.resources or ())) for r in breaches])
    if total <= listed:
        return None
    truncation = reader.truncation()
    return truncation.notice(listed=listed, total=min(total, MAX_TOTAL)) if truncation.counts else None


def _merged(violations: list[tuple[Violation, int | None]]) -> tuple[Violation, int | None]:
    if len(violations) == 1:
        return violations[0]
    seconds = [second for _, second in violations if second is not None]
    return merge([violation for violation, _ in violations]), min(seconds, default=None)
