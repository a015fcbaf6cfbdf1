"""How known producers of reports deviate from the report API: one table, compiled from their source code.

| a producer …                                                         | member                   | read by         |
|----------------------------------------------------------------------|--------------------------|-----------------|
| writes a set in another order at each scan                           | `sets`, `documents`      | canonical.py    |
| writes times, process ids and counters into the description of       | `left_out`, `documents`, | canonical.py    |
|   the violation                                                      |   `wording`              |                 |
| has its own name for a severity                                      | `severity`, `ranks`      | results.py      |
| has its own name for a remediation or a link                         | `aliases`                | canonical.py    |
| writes several results with the same policy, rule and object         | `discriminator`          | results.py      |
| reports events, not states                                           | `events`                 | event_logs.py   |
| gives each result the creation time of its own object                | `still`                  | cluster/tick.py,|
|                                                                      |                          |   engines.py    |

Read at these commits (no code was copied):

| producer              | repository at commit or version                   | files                                  |
|-----------------------|---------------------------------------------------|----------------------------------------|
| kyverno, Kyverno…     | kyverno/kyverno v1.19.1                           | pkg/pss/evaluate.go,                   |
|                       |                                                   |   pkg/utils/report/results.go          |
| kubewarden            | kubewarden/capabilities-psp-policy 084d57ec8a08,  | src/validate.rs,                       |
|                       |   kubewarden/safe-labels-policy 47343cfaabea      |   validate.go                          |
| Trivy …, CIS Kube Bench| fjogeleit/trivy-operator-polr-adapter af2d82cf8e37,| pkg/adapters/*/mapper.go,              |
|                       |   aquasecurity/trivy-operator 1006872c1463        |   pkg/compliance/io.go                 |
| Trivy Vulnerability,  | devopstales/trivy-operator cf8f3c137728           | trivy-operator.py, kube-bench-scnner.py|
|   CIS Vulnerability   |                                                   |                                        |
| Kube Bench,           | kubernetes-sigs/wg-policy-prototypes 25056e1f3eb5 | policy-report/*-adapter/pkg/report,    |
|   KubeArmor Policy …  |                                                   |   policy-report/samples                |
| netchecks             | hardbyte/netchecks ef2cb6228e99                   | operator/src/reconciler.rs,            |
|                       |                                                   |   netcheck/checks/*.py                 |
| insights, grc         | stolostron/insights-client 9122035ace38           | pkg/processor/reportprocessor.go       |
| image-scanner         | statnett/image-scanner-operator 78317bf0365e      | internal/controller/stas/policy_report.go|
| Tracee                | fjogeleit/tracee-polr-adapter ba2670ee779c        | pkg/kubernetes/mapper.go               |
| KubeArmor,            | bakito/policy-report-publisher aa48c9975bd1       | internal/adapter/*/types.go,           |
|   Blocked Egress      |                                                   |   internal/report/report.go            |

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

Wording = Literal["pod-security", "go-errors", "sets", "times", "processes"]
"""What to normalize in a text; see canonical.py."""

_MARKS: Mapping[Wording, tuple[str, ...]] = {
    "pod-security": ("PodSecurity",),
    "go-errors": ("->", "current time "),
    "sets": ("{", ","),
    "processes": ("",),
    "times": ("",),
}
"""A wording only concerns texts that contain one of its marks (every text contains the empty mark). Most texts contain
none and are skipped."""


class Document(msgspec.Struct, frozen=True):
    """A property that holds JSON."""

    left_out: frozenset[str] = frozenset()
    """Members to drop, at any depth."""
    sets: frozenset[str] = frozenset()
    """Members whose lists have no order; the empty name is the document itself."""


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    sets: frozenset[str] = frozenset()
    """Properties that list values between commas, without an order."""
    documents: Mapping[str, Document] = {}
    left_out: frozenset[str] = frozenset()
    """Properties that change although the violation does not."""
    unset: Mapping[str, str] = {}
    """Property → the value that means that it is not set."""
    numbered: str = ""
    """The text after the number in the keys of properties that list a set: `0. message`, `1. message`."""
    wording: tuple[Wording, ...] = ()
    """Applies to the message and to `worded`, in this order."""
    worded: frozenset[str] = frozenset()
    """Properties that `wording` applies to."""
    severity: tuple[str, ...] = ()
    """Properties that may contain the severity."""
    ranks: Mapping[str, str] = {}
    """Their values → the values of the report API, if they differ."""
    aliases: Mapping[str, str] = {}
    """Property → its name in the results of other producers."""
    discriminator: str = ""
    """The property that distinguishes results with the same policy, rule and object."""
    events: bool = False
    still: bool = False
    touched: frozenset[str] = frozenset()
    """Derived: all properties that are not used as written."""
    marks: tuple[str, ...] = ()
    """Derived: `wording` only concerns texts that contain one of these."""

    def __post_init__(self) -> None:
        keys = {*self.sets, *self.documents, *self.left_out, *self.unset, *self.worded, *self.aliases}
        msgspec.structs.force_setattr(self, "touched", frozenset(keys))
        marks = tuple(mark for wording in self.wording for mark in _MARKS[wording])
        msgspec.structs.force_setattr(self, "marks", marks)


# Go iterates over a map in random order: pkg/pss/evaluate.go makes a list from one if a rule has exclusions. `Images`
# are the object's, which a rollout replaces; the message says which container has which violation.
_KYVERNO = Producer(
    sets=frozenset({"controls", "exceptions"}),
    documents={"controlsJSON": Document(left_out=frozenset({"Images"}), sets=frozenset({""}))},
    wording=("pod-security", "go-errors"),
)
_CEL = Producer(sets=frozenset({"exceptions"}), wording=("go-errors",))
# The messages of its policies list a Rust HashSet or a Go map.
_KUBEWARDEN = Producer(wording=("sets",))

_TRIVY = Producer(numbered=". message", still=True)
"""The adapter copies creationTimestamp of Trivy's report into each result, and Trivy updates its reports in place."""
_VULNERABILITY = Producer(discriminator="resource", unset={"score": "0"}, still=True)
"""A missing score is written as 0."""

