"""A list that its own source says is not whole: said once for each, by a notice about the source object itself.

| source      | it says so by                                                        | it says that it is whole by     |
|-------------|----------------------------------------------------------------------|---------------------------------|
| Gatekeeper  | `status.totalViolations` above the number of listed violations       | audits that list as many        |
| a report    | `summary.fail` and `.warn` together above the results of these kinds | a reading of it without that    |

A notice is a violation like any other (an id, a digest, filters, roll-out through the same path), with a result that no
engine can write and an identity that no result can have: of a constraint the discriminator, which others never have; of
a report neither policy nor rule, of which every result has one. Its subject is the object that holds the list, so a
namespaced report speaks of its own namespace and of nothing else, and nobody but that object ends it.

How many there are is no part of its message: `findings/truncation.py` makes the words, and the digest says when another
number is news.

Errors are not counted: Kubewarden counts policies that it could not evaluate and lists none of them, which is no cut
list (`wire.unevaluated`). Nor do the sources in `MISCOUNTING` say anything by their summaries.

Pure: no I/O, no clock.
"""

from typing import Final

from policyhub.sources.violation import Identity, Subject, Violation

DISCRIMINATOR: Final = "truncated"
LISTED: Final = "listed"
TOTAL: Final = "total"
"""Properties of a notice: how many violations are listed, and of how many."""

MOST: Final = 2**53
"""More violations than any list lacks, and the last number that a gauge can show."""

MISCOUNTING: Final = frozenset({"Trivy Vulnerability", "Trivy ExposedSecrets", "Trivy RbacAssessment"})
"""Their adapter writes the counts of Trivy's own report beside results of which it has left out the double ones
(fjogeleit/trivy-operator-polr-adapter@af2d82c, pkg/adapters/{vulnr,exposedsecret,rbac}/mapper.go)."""


class Truncation:
    """Who may say of which object that its list is not whole."""

    __slots__ = ("_policy", "_rule", "_source", "_subject")

    def __init__(self, subject: Subject, *, source: str, policy: str = "", rule: str = "") -> None:
        """Without policy and rule: a report's."""
        self._subject = subject
        self._source = source
        self._policy = policy
        self._rule = rule

    @property
    def counts(self) -> bool:
        """Whether a summary of it counts what is listed."""
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
            properties=((LISTED, str(listed)), (TOTAL, str(min(total, MOST)))),
        )


def is_notice(violation: Violation) -> bool:
    return violation.result == "truncated"


def counts(violation: Violation) -> tuple[int, int]:
    """How many violations a notice's source lists, and of how many."""
    told = dict(violation.properties)
    return int(told[LISTED]), int(told[TOTAL])
