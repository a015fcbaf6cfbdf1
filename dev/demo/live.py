"""The same story with the real Kyverno, Gatekeeper and controllers of Kubernetes (`--engines`).

The demo applies workloads and policies, and writes no reports. The expected findings follow from the flaws with which
the company was generated.
"""

import time
from contextlib import ExitStack
from pathlib import Path

from dev.cluster import Cluster
from dev.company import Company, Violation
from dev.demo import opening
from dev.demo.opening import ARCHIVE_DELAY
from dev.demo.screen import Screen
from dev.demo.stage import Stage, least_calls
from dev.demo.story import severities
from dev.engines import Scene, company, open_scene, truth
from dev.engines.rules import RULES
from dev.testbed import Home

PATIENCE = 240.0
"""Seconds: seven servers share the machine, and Gatekeeper compiles each of its templates."""
PACE = 1.0
"""Seconds between two checks: each reads all findings."""
SCAN_SECONDS = 15
AUDIT_SECONDS = 8
LIMIT = 200
"""Violations that a constraint may list: more than there are."""
FIXED = ("Deployment", "payments", "gateway")
ROLLED = ("Deployment", "shop", "web")
NOTE = "Ana: the storefront team moves to the company's base image in spring."
REPORTS = tuple(f"/apis/wgpolicyk8s.io/v1alpha2/{kind}" for kind in ("policyreports", "clusterpolicyreports"))


class Live:
    """The steps, each called with the stage."""

    def __init__(self, scene: Scene, flaws: dict[tuple[str, str, str], frozenset[str]]) -> None:
        self._scene = scene
        self._flaws = flaws

    def wanted(self) -> set[Violation]:
        return truth.wanted(self._flaws)

    def holds(self, stage: Stage) -> bool:
        """Whether the active findings are the expected ones."""
        return active(stage) == len(self.wanted()) and stage.findings("ACTIVE").keys() == self.wanted()

    def the_company_appears(self, stage: Stage) -> None:
        stage.screen.step("The company is deployed, and the engines scan it: violations become findings")
        mark, began, wanted = stage.mark(), time.monotonic(), self.wanted()
        with stage.screen.waiting("applying workloads, policies, templates and constraints"):
            self._scene.fill(self._flaws)
        stage.screen.say(
            f"{len(self._flaws)} workloads, Services and Namespaces; {len(RULES) + 1} policies for Kyverno,"
            f" {len(RULES)} constraints for Gatekeeper. The flaws are known, and so are the expected findings."
        )
        stage.until(
            "waiting for the engines to scan, and for the expected findings in Security Hub",
            lambda: self.holds(stage),
            doing=lambda: f"{active(stage)} of {len(wanted)} findings in Security Hub",
        )
        stage.screen.say(
            f"{len(wanted)} findings, {time.monotonic() - began:.0f} s after the first workload was applied, of"
            f" {self._failing()} failing results: a Deployment, its ReplicaSet and its Pods share a finding."
        )
        sent = len(stage.asked(mark, "BatchImportFindings"))
        stage.screen.say(
            f"Calls of BatchImportFindings: {sent}. If all findings had come at once: {least_calls(len(wanted))}."
        )
        severities(stage)
        self._looked(stage)

    def a_rollout_is_silent(self, stage: Stage) -> None:
        stage.screen.step("A rollout replaces a ReplicaSet and its Pods; an analyst has suppressed one of its findings")
        stage.suppressed = min(truth.about(*ROLLED, self._flaws))
        suppressed = stage.findings()[stage.suppressed]
        stage.hub.analyst([suppressed["Id"]], workflow="SUPPRESSED", note=NOTE)
        stage.screen.say(f"SUPPRESSED  {suppressed['Title']}")
        mark, began = stage.mark(), time.time()
        _, namespace, name = ROLLED
        template = {"metadata": {"annotations": {"harbour.example/build": "2"}}}
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        self._scene.cluster.request("PATCH", path, {"spec": {"template": template}})
        stage.until(f"waiting for the rollout of {namespace}/{name}", lambda: self._scene.rolled_out(namespace, name))
        done = time.time()
        self._looked(stage)
        asked = stage.asked(mark)
        stage.screen.say(
            f"New Pods after {done - began:.0f} s; the engines wrote all reports and constraints again."
            f" AWS calls: {len(asked)}."
        )
        stage.expect("a rollout causes no AWS call", holds=not asked)

    def a_fix_is_archived(self, stage: Stage) -> None:
        kind, namespace, name = FIXED
        stage.screen.step(f"The {namespace} team fixes {name}")
        gone, mark, began = set(truth.about(*FIXED, self._flaws)), stage.mark(), time.time()
        self._flaws[FIXED] = frozenset()
        stage.archived |= gone
        workload = stage.company.workload(namespace, name)
        self._scene.cluster.apply(company.manifests(workload, self._flaws[FIXED]))
        stage.until(
            f"a {kind} without flaws is applied: waiting for its rollout, for the engines to scan, and for the"
            f" {len(gone)} findings to be archived",
            lambda: self.holds(stage),
            doing=lambda: f"{active(stage) - len(self.wanted())} of {len(gone)} still active",
        )
        sent = stage.sent(mark)
        first, last = sent[0]["time"] - began, sent[-1]["time"] - began
        stage.screen.say(
            f"{len(gone)} findings archived {first:.0f} to {last:.0f} s after the fix was applied: when the last Pod of"
            f" the old template was gone, and no audit listed one (archiveDelay is {ARCHIVE_DELAY} here)."
        )

    def _looked(self, stage: Stage) -> None:
        now = time.time()
        stage.until(
            "waiting for both engines to scan every object again",
            lambda: self._scene.scanned(now) and self._scene.audited(now),
        )

    def _failing(self) -> int:
        """The number of failing results and listed violations."""
        reports = [report for path in REPORTS for report in self._scene.cluster.request("GET", path)["items"]]
        results = [result for report in reports for result in report.get("results") or ()]
        listed = [(constraint.get("status") or {}).get("violations") or () for constraint in self._scene.constraints()]
        return len([result for result in results if result["result"] == "fail"]) + sum(map(len, listed))


def active(stage: Stage) -> int:
    """The number of active findings in Security Hub."""
    return int(stage.hub.stats()["record_states"].get("ACTIVE", 0))


def open_stage(screen: Screen, stack: ExitStack, *, home: Home) -> tuple[Stage, Live]:
    scenes: list[Scene] = []

    def populate(screen: Screen, cluster: Cluster, folder: Path, stack: ExitStack) -> Company:
        with screen.waiting("starting the engines; the first run builds them from source, which takes minutes"):
            scenes.append(open_scene(cluster, folder, stack, prepare=_hasten, progress=screen.say))
        screen.say("The cluster has no workloads and no policies yet.")
        return Company.build()

    spec = {"archiveDelay": ARCHIVE_DELAY}
    stage = opening.open_stage(screen, stack, populate, own=True, spec=spec, home=home)
    live = Live(scenes[0], {(o.kind, o.namespace, o.name): flaws for o, flaws in stage.company.flaws.items()})
    stage.expected, stage.patience, stage.pace = live.wanted, PATIENCE, PACE
    return stage, live


def _hasten(scene: Scene) -> None:
    scene.kyverno.interval_seconds = SCAN_SECONDS
    scene.gatekeeper.interval_seconds = AUDIT_SECONDS
    scene.gatekeeper.limit = LIMIT
