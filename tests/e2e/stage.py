"""A cluster with a company, its engines and the operator in it, and a local Security Hub: what the steps act on."""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dev import stand
from dev.cluster import Cluster, ControlPlane
from dev.cluster.gobuild import Progress
from dev.company.company import Company
from dev.company.workload import Workload
from dev.engines import Scene, company, open_scene, truth
from dev.hub.process import HubProcess
from dev.stand import Operator, StandError
from tests.e2e import judge
from tests.e2e.judge import Row
from tests.e2e.mirror import Mirror
from tests.faults.truth import Violation

Document = dict[str, Any]

NAME = "e2e"
DELAY_SECONDS = 5
SCAN_SECONDS = 15
AUDIT_SECONDS = 8
"""Gatekeeper's first audit does not wait until all templates are compiled: what is not says 0 violations."""
QUIET_SECONDS = DELAY_SECONDS + 2.0
"""So long all must be as it should be: what is archived by mistake goes within the archive delay. On a machine so busy
that it goes later the next step tells of it.
"""
SECONDS = 300.0
"""How long anything is waited for: two cores carry seven servers, and maybe more than this run."""
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
        scene: Scene,
        *,
        progress: Progress,
    ) -> None:
        self.cluster = cluster
        self.scene = scene
        self.controllers, self.kyverno, self.gatekeeper = scene.controllers, scene.kyverno, scene.gatekeeper
        self.operator = operator
        self.hub = operator.hub
        self.progress = progress
        self.mirror = Mirror(cluster)
        self.flaws = {(o.kind, o.namespace, o.name): set(found) for o, found in Company.build().flaws.items()}
        self.triaged: dict[str, str] = {}
        self.rows: list[Row] = []
        self._judged, self._counted = 0, 0
        """How many entries of the hub's journal, and how many calls, belong to steps so far."""

    # -- the cluster ----------------------------------------------------------------------------------------------

    def change(self, workload: Workload, *, add: set[str] | None = None, remove: set[str] | None = None) -> None:
        """Its manifest with some more flaws, or fewer."""
        flaws = self.flaws[workload.kind, workload.namespace, workload.name]
        flaws |= add or set()
        flaws -= remove or set()
        self.cluster.apply(company.manifests(workload, flaws))

    def delete(self, path: str) -> None:
        self.cluster.request("DELETE", path, {"propagationPolicy": "Background"})

    # -- what is called for ---------------------------------------------------------------------------------------

    def claims(self) -> set[Violation]:
        return set(self.mirror.now.severities)

    def claimed(self, *violations: Violation) -> bool:
        return self.claims() >= set(violations)

    def none(self, of: Callable[[Violation], bool]) -> bool:
        """Whether nothing like this is called for."""
        return not any(map(of, self.claims()))

    def until(self, holds: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        """Raises StandError, or EngineError where an engine has ended by itself."""

        def checked() -> bool:
            self.scene.check()
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
        began = time.time()
        try:
            act(self)
        except StandError as error:  # the next steps may still tell something
            row.differences.append(str(error).partition("\n")[0])
        acted = time.time()
        row.differences += self._settle()
        entries = self.hub.journal(self._judged)
        calls = self.hub.calls(self._counted)
        self._judged, self._counted = self._judged + len(entries), self._counted + len(calls)
        after = self._findings()  # last: whatever an entry is about is there
        judge.judge(
            row,
            before=before,
            after=after,
            entries=entries,
            past=self.mirror,
            began=began,
            allowed=allowed,
            of=of,
            triaged=self.triaged,
        )
        made = Counter(call["operation"] for call in calls)
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
    """All of it running but the operator, and the engines have said what there is to say.

    The control plane is always our own: controllers that somebody else runs could not be killed.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyhub-e2e-")))
        cluster = stack.enter_context(ControlPlane.start(progress=progress)).cluster(NAME)
        scene = open_scene(cluster, folder, stack, prepare=_hasten, progress=progress)
        spec = {"archiveDelay": f"{DELAY_SECONDS}s"}
        installed = stand.install(cluster, folder, values={"monitoredCluster": {"spec": spec}}, progress=progress)
        hub = stack.enter_context(HubProcess.start())
        operator = stack.enter_context(Operator(installed, hub, settings=SETTINGS))
        stage = Stage(cluster, operator, scene, progress=progress)
        stage.mirror.start()
        stack.callback(stage.mirror.close)
        _fill(stage)
        yield stage


def _hasten(scene: Scene) -> None:
    scene.kyverno.interval_seconds = SCAN_SECONDS
    scene.gatekeeper.interval_seconds = AUDIT_SECONDS
    scene.gatekeeper.limit = LIMIT


def _fill(stage: Stage) -> None:
    """The company and its policies; returns when both engines have looked at everything twice."""
    stage.scene.fill(stage.flaws)
    expected = {Violation(*call) for call in truth.wanted(stage.flaws)}
    try:
        stage.until(lambda: stage.claims() == expected, "the engines to find what is wrong, and no more")
    except StandError as error:
        raise StandError(f"{error}\ndiffering: {sorted(stage.claims() ^ expected)[:10]}") from error
    now = time.time()
    stage.until(lambda: stage.scene.audited(now), "Gatekeeper to audit them once more")
    stage.progress(f"the engines call for {len(stage.mirror.now.severities)} findings")
