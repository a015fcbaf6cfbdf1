"""Reports of Kubewarden's audit scanner in openreports.io.

Results have no rule; the policy's name has its scope as a prefix; `resourceSelector` is empty; a policy in monitor mode
has severity `info`, whatever its own severity is. Pure: no I/O, no clock.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from dev.company.report import report, stamp
from dev.company.workload import Document, Object


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    category: str
    severity: str
    message: str
    revision: str

    @property
    def uid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.kubewarden.example"))


POLICIES = (
    Policy("no-host-network", "PSP", "critical", "host network may not be used", "4811"),
    Policy("safe-labels", "Resource validation", "low", "label cost-center is missing", "4812"),
    Policy("seccomp-psp", "PSP", "medium", "the seccomp profile must be RuntimeDefault", "4813"),
    Policy("trusted-repos", "Supply chain", "high", "the image is not from a trusted repository", "4814"),
    Policy("env-secrets-scanner", "Secrets", "info", "an environment variable looks like a credential", "4815"),
)

SCAN = "7c1d2b0e-2f5b-4c1e-9a57-55a4f7f0a6d1"


def open_report(subject: Object, failing: Collection[str], *, uid: str, now: int) -> Document:
    """`failing`: names of policies."""
    document = report(
        subject,
        [_result(policy, failing=policy.name in failing, now=now) for policy in POLICIES],
        uid=uid,
        labels={
            "app.kubernetes.io/managed-by": "kubewarden",
            "kubewarden.io/policyreport-version": "v2",
            "kubewarden.io/audit-scanner-run-uid": SCAN,
        },
        open_reports=True,
    )
    document["source"] = "kubewarden"
    document["scope"]["resourceVersion"] = "5120"
    return document


def _result(policy: Policy, *, failing: bool, now: int) -> Document:
    return {
        "source": "kubewarden",
        "policy": f"clusterwide-{policy.name}",
        "category": policy.category,
        "severity": policy.severity,
        "result": "fail" if failing else "pass",
        "scored": True,
        "message": policy.message if failing else "",
        "resourceSelector": {},
        "properties": {
            "policy-name": policy.name,
            "policy-resource-version": policy.revision,
            "policy-uid": policy.uid,
            "validating": "true",
        },
        "timestamp": stamp(now),
    }
