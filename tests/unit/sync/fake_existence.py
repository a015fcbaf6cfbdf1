"""A fake of `Existence` that answers from a table."""

from policyhub.clock import UNDATED, SteadyMs
from policyhub.model.violation import Subject
from policyhub.sync.existence import Answer, Presence


class FakeExistence:
    """Answers at once; UNKNOWN for everything that is not in its tables."""

    def __init__(self, **policies: Presence) -> None:
        self.subjects: dict[Subject, Presence] = {}
        self.policies = policies
        self.changed = UNDATED
        """Last change of everything that exists."""
        self.silent = False
        """Whether lookups stay without an answer."""

    def subject(self, subject: Subject, *, since: SteadyMs) -> Answer | None:
        return self._answer(self.subjects.get(subject, Presence.UNKNOWN), since)

    def policy(self, source: str, policy: str, *, since: SteadyMs) -> Answer | None:
        del source
        return self._answer(self.policies.get(policy, Presence.UNKNOWN), since)

    def _answer(self, presence: Presence, since: SteadyMs) -> Answer | None:
        return None if self.silent else Answer(presence, since, changed_at=self.changed, uid="uid", answered_at=since)
