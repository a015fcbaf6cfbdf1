"""Reports of Kyverno 1.19: one per object, with one result per rule, most of them passing.

| kind of object          | name of its rules                       | results |
|-------------------------|-----------------------------------------|---------|
| Deployment, StatefulSet | `autogen-<rule>`                        | 30      |
| CronJob                 | `autogen-cronjob-<rule>`                | 30      |
| Service                 | `<rule>`                                | 2       |
| Namespace               | `<rule>` (a ClusterPolicyReport)        | 2       |

Rule names are cut to 63 characters, as Kyverno does. Violations of a policy that is not scored have the result `warn`,
excepted objects `skip`. Pure: no I/O, no clock.
"""

from collections.abc import Collection
from dataclasses import dataclass

from dev.company.report import stamp
from dev.company.workload import Document, Object

BASELINE = "Pod Security Standards (Baseline)"
RESTRICTED = "Pod Security Standards (Restricted)"
PRACTICE = "Best Practices"

RULE_LIMIT = 63
_POD = "/spec/template/spec/"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of one policy."""

    policy: str
    rule: str
    category: str
    severity: str
    flaw: str
    """The flaw for which the rule fails; several rules can have the same."""
    scored: bool = True


CHECKS = (
    Check("disallow-capabilities", "adding-capabilities", BASELINE, "high", "capabilities"),
    Check("disallow-capabilities-strict", "require-drop-all", RESTRICTED, "medium", "keeps-capabilities"),
    Check("disallow-capabilities-strict", "adding-capabilities-strict", RESTRICTED, "medium", "capabilities"),
    Check("disallow-container-sock-mounts", "validate-docker-sock-mount", PRACTICE, "critical", "docker-socket"),
    Check("disallow-container-sock-mounts", "validate-crio-sock-mount", PRACTICE, "critical", "crio-socket"),
    Check("disallow-host-namespaces", "host-namespaces", BASELINE, "critical", "host-namespaces"),
    Check("disallow-host-path", "host-path", BASELINE, "high", "host-path"),
    Check("disallow-host-ports", "host-ports-none", BASELINE, "medium", "host-ports"),
    Check("disallow-host-process", "host-process-containers", BASELINE, "high", "host-process"),
    Check("disallow-latest-tag", "require-image-tag", PRACTICE, "medium", "no-tag"),
    Check("disallow-latest-tag", "validate-image-tag", PRACTICE, "medium", "latest"),
    Check("disallow-privilege-escalation", "privilege-escalation", RESTRICTED, "medium", "escalation"),
    Check("disallow-privileged-containers", "privileged-containers", BASELINE, "critical", "privileged"),
    Check("disallow-proc-mount", "check-proc-mount", BASELINE, "medium", "proc-mount"),
    Check("disallow-selinux", "selinux-type", BASELINE, "medium", "selinux"),
    Check("drop-cap-net-raw", "require-drop-cap-net-raw", PRACTICE, "low", "keeps-capabilities"),
    Check("require-image-digest", "check-digest", PRACTICE, "low", "no-digest", scored=False),
    Check("require-labels", "check-for-labels", PRACTICE, "low", "no-labels"),
    Check("require-pod-probes", "validate-probes", PRACTICE, "medium", "no-probes"),
    Check("require-requests-limits", "validate-resources", PRACTICE, "medium", "no-limits"),
    Check("require-ro-rootfs", "validate-readonly-rootfs", PRACTICE, "medium", "writable-root"),
    Check("require-run-as-nonroot", "run-as-non-root", RESTRICTED, "high", "root"),
    Check("require-run-as-non-root-user", "run-as-non-root-user", RESTRICTED, "medium", "uid-zero"),
    Check("restrict-apparmor-profiles", "app-armor", BASELINE, "medium", "apparmor"),
    Check("restrict-automount-sa-token", "validate-automount", PRACTICE, "medium", "token"),
    Check("restrict-image-registries", "validate-registries", PRACTICE, "high", "foreign-registry"),
    Check("restrict-seccomp", "check-seccomp", BASELINE, "medium", "seccomp-off"),
    Check("restrict-seccomp-strict", "check-seccomp-strict", RESTRICTED, "medium", "no-seccomp"),
    Check("restrict-volume-types", "restricted-volumes", RESTRICTED, "medium", "host-path"),
    Check("verify-image-signature", "check-signature", "Software Supply Chain Security", "high", "unsigned"),
)
"""The rules for Pods and their controllers."""

SERVICE_CHECKS = (
    Check("restrict-external-ips", "check-ips", PRACTICE, "medium", "external-ip"),
    Check("restrict-nodeport", "validate-nodeport", PRACTICE, "medium", "node-port"),
)

NAMESPACE_CHECKS = (
    Check("require-namespace-quota", "check-quota", "Multi-Tenancy", "low", "no-quota"),
    Check("require-network-policy", "check-default-deny", "Multi-Tenancy", "high", "open-network"),
)

_SAYS: dict[str, tuple[str, str]] = {
    "apparmor": ("This AppArmor profile is not among the allowed ones.", ""),
    "capabilities": ("NET_ADMIN may not be added to what a container can do.", ""),
    "crio-socket": ("The CRI-O socket of the node may not be mounted.", "volumes/0/hostPath/path"),
    "docker-socket": ("The Docker socket of the node may not be mounted.", "volumes/0/hostPath/path"),
    "escalation": ("allowPrivilegeEscalation must be false.", "containers/0/securityContext"),
    "external-ip": ("A Service may not claim external IPs.", "externalIPs"),
    "foreign-registry": ("Images come from the company's registry only.", "containers/0/image"),
    "host-namespaces": ("Network, IPC and process namespaces of the node may not be shared.", "hostNetwork"),
    "host-path": ("Volumes may not mount paths of the node.", "volumes/0/hostPath"),
    "host-ports": ("Containers may not take ports of the node.", "containers/0/ports/0/hostPort"),
    "host-process": ("Windows HostProcess containers are not allowed.", ""),
    "keeps-capabilities": ("Each container must drop all capabilities first.", ""),
    "latest": ("The tag latest may move at any time; name a version.", "containers/0/image"),
    "no-digest": ("An image should be named by its digest.", "containers/0/image"),
    "no-labels": ("Label app.kubernetes.io/version is missing.", ""),
    "no-limits": ("CPU and memory requests and a memory limit are missing.", "containers/0/resources/limits"),
    "no-probes": ("Each container needs a liveness, readiness or startup probe.", ""),
    "no-quota": ("The namespace has no ResourceQuota.", ""),
    "no-seccomp": ("A seccomp profile must be set.", "securityContext/seccompProfile"),
    "no-tag": ("An image needs a tag.", "containers/0/image"),
    "node-port": ("A Service may not open a port on every node.", "type"),
    "open-network": ("The namespace has no NetworkPolicy that denies by default.", ""),
    "privileged": ("A privileged container has the whole node.", "containers/0/securityContext/privileged"),
    "proc-mount": ("Only the default mask of /proc is allowed.", "containers/0/securityContext/procMount"),
    "root": ("The container may run as root; set runAsNonRoot.", "securityContext/runAsNonRoot"),
    "seccomp-off": ("The seccomp profile Unconfined is not allowed.", "securityContext/seccompProfile/type"),
    "selinux": ("This SELinux type is not among the allowed ones.", "securityContext/seLinuxOptions/type"),
    "token": ("The service account's token is mounted and not needed.", "automountServiceAccountToken"),
    "uid-zero": ("The user id 0 is not allowed.", "securityContext/runAsUser"),
    "unsigned": ("The image has no signature of the release key.", ""),
    "writable-root": ("The root file system is writable.", "containers/0/securityContext/readOnlyRootFilesystem"),
}
"""Flaw → message, and the path at which the pattern failed; empty: a condition denied it."""


def results(
    subject: Object,
    flaws: Collection[str],
    *,
    now: int,
    excepted: Collection[str] = (),
    unknown: Collection[str] = (),
) -> list[Document]:
    """Kyverno's results for an object with these flaws. `excepted`: policies with a PolicyException for it;
    `unknown`: policies that cannot be evaluated (an image's signature, while the registry does not answer).
    """
    found = []
    for check in _checks(subject):
        word, message = _verdict(check, subject, flaws)
        properties = {"process": "background scan"}
        if check.policy in excepted:
            name = f"{subject.namespace}-{subject.name}"
            word, message = "skip", f"rule is skipped by policy exception {name}"
            properties["exceptions"] = name
        elif check.policy in unknown:
            word, message = "error", f"{check.policy} could not be evaluated: the registry did not answer within 10 s"
        found.append(
            {
                "source": "kyverno",
                "policy": check.policy,
                "rule": rule_name(check.rule, subject.kind),
                "category": check.category,
                "severity": check.severity,
                "result": word,
                "scored": check.scored,
                "message": message,
                "properties": properties,
                "timestamp": stamp(now),
            }
        )
    return found


def rule_name(rule: str, kind: str) -> str:
    """Kyverno derives rules for controllers from a rule for Pods, under another name."""
    prefix = {"CronJob": "autogen-cronjob-", "Service": "", "Namespace": "", "Pod": ""}.get(kind, "autogen-")
    return f"{prefix}{rule}"[:RULE_LIMIT]


def passed(rule: str) -> str:
    """The message of a result that passes."""
    return f"validation rule '{rule}' passed."


def _checks(subject: Object) -> tuple[Check, ...]:
    return {"Service": SERVICE_CHECKS, "Namespace": NAMESPACE_CHECKS}.get(subject.kind, CHECKS)


def _verdict(check: Check, subject: Object, flaws: Collection[str]) -> tuple[str, str]:
    rule = rule_name(check.rule, subject.kind)
    if check.flaw not in flaws:
        return "pass", passed(rule)
    word = "fail" if check.scored else "warn"
    message, path = _SAYS[check.flaw]
    if not path:
        return word, f"validation failure: {message}"
    spec = {"CronJob": "/spec/jobTemplate/spec/template/spec/", "Service": "/spec/"}
    return word, f"validation error: {message} rule {rule} failed at path {spec.get(subject.kind, _POD)}{path}/"
