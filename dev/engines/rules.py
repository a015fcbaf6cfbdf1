"""The company's rules: for each flaw, a policy of Kyverno and a constraint of Gatekeeper.

Most are ClusterPolicies, and constraints with `dryrun`. Some use other features of the engines: a policy in CEL, a
policy of one namespace, constraints that warn, and one whose action depends on the enforcement point.

All texts are invented. Pure: no I/O, no clock.
"""

from dataclasses import dataclass
from typing import Any

Pattern = dict[str, Any]

DRYRUN, WARN, SCOPED = "dryrun", "warn", "scoped"
"""The enforcement action of a constraint, from which its severity follows if it names none."""

REGO = """package harbour
violation[{"msg": msg}] {
%s
}
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One flaw. Kyverno requires `pattern` of a spec, or `cel` of a Pod; Gatekeeper reports `rego`."""

    flaw: str
    severity: str
    message: str
    pattern: Pattern
    rego: str
    kind: str = "Pod"
    labels: Pattern | None = None
    cel: str = ""
    namespace: str = ""
    """Namespace of Kyverno's policy; empty: a ClusterPolicy. Gatekeeper has no namespaced constraints."""
    action: str = DRYRUN

    @property
    def policy(self) -> str:
        """Name of Kyverno's policy."""
        return f"harbour-{self.flaw}"

    @property
    def result(self) -> tuple[str, str, str]:
        """Source, policy and rule of Kyverno's results."""
        if self.cel:
            return "KyvernoValidatingPolicy", self.policy, ""
        return "kyverno", f"{self.namespace}/{self.policy}" if self.namespace else self.policy, self.flaw

    @property
    def constraint(self) -> str:
        """Name of Gatekeeper's constraint."""
        return f"no-{self.flaw}"

    @property
    def template(self) -> str:
        """Kind of Gatekeeper's constraint."""
        return "Harbour" + "".join(word.capitalize() for word in self.flaw.split("-"))


def _each(**wanted: Any) -> Pattern:
    """A pattern for every container."""
    return {"containers": [wanted]}


_CONTAINER = '  c := input.review.object.spec.containers[_]\n  %s\n  msg := sprintf("container %%v %s", [c.name])'
_POD = '  %s\n  msg := "%s"'


def _container(condition: str, message: str) -> str:
    return REGO % (_CONTAINER % (condition, message))


def _pod(condition: str, message: str) -> str:
    return REGO % (_POD % (condition, message))


_SPEC = "input.review.object.spec"