# The output of `ps` during the check; the arguments of processes are of no use to the reader of a finding.
_KUBE_BENCH = Producer(
    discriminator="index",
    wording=("processes", "times"),
    worded=frozenset({"actual_value", "reason"}),
)

_NETCHECKS = Producer(
    documents={
        "data": Document(
            left_out=frozenset({"startTimestamp", "endTimestamp", "expiration", "response", "headers"}),
            sets=frozenset({"A", "rows", "violations"}),
        ),
        "spec": Document(),
    },
    wording=("processes", "times"),
    worded=frozenset({"data"}),
)
"""`response` is raw network data, with a random id and remaining times to live; `headers` contain a Date."""

_RISKS = {"1": "low", "2": "medium", "3": "high", "4": "critical"}
_INSIGHTS = Producer(
    documents={"extra_data": Document(sets=frozenset({"nodes"}))},
    severity=("total_risk",),
    ranks=_RISKS,
    aliases={"resolution": "remediation", "reason": "description"},
)
_GRC = Producer(severity=("total_risk",), ranks=_RISKS)
# Writes one result for each package with the vulnerability.
_IMAGE_SCANNER = Producer(discriminator="pkgName", aliases={"primaryURL": "primaryLink"})

_RUNTIME: tuple[Wording, ...] = ("processes", "times")
_FALCO = Producer(events=True, wording=_RUNTIME, worded=frozenset({"details"}))
_JSPOLICY = Producer(events=True)
_TRACEE = Producer(
    events=True,
    wording=_RUNTIME,
    left_out=frozenset({"processID", "cgroupID", "mountNamespace", "pidNamespace", "returnValue", "containerID"}),
)
_KUBEARMOR = Producer(
    events=True,
    wording=_RUNTIME,
    left_out=frozenset({"updated_time", "pid", "host_pid", "ppid", "container_id", "created", "updated", "count"}),
    worded=frozenset({"data"}),
)
_FLOWS = Producer(events=True, wording=_RUNTIME, left_out=frozenset({"created", "updated", "count"}))

PRODUCERS: Mapping[str, Producer] = {
    "kyverno": _KYVERNO,
    "KyvernoValidatingPolicy": _CEL,
    "KyvernoImageValidatingPolicy": _CEL,
    "KyvernoMutatingPolicy": _CEL,
    "KyvernoGeneratingPolicy": _CEL,
    "kubewarden": _KUBEWARDEN,
    "Trivy ConfigAudit": _TRIVY,
    "Trivy RbacAssessment": _TRIVY,
    "Trivy InfraAssessment": _TRIVY,
    "Trivy Compliance": _TRIVY,
    "Trivy ExposedSecrets": Producer(still=True),
    "Trivy Vulnerability": _VULNERABILITY,
    "CIS Kube Bench": Producer(still=True),
    "Kube Bench": _KUBE_BENCH,
    "CIS Vulnerability": _KUBE_BENCH,
    "netchecks": _NETCHECKS,
    "insights": _INSIGHTS,
    "grc": _GRC,
    "image-scanner": _IMAGE_SCANNER,
    "Falco": _FALCO,
    "JsPolicy": _JSPOLICY,
    "Tracee": _TRACEE,
    "KubeArmor": _KUBEARMOR,
    "KubeArmor Policy Engine": _KUBEARMOR,
    "Cilium Hubble": _FLOWS,
    "Blocked Egress": _FLOWS,
}
"""By the name that each writes into `source`."""

UNKNOWN = Producer(
    severity=("severity", "policy.open-cluster-management.io/severity"),
    aliases={
        "resolution": "remediation",
        "recommendation": "remediation",
        "primaryURL": "primaryLink",
        "PrimaryURL": "primaryLink",
        "more_info": "link",
        "moreInfo": "link",
    },
)
"""All other producers: names that several of the above use; nothing is left out."""


def times_stand_still(source: str) -> bool:
    """Whether results keep their time for months while the producer runs: old times do not mean that it stopped."""
    producer = PRODUCERS.get(source)
    return producer is not None and producer.still
