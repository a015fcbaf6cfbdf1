"""Truncated lists: each source object that counts more violations than it lists gets one notice about itself.

| source      | the list is truncated if                                             | it is complete again after      |
|-------------|----------------------------------------------------------------------|---------------------------------|
| Gatekeeper  | `status.totalViolations` is above the number of listed violations    | audits that list as many        |
| a report    | `summary.fail` plus `.warn` is above the number of these results     | a reading where it is not       |

A notice is a violation like any other (an id, a digest, filters, roll-out through the same path), with a result that no
engine can write and an identity that no result can have: for a constraint the discriminator, which its violations never
have; for a report an empty policy and rule, while every result has one of them. Its subject is the object with the
list: the notice of a namespaced report concerns only its own namespace, and only that object can end it.

The numbers are not in its message: `findings/truncation.py` writes the text, and the digest decides when a changed
number needs an update.

Errors do not count: Kubewarden counts policies that it could not evaluate and lists none of them, which is not a
truncated list (`wire.unevaluated`). The summaries of the sources in `MISCOUNTING` are ignored.

Pure: no I/O, no clock.
"""

from typing import Final

from policyhub.model.engines import ENGINES
from policyhub.model.violation import Identity, Subject, Violation

DISCRIMINATOR: Final = "truncated"
LISTED: Final = "listed"
TOTAL: Final = "total"
"""Properties of a notice: the number of listed violations, and the total."""

MAX_TOTAL: Final = 2**53
"""More than any real total, and the last integer that a gauge can show."""

MISCOUNTING: Final = frozenset({engine.name for engine in ENGINES if engine.miscounts})


class Truncation:
    """The source and the object of a possible notice."""

    __slots__ = ("_policy", "_rule", "_source", "_subject")

    def __init__(self, subject: Subject, *, source: str, policy: str = "", rule: str = "") -> None:
        """Without policy and rule: for a report."""
        self._subject = subject
        self._source = source
        self._policy = policy
        self._rule = rule

    @property
    def counts(self) -> bool:
        """Whether summaries of this source count what is listed."""
        return self._source not in MISCOUNTING

    @property
    def identity(self) -> Identity:
        return Identity(self._source, self._policy, self._rule, self._subject, DISCRIMINATOR)

    def notice(self, *, listed: int, total: int) -> Violation:
        return Violation(
            source=self._source,
            policy=self._policy,
            rule=self._rule,
            subject=self._subject,
            discriminator=DISCRIMINATOR,
            result="truncated",
            severity="INFORMATIONAL",
            category="",
            message="",
            properties=((LISTED, str(listed)), (TOTAL, str(min(total, MAX_TOTAL)))),
        )


def is_notice(violation: Violation) -> bool:
    return violation.result == "truncated"


def counts(violation: Violation) -> tuple[int, int]:
    """The number of listed violations, and the total, from a notice."""
    properties = dict(violation.properties)
    return int(properties[LISTED]), int(properties[TOTAL])
