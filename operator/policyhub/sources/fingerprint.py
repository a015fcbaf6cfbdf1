"""Detects whether a rewritten report has changed: engines rewrite each report at each scan, with new times and in
another order.

| part of a report                              | in the fingerprint                                |
|-----------------------------------------------|---------------------------------------------------|
| the times of its results                      | no: see `newest_by`                               |
| the order of its results                      | no                                                |
| properties that change at each scan           | no: `results.VOLATILE`                            |
| labels                                        | only the engine that they name; Kubewarden gives  |
|                                               | each scan a label of its own                      |
| everything else that is read, also its name   | yes                                               |
| what is not read (resourceVersion, …)         | no                                                |

Two readings with the same fingerprint have equal violations and differ only in times. Fingerprints have 60 bits and
depend on a secret of this process (`hash`), so nobody outside can create two reports with the same fingerprint.

Pure: no I/O, no clock.
"""

from typing import Final

import msgspec

from policyhub.model.violation import SourceKey
from policyhub.sources import wire
from policyhub.sources.problems import key, part
from policyhub.sources.results import VOLATILE, engine_of

BITS: Final = 2**60 - 1
"""A larger int takes 8 bytes more."""

_encode = msgspec.json.Encoder().encode


class Decoded(msgspec.Struct):
    """A decoded report of one API."""

    group: str
    resource: str
    report: wire.Report
    problems: list[str]
    _key: SourceKey | None = None

    @property
    def key(self) -> SourceKey:
        if self._key is None:
            metadata = self.report.metadata
            self._key = key(self.group, self.resource, metadata.namespace or "", metadata.name, self.problems)
        return self._key

    def fingerprint(self) -> int | None:
        """None if the report has a problem, such as an unreadable part."""
        if self.problems:
            return None
        report, engine = self.report, engine_of(self.report)
        results, labels = report.results, report.metadata.labels
        total = sum([_hash(result) for result in results or () if result is not None])
        report.results, report.metadata.labels = None, None
        total = hash((total, len(results or ()), engine, _encode(report)))
        report.results, report.metadata.labels = results, labels
        return total & BITS

    def newest_by(self, *, latest: int) -> tuple[tuple[str, int], ...] | None:
        """As `ParsedReport.newest_by`; None if the results have to be parsed for it."""
        newest_second: dict[str | None, int] = {}
        for result in self.report.results or ():
            if result is not None:
                second = wire.second(result.timestamp, latest) or 0
                if second >= newest_second.get(result.source, 0):
                    newest_second[result.source] = second
        newest: dict[str, int] = {}
        for source_text, second in newest_second.items():
            source = part((source_text or "").strip(), []) or part(engine_of(self.report), [])
            if not source:
                return None
            if second > newest.get(source, 0):
                newest[source] = second
        return tuple(sorted(newest.items()))


def _hash(result: wire.Result) -> int:
    stamp, properties = result.timestamp, result.properties
    result.timestamp = None
    if properties and not VOLATILE.isdisjoint(properties):
        result.properties = {key: value for key, value in properties.items() if key not in VOLATILE}
    found = hash(_encode(result))
    result.timestamp, result.properties = stamp, properties
    return found


def decode(group: str, resource: str, raw: bytes | msgspec.Raw) -> Decoded:
    """Raises Malformed."""
    report, problems = wire.report(raw)
    return Decoded(group, resource, report, problems)
