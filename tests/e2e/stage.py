"""A cluster with a company, its engines and the operator in it, and a local Security Hub: what the steps act on."""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dev import stand
from dev.cluster import ApiError, Cluster
from dev.cluster.gobuild import Progress
from dev.cluster.plane import open_plane
from dev.cluster.process import Launcher
from dev.company.company import Company
from dev.company.workload import WORKLOADS, Workload
from dev.engines import ControllerManager, Engine, Gatekeeper, Kyverno, company, policies
from dev.hub.process import HubProcess
from dev.stand import Operator, StandError
from tests.e2e import judge
from tests.e2e.judge import Row
from tests.e2e.kubelet import Kubelet
from tests.e2e.mirror import Mirror
from tests.faults.truth import CONSTRAINTS, Violation

Document = dict[str, Any]

NAME = "e2e"
DELAY_SECONDS = 10
QUIET_SECONDS = DELAY_SECONDS + 4.0
"""So long all must be as it should be: what is archived by mistake goes within the archive delay."""
SECONDS = 180.0
"""How long anything is waited for: two cores carry seven servers."""
LIMIT = 200
"""Violations that each constraint lists: more than there are."""
SETTINGS = {"POLICYHUB_DISCOVERY_INTERVAL": "2"}
BATCH = 100
"""Findings that one call may import."""


class Stage:
    def __init__(
        self,
        cluster: Cluster,
        operator: Operator,
        *,
        controllers: ControllerManager,
        kyverno: Kyverno,
        gatekeeper: Gatekeeper,
        progress: Progress,
    ) -> None:
        self.cluster = cluster
        self.controllers, self.kyverno, self.gatekeeper = controllers, kyverno, gatekeeper
        self.engines: tuple[Engine, ...] = (controllers, kyverno, gatekeeper)
        self.operator = operator
        self.hub = operator.hub
        self.progress = progress
        self.mirror = Mirror(cluster)
        self.flaws = {(o.kind, o.namespace, o.name): set(found) for o, found in Company.build().flaws.items()}
        self.triaged: dict[str, str] = {}
        self.rows: list[Row] = []

    # -- the cluster ----------------------------------------------------------------------------------------------

    def change(self, workload: Workload, *, add: set[str] | None = None, remove: set[str] | None = None) -> None:
        """Its manifest with some more flaws, or fewer."""
        flaws = self.flaws[workload.kind, workload.namespace, workload.name]
        flaws |= add or set()
        flaws -= remove or set()
        self.cluster.apply(company.manifests(workload, flaws))

    def delete(self, path: str) -> None:
        self.cluster.request("DELETE", path, {"propagationPolicy": "Background"})

    def constraints(self) -> list[Document]:
        try:
            kinds = {r["name"] for r in self.cluster.request("GET", CONSTRAINTS)["resources"] if "/" not in r["name"]}
        except ApiError as error:
            if error.status != 404:
                raise
            return []
        return [c for kind in kinds for c in self.cluster.request("GET", f"{CONSTRAINTS}/{kind}")["items"]]

    def audited(self, since: float) -> bool:
        """Whether Gatekeeper has begun an audit of every constraint after that."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since + 1))
        found = self.constraints()
        return bool(found) and all((c.get("status") or {}).get("auditTimestamp", "") >= stamp for c in found)

    def scanned(self, since: float, group: str = "wgpolicy") -> bool:
        """Whether Kyverno has looked at every object after that."""
        path = {
            "wgpolicy": "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
            "open": "/apis/openreports.io/v1alpha1/reports",
        }
        reports = self.cluster.request("GET", path[group])["items"]
        stamps = [max((r["timestamp"]["seconds"] for r in o.get("results") or ()), default=0) for o in reports]
        return bool(stamps) and min(stamps) > since

    # -- what is called for ---------------------------------------------------------------------------------------

    def claimed(self, *violations: Violation) -> bool:
        return self.mirror.now.severities.keys() >= set(violations)

    def none(self, of: Callable[[Violation], bool]) -> bool:
        """Whether nothing like this is called for."""
        return not any(map(of, self.mirror.now.severities))

    def until(self, holds: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        """Raises StandError, or EngineError where an engine has ended by itself."""

        def checked() -> bool:
            for engine in self.engines:
                engine.check()
            return holds()

        stand.until(checked, seconds=seconds, what=what, operator=self.operator, every=0.5)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(
        self,
        name: str,
        act: Callable[["Stage"], None],
        *,
        allowed: frozenset[str],
        of: Callable[[Violation], bool],
    ) -> Row:
        """Act, wait until Security Hub shows what is called for and goes on to, and judge it."""
        self.progress(f"{name} …")
        row = Row(name)
        before = self._findings()
        entries, calls, began = len(self.hub.journal()), len(self.hub.calls()), time.time()
        try:
            act(self)
        except StandError as error:  # the next steps may still tell something
            row.differences.append(str(error).partition("\n")[0])
        acted = time.time()
        row.differences += self._settle()
        after, journal = self._findings(), self.hub.journal(entries)
        judge.judge(
            row,
            before=before,
            after=after,
            entries=journal,
            past=self.mirror,
            began=began,
            allowed=allowed,
            of=of,
            triaged=self.triaged,
        )
        made = Counter(call["operation"] for call in self.hub.calls(calls))
        row.calls, row.least_calls = made["BatchImportFindings"], -(-row.least // BATCH)
        self.rows.append(row)
        told = f"{acted - began:.0f} s until the engines said so, {time.time() - acted:.0f} s more"
        self.progress(f"{'ok' if row.good else 'BROKEN'}  {name}: {row.outcomes.total()} imports, {told}")
        for line in row.differences[:10]:
            self.progress(f"    {line}")
        return row

    def suppress(self) -> None:
        """An analyst suppresses every third finding, with a note."""
        ids = sorted(id_ for id_ in self._findings())[::3]
        self.triaged = dict.fromkeys(ids, "accepted until spring")
        for start in range(0, len(ids), BATCH):
            self.hub.analyst(ids[start : start + BATCH], workflow="SUPPRESSED", note="accepted until spring")

    def _findings(self) -> dict[str, Document]:
        return {finding["Id"]: finding for finding in self.hub.findings()}

    def _settle(self) -> list[str]:
        """What differs in the end."""
        deadline = time.monotonic() + SECONDS
        good_since: float | None = None
        while True:
            lines = judge.differences(self._findings().values(), self.mirror.now)
            now = time.monotonic()
            good_since = None if lines else good_since or now
            if (good_since is not None and now - good_since > QUIET_SECONDS) or now > deadline:
                return lines
            time.sleep(0.5)


@contextlib.contextmanager
def open_stage(*, progress: Progress) -> Iterator[Stage]:
    """All of it running but the operator, and the engines have said what there is to say."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyhub-e2e-")))
        cluster = stack.enter_context(open_plane(progress=progress)).cluster(NAME)
        launcher = Launcher()
        stack.callback(launcher.close)
        controllers = ControllerManager(cluster, folder, launcher, progress=progress)
        kyverno = Kyverno(cluster, folder, launcher, progress=progress)
        gatekeeper = Gatekeeper(cluster, folder, launcher, progress=progress)
        gatekeeper.limit = LIMIT
        for engine in (controllers, kyverno, gatekeeper):
            engine.install()
            engine.start()
        spec = {"archiveDelay": f"{DELAY_SECONDS}s"}
        installed = stand.install(cluster, folder, values={"monitoredCluster": {"spec": spec}}, progress=progress)
        hub = stack.enter_context(HubProcess.start())
        operator = stack.enter_context(Operator(installed, hub, settings=SETTINGS))
        stage = Stage(
            cluster, operator, controllers=controllers, kyverno=kyverno, gatekeeper=gatekeeper, progress=progress
        )
        kubelet = Kubelet(cluster)
        kubelet.start()
        stack.callback(kubelet.close)
        stage.mirror.start()
        stack.callback(stage.mirror.close)
        _fill(stage)
        yield stage


