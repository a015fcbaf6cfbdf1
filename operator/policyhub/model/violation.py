"""The vocabulary of the sources: what an engine reports about an object.

Pure: no I/O, no clock. Everything here is immutable and comparable: two readings of a source object that compare equal
mean the same, so a rewrite with new timestamps causes no further work. The garbage collector does not track what is
kept for each violation (`gc=False`): it cannot be part of a reference cycle.
"""

from typing import Literal, get_args

import msgspec

from policyhub.model.kinds import SERVED_TWICE
from policyhub.model.recent import share
from policyhub.model.text import NAME, distinct

Result = Literal["fail", "warn", "error", "truncated"]
"""The results of a violation. `pass` and `skip` are positive evidence that there is none. No engine writes `truncated`:
it is the result of a notice about a truncated list (sources/truncation.py)."""

Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The ASFF severity labels, the worst first; every engine's own scale is mapped to them."""

PolicyRef = tuple[str, str]
"""(source, policy)."""


class Subject(msgspec.Struct, frozen=True, order=True, gc=False):
    """A Kubernetes object that a result is about. Empty strings where a part does not apply."""

    group: str
    kind: str
    namespace: str
    name: str


class Identity(msgspec.Struct, frozen=True, order=True, gc=False):
    """What the id of a finding derives from, and nothing else."""

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
"""Objects, each with the policies that have a result on it."""


class SourceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One source object (a report or a constraint), without an API version: the object is the same in each."""

    group: str
    resource: str
    """The plural, e.g. `policyreports`."""
    namespace: str
    name: str

    @classmethod
    def named(cls, group: str, resource: str, namespace: str, name: str) -> "SourceKey":
        """From the names on the wire. A name that Kubernetes would not accept is cut but stays distinct."""
        return cls(group, resource, distinct(namespace, NAME), distinct(name, NAME))

    @property
    def source_api(self) -> str:
        """The API that the object was read from, e.g. `policyreports.wgpolicyk8s.io`."""
        return share(f"{self.resource}.{self.group}")  # kept with every finding


class Violation(msgspec.Struct, frozen=True, gc=False):
    """One (policy, rule, subject) that a report states as `fail`, `warn` or `error`, or that a constraint lists.

    Several results of one source object with the same identity are one violation: it is the worst of them, and its
    message lists the distinct messages.
    """

    source: str
    """The engine's own name: `kyverno`, `gatekeeper`, `Trivy ConfigAudit` … never empty."""
    policy: str
    rule: str
    subject: Subject
    discriminator: str
    """Distinguishes otherwise equal violations (Trivy: the vulnerable package; kube-bench: the check's index)."""
    result: Result
    severity: Severity | None
    """None if the engine states none: `risk` or the default applies."""
    category: str
    message: str
    properties: tuple[tuple[str, str], ...] = ()
    """The result's own properties, sorted by key, without those that change at each scan."""
    api_version: str = ""
    """The subject's apiVersion as the engine writes it (shown in the finding, not part of its identity)."""
    own: bool = True
    """False if it was reported about another object that rolls up to the subject (findings/rollup.py)."""
    risk: Severity | None = None
    """The known risk of this policy (sources/risk.py), if no severity is stated."""
    enforcement: str = ""
    """What the engine does about it, if it states that instead of a severity: Gatekeeper's `deny`, `dryrun`."""

    @property
    def identity(self) -> Identity:
        return Identity(self.source, self.policy, self.rule, self.subject, self.discriminator)

    def label(self, default: Severity) -> Severity:
        """The severity that a reader sees: the stated one, else the known risk of the policy, else the default."""
        return self.severity or self.risk or default

    @property
    def object_ref(self) -> ObjectRef:
        """The subject with its version, which is empty if the engine names none."""
        s = self.subject
        return ObjectRef(s.group, share(self.api_version.rpartition("/")[2]), s.kind, s.namespace, s.name)


class ParsedReport(msgspec.Struct, frozen=True):
    """What one source object states at one moment."""

    key: SourceKey
    violations: tuple[tuple[Violation, int | None], ...]
    """Each violation, sorted by its identity, which is unique, with the earliest second (Unix time) it was observed;
    None: no plausible time. The time is beside the violation, not in it, because it changes at each scan."""
    created: int | None
    """creationTimestamp of the source object, in Unix seconds."""
    complete: bool
    """False if a missing violation is no evidence: a truncated constraint, one that was not audited yet, an object
    with a result that could not be read, a report whose engine could not evaluate all its policies."""
    newest: int | None = None
    """The newest plausible time in the object (result timestamp, auditTimestamp), in Unix seconds."""
    unlisted: int = 0
    """How many violations the object counts but does not list (Gatekeeper's limit)."""
    audited: int | None = None
    """When the last audit of this constraint began, in Unix seconds as written: equal values are the same audit. None
    for reports, and before the first audit. Do not show it: it may be implausible."""
    boundary: ObjectRef | None = None
    """Where a truncated list ends: the largest object that it lists; it omits no object below that (see `below`). None
    if the list is complete, or its order is unknown."""
    newest_by: tuple[tuple[str, int], ...] = ()
    """`newest` for each source (as in its violations) with a result that has a plausible time, whatever the result;
    sorted."""
    covered: Covered = ()
    """Each Pod, ReplicaSet and Job, with the policies that have a result on it, whatever the result (reports only)."""
    passing: tuple[tuple[str, frozenset[PolicyRef]], ...] = ()
    """Namespaces, each with the policies that have a result there that is no violation (reports only)."""
    scanned: tuple[tuple[Subject, str], ...] = ()
    """Each object with each source that has a result on it, whatever the result (reports only)."""
    over: int = 0
    """How many results above the limit were not read; each counts once for each object that it names."""
    notice: Violation | None = None
    """States that the object counts more violations than it lists (sources/truncation.py); not in `violations`."""
    problems: tuple[str, ...] = ()
    """Reasons (few, fixed values) why results could not be used; counted, never fatal."""

    @property
    def plain_violations(self) -> tuple[Violation, ...]:
        """The violations without their times, to compare two readings."""
        return tuple(violation for violation, _ in self.violations)


def below(ref: ObjectRef, boundary: ObjectRef) -> bool:
    """Whether a truncated list that ends at `boundary` would contain an object of `ref`.

    A kind can move to another version of its group (autoscaling/v1 to v2): an object last seen in the old version may
    now be listed, or omitted, in the new one. So within the boundary's group only its own version can be compared. An
    object that is served in two groups may be omitted in either group.
    """
    if (ref.group, ref.kind) in SERVED_TWICE:
        return False
    same_group = ref.group == boundary.group
    return ref < boundary and (not same_group or ref.version == boundary.version)


class Malformed(ValueError):
    """A source object whose key cannot be read. What it stated before remains valid."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """One of few, fixed values; a metric label."""
