"""The reports that the bench writes: Kyverno's per-resource shape, five results each, some of them failing.

Pure: no I/O, no clock.
"""

from typing import Any, Protocol

from policyhub.model.violation import Identity, Subject

Document = dict[str, Any]


class Build(Protocol):
    """Makes the report with a number."""

    def __call__(self, number: int, *, failing: int, second: int) -> Document: ...


SPACES = 10
GROUP, VERSION, RESOURCE = "wgpolicyk8s.io", "v1alpha2", "policyreports"
RESULTS = 5
SEVERITIES = ("medium", "high", "low")
MESSAGE = "the rule is not met"
LONG = (
    "validation error: every container of the Pod must set securityContext.runAsNonRoot to true and drop all "
    "capabilities. rule failed at path /spec/template/spec/containers/0/securityContext/"
)
"""A long policy text: 30 such results are the 13 kB of a Deployment's report under a full policy set."""


def report(number: int, *, failing: int, second: int, message: str = MESSAGE) -> Document:
    """The first `failing` of five results fail, at that second (Unix time)."""
    return _document(number, [_result(n, message, second, fails=n < failing) for n in range(RESULTS)])


def wide(number: int, *, failing: int, second: int) -> Document:
    """Thirty results, 13 kB; the first `failing` of them fail."""
    return _document(number, [_result(n, LONG + str(n), second, fails=n < failing) for n in range(6 * RESULTS)])


def identity(number: int) -> Identity:
    """The identity of a report's first failing result, from which its finding's id is made."""
    return Identity("kyverno", "policy-0", "rule-0", Subject("apps", "Deployment", space(number), f"app-{number}"), "")


def space(number: int) -> str:
    """The report's namespace."""
    return f"team-{number % SPACES}"


def name(number: int) -> str:
    return f"report-{number}"


def namespaces() -> list[Document]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}} for number in range(SPACES)
    ]


def _document(number: int, results: list[Document]) -> Document:
    failing = sum(1 for line in results if line["result"] == "fail")
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "PolicyReport",
        "metadata": {"name": name(number), "namespace": space(number)},
        "scope": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": f"app-{number}",
            "namespace": space(number),
        },
        "summary": {"pass": len(results) - failing, "fail": failing, "warn": 0, "error": 0, "skip": 0},
        "results": results,
    }


def _result(number: int, message: str, second: int, *, fails: bool) -> Document:
    return {
        "source": "kyverno",
        "policy": f"policy-{number}",
        "rule": f"rule-{number}",
        "category": "Pod Security Standards (Restricted)",
        "severity": SEVERITIES[number % 3],
        "scored": True,
        "result": "fail" if fails else "pass",
        "message": message,
        "timestamp": {"seconds": second, "nanos": 0},
        "properties": {"process": "background scan"},
    }
