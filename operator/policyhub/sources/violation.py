"""The vocabulary of the sources: what an engine says about an object.

Pure: no I/O, no clock. Everything here is immutable and comparable: two readings of a source object that compare equal
have no semantic difference, so an engine's rewrite with new timestamps costs nothing further down. What is kept for
each violation is out of the garbage collector's sight (`gc=False`): it holds nothing that could lead back to it.
"""

from typing import Literal, get_args

import msgspec

from policyhub.sources.kinds import SERVED_TWICE
from policyhub.sources.recent import share
from policyhub.sources.text import NAME, distinct

Result = Literal["fail", "warn", "error", "truncated"]
"""The results that make a violation. `pass` and `skip` are positive evidence that there is none; `truncated` is
written by no engine: it is what is said of a list that is not whole (sources/truncation.py)."""

Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""
"""ASFF severity labels; what every engine's own scale is mapped to."""

PolicyRef = tuple[str, str]
"""(source, policy)."""


class Subject(msgspec.Struct, frozen=True, order=True, gc=False):
    """A Kubernetes object that a result is about. Empty strings where a part does not apply."""

    group: str
    kind: str
    namespace: str
    name: str


class Identity(msgspec.Struct, frozen=True, order=True, gc=False):
    """What the id of a finding is made of, and nothing else."""

    source: str
    policy: str
    rule: str
    subject: Subject
    discriminator: str

    @property
    def parts(self) -> tuple[str, ...]:
        """(source, policy, rule, group, kind, namespace, name, discriminator)."""
        s = self.subject
        return (self.source, self.policy, self.rule, s.group, s.kind, s.namespace, s.name, self.discriminator)


class ObjectRef(msgspec.Struct, frozen=True, order=True, gc=False):
    """An object in one version; its fields are in the order in which Gatekeeper compares objects."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str

    @property
    def subject(self) -> Subject:
        return Subject(self.group, self.kind, self.namespace, self.name)


Covered = tuple[tuple[Subject, frozenset[PolicyRef]], ...]
"""Objects, each with the policies that have said something of it."""


class SourceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One source object (a report or a constraint). Never the API version: it is the same object under each."""

    group: str
    resource: str
    """The plural, e.g. `policyreports`."""
    namespace: str
    name: str

    @classmethod
    def named(cls, group: str, resource: str, namespace: str, name: str) -> "SourceKey":
        """As the wire names the object. What no API server of Kubernetes would name so is cut, and still its own."""
        return cls(group, resource, distinct(namespace, NAME), distinct(name, NAME))

    @property
    def source_api(self) -> str:
        """The API that the object came through, e.g. `policyreports.wgpolicyk8s.io`."""
        return share(f"{self.resource}.{self.group}")  # kept with every finding


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One (policy, rule, subject) that a source object calls `fail`, `warn` or `error`, or that a constraint lists.

    Several results of one source object with the same identity are one violation: the worst result speaks, and the
    message lists the distinct messages.
    """

    source: str
    """The engine's own name: `kyverno`, `gatekeeper`, `Trivy ConfigAudit` … never empty."""
    policy: str
    rule: str
    subject: Subject
    discriminator: str
    """Tells apart violations that share all else (Trivy: the vulnerable package; kube-bench: the check's index)."""
    result: Result
    severity: Severity | None
    """None where the engine names none: the mapping's default applies."""
    category: str
    message: str
    properties: tuple[tuple[str, str], ...] = ()
    """The result's own properties, sorted by key, without those that change at each scan."""
    api_version: str = ""
    """The subject's apiVersion as the engine names it (shown in the finding, no part of its identity)."""
    own: bool = True
    """False where it was said of another object that counts for the subject (findings/rollup.py)."""
    risk: Severity | None = None
    """What a violation of this policy is known to mean (sources/risk.py), where nobody states a severity."""
    enforcement: str = ""
    """What the engine does about it, where it states that in place of a severity: Gatekeeper's `deny`, `dryrun`."""

    @property
    def identity(self) -> Identity:
        return Identity(self.source, self.policy, self.rule, self.subject, self.discriminator)

    def label(self, default: Severity) -> Severity:
        """The severity that a reader sees: what was stated, else what is known of the policy, else the default."""
        return self.severity or self.risk or default

    @property
    def object_ref(self) -> ObjectRef:
        """Of the subject. The version is empty where the engine names none."""
        s = self.subject
        return ObjectRef(s.group, self.api_version.rpartition("/")[2], s.kind, s.namespace, s.name)


class ParsedReport(msgspec.Struct, frozen=True):
    """What one source object says at one moment."""

    key: SourceKey
    violations: tuple[tuple[Violation, int | None], ...]
    """Each violation, in the order of their distinct identities, with the earliest second (Unix time) it was observed,
    None where no plausible time is given. The time stands beside the violation, not in it: it changes at each scan."""
    created: int | None
    """creationTimestamp of the source object, in Unix seconds."""
    complete: bool
    """False where a missing violation is no evidence: a truncated constraint, one that was not audited yet, an object
    with a result that could not be read, a report whose engine could not evaluate all its policies."""
    newest: int | None = None
    """The newest plausible time that the object names (result timestamp, auditTimestamp), in Unix seconds."""
    unlisted: int = 0
    """How many violations the object counts but does not list (Gatekeeper's limit)."""
    audited: int | None = None
    """When the audit that this constraint tells of began, in Unix seconds as they are written: equal ones are one
    audit. None for reports, and before the first audit. No time to show: it may be implausible."""
    boundary: ObjectRef | None = None
    """Where a truncated list ends, if it tells: the greatest of the places that it lists, and nothing that it left
    out is below (see `below`). None where the list is whole, or in no order that tells."""
    newest_by: tuple[tuple[str, int], ...] = ()
    """`newest` for each source (as its violations name it) that gave a result with a plausible time, whatever the
    result; sorted."""
    covered: Covered = ()
    """Of which Pods, ReplicaSets and Jobs which policies say something, whatever it is (reports only)."""
    passing: tuple[tuple[str, frozenset[PolicyRef]], ...] = ()
    """In which namespaces which policies have written a result that is no violation (reports only)."""
    about: tuple[tuple[Subject, str], ...] = ()
    """Of which objects which source says something, whatever it is (reports only)."""
    over: int = 0
    """How many results were not taken, one for each object that they name: more than one report may have."""
    notice: Violation | None = None
    """That the object counts more violations than it lists (sources/truncation.py); beside its violations."""
    problems: tuple[str, ...] = ()
    """Reasons (few, fixed words) for results that could not be used; counted, never fatal."""

    @property
    def plain_violations(self) -> tuple[Violation, ...]:
        """The violations without their times: what two readings are compared by."""
        return tuple(violation for violation, _ in self.violations)


def below(ref: ObjectRef, boundary: ObjectRef) -> bool:
    """True where a truncated list that ends at `boundary` would have named an object of `ref`.

    A kind can move to another version of its group (autoscaling/v1 to v2): an object last seen in the old one may now
    be listed, or left out, under the new one. So within the boundary's group only its own version can be compared. An
    object that is served in two groups may be left out under either.
    """
    if (ref.group, ref.kind) in SERVED_TWICE:
        return False
    same_group = ref.group == boundary.group
    return ref < boundary and (not same_group or ref.version == boundary.version)


class Malformed(ValueError):  # noqa: N818 - named for what the object is, like Kubernetes' own reasons
    """A source object of which not even the key can be read. What it said before still stands."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """One of few, fixed words; a label of a metric."""
