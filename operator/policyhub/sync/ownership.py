"""What of a Rollup decides. Pure: no I/O, no clock."""

from typing import Protocol

from policyhub.clocks import SteadyMs
from policyhub.sources.violation import Place, SourceKey, Subject


class Ownership(Protocol):
    """What of a Rollup decides."""

    @property
    def since(self) -> SteadyMs: ...

    def unreported(self, source: str, policy: str, of: Subject) -> bool: ...

    def reports_passes(self, source: str, policy: str, namespace: str) -> bool: ...

    def reports_below(self, source: str, policy: str, namespace: str) -> bool: ...

    def has_below(self, of: Subject) -> bool: ...

    def unaudited(self, of: Subject, constraint: SourceKey, audited: int) -> bool: ...

    def deleted(self, of: Subject) -> bool: ...

    def places(self, of: Subject, constraint: SourceKey) -> list[Place]: ...
