"""Whether engines report: the engines that objects of one source API name, with the newest time of each, and the
constraints that are not audited or whose list is truncated.

Anybody who may write reports may name engines. So their number is bounded, and known engines are always admitted
(`policyhub.sync.admission`). An engine that a complete listing lacks and that has no active finding counts as removed,
not as silent. No clock.
"""

from collections.abc import Callable

from policyhub.model.engines import KNOWN_ENGINES, MAX_ENGINES, MAX_ENGINES_PER_NAMESPACE
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import ParsedReport, SourceKey
from policyhub.sources.truncation import counts
from policyhub.sync.admission import Admission


def listed(parsed: ParsedReport) -> int:
    """Number of a constraint's violations that its list has; several of one object count as one."""
    if parsed.notice is None:
        return len(parsed.violations)
    return counts(parsed.notice)[1] - parsed.unlisted


class Freshness:
    """For one source API."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        """Engine → newest time (Unix s) of its results."""
        self.unlisted: dict[SourceKey, int] = {}
        """By constraint: violations that it counts and does not list."""
        self.listed: dict[SourceKey, int] = {}
        """Violations that the same constraints list."""
        self.unaudited: dict[SourceKey, int] = {}
        """Constraints without an audit → creation time (Unix s; 0: not known)."""
        self._admitted: Admission[str] = Admission(
            total=MAX_ENGINES, each=MAX_ENGINES_PER_NAMESPACE, known=KNOWN_ENGINES
        )
        self._listed_engines: set[str] = set()
        """Engines that the listing in progress has shown."""

    def begin(self) -> None:
        """A listing begins."""
        self._listed_engines.clear()

    def note(self, engine: str, at: int, *, namespace: str, listing: bool) -> None:
        """A report in this namespace names the engine, with this time (Unix s)."""
        if at > self.newest.get(engine, 0) and self._admitted.admit(engine, namespace):
            self.newest[engine] = at
        if listing and engine in self.newest:
            self._listed_engines.add(engine)

    def take(self, parsed: ParsedReport) -> None:
        """Take the list and audit state of an object."""
        key = parsed.key
        self.forget(key)
        if parsed.unlisted:
            self.unlisted[key] = parsed.unlisted
            self.listed[key] = listed(parsed)
        if parsed.audited is None and key.group == CONSTRAINTS:
            self.unaudited[key] = parsed.created or 0

    def forget(self, key: SourceKey) -> None:
        """The object was deleted."""
        for figures in (self.unlisted, self.listed, self.unaudited):
            figures.pop(key, None)

    def finish(self, active: Callable[[str], int]) -> None:
        """The listing is complete; `active` returns the number of active findings of an engine."""
        for engine in [e for e in self.newest if e not in self._listed_engines and not active(e)]:
            del self.newest[engine]