def _fill(stage: Stage) -> None:
    """The company and its policies; returns when both engines have looked at everything twice."""
    stage.cluster.apply([*company.namespaces(), *company.everything(stage.flaws)])
    stage.cluster.apply(map(policies.cluster_policy, policies.RULES))
    stage.cluster.apply(map(policies.template, policies.RULES))
    wanted = {rule.template.lower() for rule in policies.RULES}

    def served() -> bool:
        try:
            return wanted <= {r["name"] for r in stage.cluster.request("GET", CONSTRAINTS)["resources"]}
        except ApiError:
            return False

    stage.until(served, "Gatekeeper to make a kind of each template")
    stage.cluster.apply(map(policies.constraint, policies.RULES))
    flawed = [
        Violation("kyverno", f"harbour-{flaw}", flaw, w.kind, w.namespace, w.name)
        for w in WORKLOADS
        for flaw in stage.flaws[w.kind, w.namespace, w.name] & set(company.FLAWS)
    ]
    stage.until(lambda: stage.claimed(*flawed), "Kyverno to find all that is wrong")
    stage.until(lambda: stage.mirror.constraints == len(wanted), "Gatekeeper to audit all constraints")
    now = time.time()
    stage.until(lambda: stage.audited(now), "Gatekeeper to audit them once more")
    stage.progress(f"the engines call for {len(stage.mirror.now.severities)} findings")
