"""An API server that is asked whether something exists, played by a table."""

from policyhub.clock import UNDATED, SteadyMs
from policyhub.sources.violation import Subject
from policyhub.sync.existence import Answer, Presence


class Asked:
    """Answers at once; of what it does not know, that it may not be asked."""

    def __init__(self, **policies: Presence) -> None:
        self.subjects: dict[Subject, Presence] = {}
        self.policies = policies
        self.changed = UNDATED
        """When all that exists was changed last."""
        self.silent = False
        """Whether answers take their time."""

    def subject(self, of: Subject, *, since: SteadyMs) -> Answer | None:
        return self._answer(self.subjects.get(of, Presence.UNKNOWN), since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        del source
        return self._answer(self.policies.get(policy, Presence.UNKNOWN), since)

    def _answer(self, presence: Presence, since: SteadyMs) -> Answer | None:
        return None if self.silent else Answer(presence, since, changed=self.changed, uid="uid", ended=since)