RULES = (
    Rule(
        "keeps-capabilities",
        "medium",
        "Containers drop all capabilities.",
        _each(securityContext={"capabilities": {"drop": ["ALL"]}}),
        _container("not c.securityContext.capabilities.drop", "keeps its capabilities"),
    ),
    Rule(
        "no-seccomp",
        "medium",
        "Pods run with the runtime's seccomp profile.",
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        _pod(f"not {_SPEC}.securityContext.seccompProfile", "no seccomp profile is set"),
    ),
    Rule(
        "writable-root",
        "low",
        "Containers have a read-only root file system.",
        _each(securityContext={"readOnlyRootFilesystem": True}),
        _container("not c.securityContext.readOnlyRootFilesystem", "has a writable root file system"),
    ),
    Rule(
        "root",
        "high",
        "Pods do not run as root.",
        {"securityContext": {"runAsNonRoot": True}},
        _pod(f"not {_SPEC}.securityContext.runAsNonRoot", "it may run as root"),
    ),
    Rule(
        "escalation",
        "high",
        "Containers cannot gain privileges.",
        _each(securityContext={"allowPrivilegeEscalation": False}),
        _container("not has_forbidden(c)", "may gain privileges")
        + "has_forbidden(c) { c.securityContext.allowPrivilegeEscalation == false }\n",
    ),
    Rule(
        "no-limits",
        "medium",
        "Containers have a memory limit.",
        _each(resources={"limits": {"memory": "?*"}}),
        _container("not c.resources.limits.memory", "has no memory limit"),
    ),
    Rule(
        "no-probes",
        "low",
        "Containers have a liveness probe.",
        _each(livenessProbe={"periodSeconds": ">0"}),
        _container("not c.livenessProbe", "has no liveness probe"),
    ),
    Rule(
        "no-digest",
        "low",
        "Images are named by their digest.",
        _each(image="*@sha256:*"),
        _container('not contains(c.image, "@sha256:")', "has an image without a digest"),
    ),
    Rule(
        "token",
        "medium",
        "Pods that need no Kubernetes API have no token for it.",
        {"automountServiceAccountToken": False},
        _pod("not is_off", "a service account token is mounted")
        + "is_off { input.review.object.spec.automountServiceAccountToken == false }\n",
    ),
    Rule(
        "no-labels",
        "info",
        "Workloads say what they are part of.",
        {},
        _pod('not input.review.object.metadata.labels["app.kubernetes.io/part-of"]', "label part-of is missing"),
        labels={"app.kubernetes.io/part-of": "?*"},
    ),
    Rule(
        "uid-zero",
        "high",
        "Pods do not ask for user 0.",
        {"=(securityContext)": {"=(runAsUser)": ">0"}},
        _pod(f"{_SPEC}.securityContext.runAsUser == 0", "it asks for user 0"),
        action=WARN,
    ),
    Rule(
        "privileged",
        "critical",
        "No container is privileged.",
        _each(**{"=(securityContext)": {"=(privileged)": False}}),
        _container("c.securityContext.privileged", "is privileged"),
        action=SCOPED,
    ),
    Rule(
        "host-path",
        "high",
        "No folder of the node is mounted.",
        {"=(volumes)": [{"X(hostPath)": "null"}]},
        _pod(f"{_SPEC}.volumes[_].hostPath", "a folder of the node is mounted"),
    ),
    Rule(
        "host-namespaces",
        "high",
        "Pods do not share the node's namespaces.",
        {"=(hostPID)": False, "=(hostIPC)": False, "=(hostNetwork)": False},
        _pod(f"{_SPEC}.hostPID", "it shares the node's processes"),
        action=WARN,
    ),
    Rule(
        "host-ports",
        "medium",
        "Containers take no port of the node.",
        _each(**{"=(ports)": [{"=(hostPort)": 0}]}),
        _container("c.ports[_].hostPort > 0", "takes a port of the node"),
    ),
    Rule(
        "docker-socket",
        "critical",
        "The container runtime's socket is not mounted.",
        {"=(volumes)": [{"=(hostPath)": {"path": "!/var/run/docker.sock"}}]},
        _pod(f'{_SPEC}.volumes[_].hostPath.path == "/var/run/docker.sock"', "the runtime's socket is mounted"),
    ),
    Rule(
        "capabilities",
        "high",
        "No capability is added.",
        _each(**{"=(securityContext)": {"=(capabilities)": {"X(add)": "null"}}}),
        _container("count(c.securityContext.capabilities.add) > 0", "adds capabilities"),
        action=WARN,
    ),
    Rule(
        "latest",
        "medium",
        "Images have a tag that stays.",
        _each(image="!*:latest*"),
        _container('contains(c.image, ":latest")', "has the tag latest"),
        cel='object.spec.containers.all(c, !c.image.contains(":latest"))',
    ),
    Rule(
        "foreign-registry",
        "high",
        "Images come from the company's registry.",
        _each(image="registry.harbour.example/*"),
        _container('not startswith(c.image, "registry.harbour.example/")', "is not from our registry"),
    ),
    Rule(
        "node-port",
        "medium",
        "Services open no port on every node.",
        {"type": "!NodePort"},
        _pod(f'{_SPEC}.type == "NodePort"', "it opens a port on every node"),
        kind="Service",
    ),
    Rule(
        "open-network",
        "medium",
        "Namespaces are closed to the network of the others.",
        {},
        _pod("not input.review.object.metadata.labels.network", "its network is open to all"),
        kind="Namespace",
        labels={"network": "closed"},
    ),
)

PAYMENTS = Rule(
    "token",
    "critical",
    "Pods that handle payments have no token for the Kubernetes API.",
    {"automountServiceAccountToken": False},
    "",
    namespace="payments",
)
"""Only for Kyverno: a Policy in a namespace."""
