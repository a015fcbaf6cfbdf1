"""What known producers of reports write otherwise than the report API means it: one table, read from their sources.

| a producer …                                                         | member                   | read by         |
|----------------------------------------------------------------------|--------------------------|-----------------|
| writes a set in another order at each scan                           | `sets`, `documents`      | canonical.py    |
| writes times, process ids and counters into what describes           | `left_out`, `documents`, | canonical.py    |
|   the violation                                                      |   `wording`              |                 |
| calls a severity, a remediation or a link by a name of its own       | `severity`, `aliases`    | results.py      |
| has results that policy, rule and object do not tell apart           | `discriminator`          | results.py      |
| writes what happened, not what is                                    | `events`                 | event_logs.py   |
| gives each result the time at which its own object was made          | `still`                  | tick.py, doctor |

Read at these commits (nothing of theirs is copied):

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
"""What of a text is no part of the violation; see canonical.py."""

_MARKS: Mapping[Wording, tuple[str, ...]] = {
    "pod-security": ("PodSecurity",),
    "go-errors": ("->", "current time "),
    "sets": ("{", ","),
    "processes": ("",),
    "times": ("",),
}
"""What every text has that it concerns; most have none, and cost no more."""


class Document(msgspec.Struct, frozen=True):
    """A property that holds JSON."""

    left_out: frozenset[str] = frozenset()
    """Members, at any depth."""
    sets: frozenset[str] = frozenset()
    """Members whose lists are in no order; the empty name is the document itself."""


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    sets: frozenset[str] = frozenset()
    """Properties that list words between commas, in no order."""
    documents: Mapping[str, Document] = {}
    left_out: frozenset[str] = frozenset()
    """Properties that change without the violation."""
    unset: Mapping[str, str] = {}
    """Properties that are not set where they have this value."""
    numbered: str = ""
    """What follows the number in the keys of properties that list a set: `0. message`, `1. message`."""
    wording: tuple[Wording, ...] = ()
    """Of the message and of `worded`; in this order."""
    worded: frozenset[str] = frozenset()
    """Properties that are texts of which `wording` is no part either."""
    severity: tuple[str, ...] = ()
    """The properties that may tell the severity."""
    ranks: Mapping[str, str] = {}
    """The report API's words for what they say, where that says others."""
    aliases: Mapping[str, str] = {}
    """Properties → how others call them."""
    discriminator: str = ""
    """The property that tells results of one policy, rule and object apart."""
    events: bool = False
    still: bool = False
    touched: frozenset[str] = frozenset()
    """All properties that are not taken as they are written; made of the others."""
    marks: tuple[str, ...] = ()
    """Of which a text has one where `wording` may have anything to do; made of it."""

    def __post_init__(self) -> None:
        keys = {*self.sets, *self.documents, *self.left_out, *self.unset, *self.worded, *self.aliases}
        msgspec.structs.force_setattr(self, "touched", frozenset(keys))
        marks = tuple(mark for wording in self.wording for mark in _MARKS[wording])
        msgspec.structs.force_setattr(self, "marks", marks)


# Go's maps are walked in another order each time: pkg/pss/evaluate.go makes a list of one where a rule has exclusions.
# `Images` are the object's, which a rollout replaces; what is wrong with which container stands in the message.
_KYVERNO = Producer(
    sets=frozenset({"controls", "exceptions"}),
    documents={"controlsJSON": Document(left_out=frozenset({"Images"}), sets=frozenset({""}))},
    wording=("pod-security", "go-errors"),
)
_CEL = Producer(sets=frozenset({"exceptions"}), wording=("go-errors",))
# A HashSet of Rust and a map of Go in its policies' messages.
_KUBEWARDEN = Producer(wording=("sets",))

_TRIVY = Producer(numbered=". message", still=True)
"""The adapter copies creationTimestamp of Trivy's report into each result, and Trivy writes its report in place."""
_VULNERABILITY = Producer(discriminator="resource", unset={"score": "0"}, still=True)
"""A score that the scanner does not have is written as 0."""

# What `ps` said when the check ran; its arguments are of no use to whoever reads the finding.
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
"""`response` is what was on the wire, with a random id and the times to live that are left; `headers` have a Date."""

_RISKS = {"1": "low", "2": "medium", "3": "high", "4": "critical"}
_INSIGHTS = Producer(
    documents={"extra_data": Document(sets=frozenset({"nodes"}))},
    severity=("total_risk",),
    ranks=_RISKS,
    aliases={"resolution": "remediation", "reason": "description"},
)
_GRC = Producer(severity=("total_risk",), ranks=_RISKS)
# One result for each package in which a vulnerability was found.
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
"""By the name that each gives itself in `source`."""

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
"""Of everybody else: what is called so by several of those above, and nothing is left out."""


def times_stand_still(source: str) -> bool:
    """Whether the producer's results keep one time for months, although it is at work: its silence tells nothing."""
    producer = PRODUCERS.get(source)
    return producer is not None and producer.still
