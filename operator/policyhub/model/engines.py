"""The policy engines that policyhub knows: one table, one row per engine.

Everything that depends on the engine is a member of its row, and each reader derives what it needs:

| member                        | read by                                                                             |
|-------------------------------|-------------------------------------------------------------------------------------|
| `known`                       | sync/freshness.py, sync/superseded.py: names that invented names cannot displace    |
| `producer`, `miscounts`       | results.py, canonical.py, truncation.py: how its reports deviate from the API       |
| `label`                       | results.py: the name of a report's engine, if only a label names it                 |
| `name_part`, `exclude_only`   | event_logs.py: which sources write events                                           |
| `silent_after`, `prefixes`,   | cluster/engines.py: the condition EnginesReporting and the doctor                   |
|   `silent_remedy`             |                                                                                     |
| `exception`                   | findings/remediation.py: how to accept a violation                                  |
| `finding_type`, `kube_bench`  | findings/compliance.py: the type, the control and the standard of a finding         |

An engine without a row works, too: its results are read by the report API alone.

The producers were read at these commits (no code was copied):

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

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from policyhub.model.producers import Document, Producer, Wording

KYVERNO: Final = "kyverno"
KYVERNO_VALIDATING: Final = "KyvernoValidatingPolicy"
KYVERNO_IMAGE_VALIDATING: Final = "KyvernoImageValidatingPolicy"
VALIDATING_ADMISSION: Final = "ValidatingAdmissionPolicy"
KUBEWARDEN: Final = "kubewarden"
GATEKEEPER: Final = "gatekeeper"
"""Gatekeeper never names itself: this is the source of everything that a constraint lists."""
FALCO: Final = "Falco"
KUBESCAPE: Final = "kubescape"
KUBE_BENCH: Final = "Kube Bench"
TRIVY_KUBE_BENCH: Final = "CIS Kube Bench"
"""From Trivy's adapter: the rule contains the check's number and text, the message the remediation."""
TRIVY_COMPLIANCE: Final = "Trivy Compliance"
TRIVY_VULNERABILITY: Final = "Trivy Vulnerability"
TRIVY: Final = "Trivy "
"""Prefix of the names that Trivy's adapter writes, except `TRIVY_KUBE_BENCH`."""

MAX_ENGINES: Final = 50
"""Maximum number of engines per API whose newest results are tracked; a cluster has two or three."""
MAX_ENGINES_PER_NAMESPACE: Final = 10
"""How many of them one namespace may add: anyone who may write reports there can invent names."""

_HOUR: Final = 3600.0


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """The `source` that it writes into its results."""
    known: bool = False
    """Whether the name is always tracked. Names that are not known can displace each other, but no known one."""
    producer: Producer | None = None
    """How its results deviate from the report API. None: not at all."""
    label: str = ""
    """The name by which the labels of its reports call it, if that is not `name`."""
    miscounts: bool = False
    """Whether its reports list fewer results than their summaries count, and are complete. Trivy's adapter writes the
    counts of Trivy's own report, but leaves out duplicate results (fjogeleit/trivy-operator-polr-adapter@af2d82c,
    pkg/adapters/{vulnr,exposedsecret,rbac}/mapper.go)."""
    name_part: str = ""
    """Every source with this in its name, in lower case, writes events. Empty: the name does not show it."""
    exclude_only: bool = False
    """Its events are filtered out by `spec.sources.exclude` only, not by `spec.sources.eventLogs`."""
    silent_after: float | None = None
    """Age of its newest result, in seconds, beyond which the engine counts as silent. None: the default applies."""
    prefixes: tuple[str, ...] = ()
    """`silent_after` and `silent_remedy` apply to all names that start with one of these, regardless of case. Empty:
    the name in lower case."""
    silent_remedy: str = ""
    """What to check when it is silent. Empty: the default text."""
    exception: str = ""
    """How to exempt an object from one of its policies."""
    finding_type: str = ""
    """The type of its findings, `namespace/category/classifier`. Empty: a policy violation."""
    kube_bench: bool = False
    """Whether its results are checks of the CIS Kubernetes Benchmark."""

    def name_prefixes(self) -> tuple[str, ...]:
        return self.prefixes or (self.name.casefold(),)


