"""Which engines the objects of one API name, and the newest time of each; which constraints are not audited or cut
their lists: what tells whether engines report.

Who may write reports may name engines: so many are told apart, and known ones always (`policyhub.sync.admission`). One
that a complete listing has not brought, and that has no active finding, was removed; it is not silent. No clock.
"""

from collections.abc import Callable

from policyhub.sources.engines import ENGINES, ENGINES_EACH, KNOWN_ENGINES
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.truncation import counts
from policyhub.sources.violation import ParsedReport, SourceKey
from policyhub.sync.admission import Admission


def listed(reading: ParsedReport) -> int:
    """How many of a constraint's violations its list has: several of one object are one violation."""
    if reading.notice is None:
        return len(reading.violations)
    return counts(reading.notice)[1] - reading.unlisted


class Freshness:
    """Of one source API."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        """Engine → the newest time (Unix s) that it gave any result."""
        self.unlisted: dict[SourceKey, int] = {}
        """Violations that a constraint counts and does not list."""
        self.listed: dict[SourceKey, int] = {}
        """Those that it lists; for the same constraints."""
        self.unaudited: dict[SourceKey, int] = {}
        """Constraints without an audit, and when they were made (Unix s; 0: not known)."""
        self._admitted: Admission[str] = Admission(total=ENGINES, each=ENGINES_EACH, observed=KNOWN_ENGINES)
        self._brought: set[str] = set()
        """Engines that the listing under way has brought."""

    def begin(self) -> None:
        """A listing begins."""
        self._brought.clear()

    def note(self, engine: str, at: int, *, namespace: str, listing: bool) -> None:
        """A report in this namespace names it, with this time."""
        if at > self.newest.get(engine, 0) and self._admitted.admit(engine, namespace):
            self.newest[engine] = at
        if listing and engine in self.newest:
            self._brought.add(engine)

    def take(self, reading: ParsedReport) -> None:
        """What an object says of itself."""
        key = reading.key
        self.forget(key)
        if reading.unlisted:
            self.unlisted[key] = reading.unlisted
            self.listed[key] = listed(reading)
        if reading.audited is None and key.group == CONSTRAINTS:
            self.unaudited[key] = reading.created or 0

    def forget(self, key: SourceKey) -> None:
        """The object is gone."""
        for figures in (self.unlisted, self.listed, self.unaudited):
            figures.pop(key, None)

    def finish(self, active: Callable[[str], int]) -> None:
        """The listing is complete; `active` counts the active findings of an engine."""
        for engine in [e for e in self.newest if e not in self._brought and not active(e)]:
            del self.newest[engine]
