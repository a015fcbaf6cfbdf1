"""`python -m dev.kind.story begin | still | end`: checks a cluster with engines, operator and hub.

The workload is a Deployment with three flaws. Both engines report them, at the Pod, the ReplicaSet and the Deployment.
The exit code is 0, or 1 with a message.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from dev import testbed
from dev.cluster import ApiError, Cluster, open_plane
from dev.company.truth import Violation, violation_in
from dev.engines import policies, rules
from dev.testbed import OperatorError

Document = dict[str, Any]

RULES = tuple(rule for rule in rules.RULES if rule.flaw in {"root", "writable-root", "no-limits"})
FIXED = "no-limits"
NAMESPACE, NAME = "shop", "till"
IMAGE = "registry.k8s.io/pause:3.10"
"""Nodes of kind have it or a similar one, and it runs with any settings."""
CONSTRAINTS = "/apis/constraints.gatekeeper.sh/v1beta1"
CLUSTERS = "/apis/policyhub.dev/v1alpha1/monitoredclusters"
SECONDS = 300.0
"""Time-out of each wait: Kyverno scans each minute, and images may have to be pulled first."""
QUIET_SECONDS = 75.0
"""How long nothing may be sent if nothing changed: a scan of each engine, and the archive delay."""


class StoryError(Exception):
    """An expectation was not met."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The local Security Hub's control endpoint."""

    url: str

    def get(self, path: str) -> Any:
        """Raises OSError if it does not answer."""
        with build_opener(ProxyHandler({})).open(f"{self.url}/_control/{path}", timeout=10) as answer:
            return json.load(answer)

    def states(self) -> dict[Violation, str]:
        """Record states of the workload's findings."""
        findings = self.get("findings?limit=5000")["findings"]
        found = {violation_in(finding): finding["RecordState"] for finding in findings}
        return {violation: state for violation, state in found.items() if violation.namespace == NAMESPACE}

    def imports(self) -> int:
        """The number of findings imported so far."""
        return sum(self.get("stats")["outcomes"].values())


def workload(flaws: set[str]) -> list[Document]:
    """The Deployment with these flaws."""
    container: Document = {"name": "till", "image": IMAGE, "securityContext": {"allowPrivilegeEscalation": False}}
    spec: Document = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if "writable-root" not in flaws:
        container["securityContext"]["readOnlyRootFilesystem"] = True
    if "root" not in flaws:
        spec["securityContext"] = {"runAsNonRoot": True, "runAsUser": 65532}
    if "no-limits" not in flaws:
        container["resources"] = {"limits": {"memory": "32Mi"}}
    labels = {"app": NAME}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    ]


def expected(*, fixed: bool) -> dict[Violation, str]:
    """One finding for each flaw and engine, whatever the number of Pods."""
    found = {}
    for rule in RULES:
        state = "ARCHIVED" if fixed and rule.flaw == FIXED else "ACTIVE"
        for names in (rule.result, ("gatekeeper", rule.template, rule.constraint)):
            found[Violation(*names, "Deployment", NAMESPACE, NAME)] = state
    return found


def begin(cluster: Cluster, hub: Hub) -> None:
    """Applies policies and the workload with its flaws, and then fixes one."""
    cluster.apply([policies.kyverno(rule) for rule in RULES])
    cluster.apply([policies.template(rule) for rule in RULES])
    wanted = {rule.template.lower() for rule in RULES}
    until(lambda: wanted <= served(cluster), "Gatekeeper to create a kind for each template")
    cluster.apply([policies.constraint(rule) for rule in RULES])
    cluster.apply(workload({rule.flaw for rule in RULES}))
    until(lambda: active(hub) == expected(fixed=False), "the findings of both engines", hub)
    cluster.apply(workload({rule.flaw for rule in RULES} - {FIXED}))
    until(lambda: hub.states() == expected(fixed=True), "the fixed ones to be archived", hub)


def still(cluster: Cluster, hub: Hub) -> None:
    """The cluster is Ready, and nothing is sent while the engines scan again."""
    until(lambda: ready(cluster), "the MonitoredCluster to be Ready")
    before = hub.imports()
    time.sleep(QUIET_SECONDS)  # both engines scan again
    if hub.imports() != before:
        raise StoryError(f"{hub.imports() - before} findings were sent although nothing changed")
    end(cluster, hub)


def end(cluster: Cluster, hub: Hub) -> None:
    """The findings are still as after the fix."""
    del cluster
    if hub.states() != expected(fixed=True):
        raise StoryError(f"the findings are {shown(hub.states())}")


def active(hub: Hub) -> dict[Violation, str]:
    return {violation: state for violation, state in hub.states().items() if state == "ACTIVE"}


def served(cluster: Cluster) -> set[str]:
    """The kinds that Gatekeeper has created so far."""
    try:
        return {resource["name"] for resource in cluster.request("GET", CONSTRAINTS)["resources"]}
    except ApiError:
        return set()


def ready(cluster: Cluster) -> bool:
    for item in cluster.request("GET", CLUSTERS)["items"]:
        conditions = {c["type"]: c["status"] for c in (item.get("status") or {}).get("conditions", ())}
        if conditions.get("Ready") == conditions.get("InSync") == "True":
            return True
    return False


def until(holds: Callable[[], bool], what: str, hub: Hub | None = None) -> None:
    """Raises StoryError after some minutes."""
    try:
        testbed.until(lambda: answered(holds), seconds=SECONDS, what=what, every=1)
    except OperatorError as error:
        raise StoryError(f"{error}" + (f"; the findings are {shown(hub.states())}" if hub else "")) from error


def answered(holds: Callable[[], bool]) -> bool:
    """False while the hub does not answer: the port forwarding may not be ready."""
    try:
        return holds()
    except OSError:
        return False


def shown(states: dict[Violation, str]) -> str:
    return "; ".join(f"{state} {'/'.join(violation)}" for violation, state in sorted(states.items())) or "none"


STEPS = {"begin": begin, "still": still, "end": end}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.kind.story", description=__doc__)
    parser.add_argument("step", choices=sorted(STEPS))
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--hub", required=True, help="URL of the local Security Hub")
    options = parser.parse_args(arguments)
    try:
        with open_plane(kubeconfig=options.kubeconfig) as plane:
            STEPS[options.step](plane.cluster("kind"), Hub(options.hub))
    except StoryError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