# Go iterates over a map in random order: pkg/pss/evaluate.go makes a list from one if a rule has exclusions. `Images`
# are the object's, which a rollout replaces; the message says which container has which violation.
_KYVERNO = Producer(
    sets=frozenset({"controls", "exceptions"}),
    documents={"controlsJSON": Document(ignored=frozenset({"Images"}), sets=frozenset({""}))},
    wording=("pod-security", "go-errors"),
)
_CEL = Producer(sets=frozenset({"exceptions"}), wording=("go-errors",))
_TRIVY = Producer(numbered=". message", fixed_times=True)
"""The adapter copies creationTimestamp of Trivy's report into each result, and Trivy updates its reports in place."""
# The output of `ps` during the check; the arguments of processes are of no use to the reader of a finding.
_KUBE_BENCH = Producer(
    discriminator="index",
    wording=("processes", "times"),
    worded=frozenset({"actual_value", "reason"}),
)
_NETCHECKS = Producer(
    documents={
        "data": Document(
            ignored=frozenset({"startTimestamp", "endTimestamp", "expiration", "response", "headers"}),
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
_RUNTIME: tuple[Wording, ...] = ("processes", "times")
_TRACEE = Producer(
    events=True,
    wording=_RUNTIME,
    ignored=frozenset({"processID", "cgroupID", "mountNamespace", "pidNamespace", "returnValue", "containerID"}),
)
_KUBEARMOR = Producer(
    events=True,
    wording=_RUNTIME,
    ignored=frozenset({"updated_time", "pid", "host_pid", "ppid", "container_id", "created", "updated", "count"}),
    worded=frozenset({"data"}),
)
_FLOWS = Producer(events=True, wording=_RUNTIME, ignored=frozenset({"created", "updated", "count"}))

_POLICY_EXCEPTION = "add a PolicyException"
_KYVERNO_SILENT = (
    "check kyverno-reports-controller: its log, restarts and memory. Errors that it logs only at v=4 stop"
    " all reports, such as a ValidatingAdmissionPolicyBinding with a name of more than 63 characters (then start it"
    " with --validatingAdmissionPolicyReports=false); a restart fixes watches that have ended"
)
_REGULATORY = "Software and Configuration Checks/Industry and Regulatory Standards"
_CIS_BENCHMARK = f"{_REGULATORY}/CIS Kubernetes Benchmark"

ENGINES: Final[tuple[Engine, ...]] = (
    Engine(
        name=KYVERNO,
        known=True,
        producer=_KYVERNO,
        silent_after=3 * _HOUR,  # it writes every report again at each background scan, once an hour
        silent_remedy=_KYVERNO_SILENT,
        exception=_POLICY_EXCEPTION,
    ),
    Engine(name=KYVERNO_VALIDATING, known=True, producer=_CEL, exception=_POLICY_EXCEPTION),
    Engine(name=KYVERNO_IMAGE_VALIDATING, known=True, producer=_CEL, exception=_POLICY_EXCEPTION),
    Engine(name="KyvernoMutatingPolicy", known=True, producer=_CEL),
    Engine(name="KyvernoGeneratingPolicy", known=True, producer=_CEL),
    Engine(
        name=KUBEWARDEN,
        known=True,
        producer=Producer(wording=("sets",)),  # messages of its policies list a Rust HashSet or a Go map
        silent_after=3 * _HOUR,  # its scanner writes every report again, once an hour
        silent_remedy="check the jobs of kubewarden's audit scanner and its policy servers",
    ),
    Engine(
        name=VALIDATING_ADMISSION,
        known=True,
        silent_after=3 * _HOUR,  # Kyverno writes these reports
        exception="leave the object out in the binding's matchResources",
    ),
    Engine(name="MutatingAdmissionPolicy", known=True),
    Engine(
        name=GATEKEEPER,
        known=True,
        silent_after=_HOUR / 2,  # it writes the status of every constraint at each audit, once a minute
        exception="leave the object out in the constraint's spec.match",
    ),
    # The adapter gives every result the creationTimestamp of Trivy's report (fjogeleit/trivy-operator-polr-adapter
    # v0.11.5). Trivy updates these reports in place: the newest time does not show whether Trivy runs. It deletes and
    # creates its reports on vulnerabilities and secrets once a day.
    Engine(name="Trivy ConfigAudit", known=True, producer=_TRIVY, silent_after=math.inf),
    Engine(name="Trivy RbacAssessment", known=True, producer=_TRIVY, miscounts=True, silent_after=math.inf),
    Engine(
        name="Trivy InfraAssessment",
        known=True,
        producer=_TRIVY,
        silent_after=math.inf,
        prefixes=("trivy infraassessment", "trivy clusterinfraassessment"),
    ),
    Engine(
        name=TRIVY_COMPLIANCE,
        known=True,
        producer=_TRIVY,
        silent_after=math.inf,
        finding_type=f"{_REGULATORY}/Trivy Compliance",
    ),
    Engine(
        name="Trivy ExposedSecrets",
        known=True,
        producer=Producer(fixed_times=True),
        miscounts=True,
        finding_type="Sensitive Data Identifications/Security/Trivy ExposedSecrets",
    ),
    Engine(
        name=TRIVY_VULNERABILITY,
        known=True,
        producer=Producer(discriminator="resource", unset={"score": "0"}, fixed_times=True),  # 0: there is no score
        miscounts=True,
        exception="list it in a .trivyignore",
        finding_type="Software and Configuration Checks/Vulnerabilities/CVE",
    ),
    Engine(name=TRIVY_KUBE_BENCH, producer=Producer(fixed_times=True), finding_type=_CIS_BENCHMARK, kube_bench=True),
    Engine(name=KUBE_BENCH, known=True, producer=_KUBE_BENCH, finding_type=_CIS_BENCHMARK, kube_bench=True),
    Engine(name="CIS Vulnerability", producer=_KUBE_BENCH, finding_type=_CIS_BENCHMARK, kube_bench=True),
    Engine(name="kube-cis", known=True, finding_type=_CIS_BENCHMARK, kube_bench=True),
    Engine(name=KUBESCAPE, known=True),
    Engine(name="netchecks", producer=_NETCHECKS),
    Engine(name="insights", producer=_INSIGHTS),
    Engine(name="grc", producer=Producer(severity=("total_risk",), ranks=_RISKS)),
    # It writes one result for each package with the vulnerability.
    Engine(name="image-scanner", producer=Producer(discriminator="pkgName", aliases={"primaryURL": "primaryLink"})),
    # Event logs are silent while no events occur.
    Engine(
        name=FALCO,
        known=True,
        producer=Producer(events=True, wording=_RUNTIME, worded=frozenset({"details"})),
        label="falco-agent",  # the older adapter's, so that a filter for Falco applies to it, too
        name_part="falco",
        exclude_only=True,
        silent_after=math.inf,
        finding_type="Unusual Behaviors/Container/Falco",
    ),
    Engine(
        name="JsPolicy",
        producer=Producer(events=True),
        name_part="jspolicy",
        exclude_only=True,
        silent_after=math.inf,
    ),
    Engine(name="Tracee", producer=_TRACEE, name_part="tracee", silent_after=math.inf),
    Engine(name="KubeArmor", producer=_KUBEARMOR, name_part="kubearmor", silent_after=math.inf),
    Engine(name="KubeArmor Policy Engine", producer=_KUBEARMOR),
    Engine(
        name="Cilium Hubble",
        producer=_FLOWS,
        name_part="hubble",
        silent_after=math.inf,
        prefixes=("cilium", "hubble"),
    ),
    Engine(name="Blocked Egress", producer=_FLOWS),
    Engine(name="Tetragon", name_part="tetragon"),
)

KNOWN_ENGINES: Final = frozenset({engine.name for engine in ENGINES if engine.known})
PRODUCERS: Final[Mapping[str, Producer]] = {
    engine.name: engine.producer for engine in ENGINES if engine.producer is not None
}
"""By the name that each writes into `source`."""
KUBE_BENCH_SOURCES: Final = frozenset({engine.name for engine in ENGINES if engine.kube_bench})


def has_fixed_times(source: str) -> bool:
    """Whether results keep their time for months while the producer runs: old times do not mean that it stopped."""
    producer = PRODUCERS.get(source)
    return producer is not None and producer.fixed_times
