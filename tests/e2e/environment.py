"""The environment of the end-to-end run: a cluster with a company's workloads, its engines and the operator, and a
local Security Hub.
"""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dev import testbed
from dev.cluster import Cluster, ControlPlane
from dev.cluster.gobuild import Progress
from dev.company.company import Company
from dev.company.workload import Workload
from dev.engines import Scene, company, open_scene, truth
from dev.hub.process import HubProcess
from dev.testbed import Operator, OperatorError
from tests.e2e import checker
from tests.e2e.checker import Row
from tests.e2e.mirror import Mirror
from tests.faults.truth import Violation

Document = dict[str, Any]

NAME = "e2e"
DELAY_SECONDS = 5
SCAN_SECONDS = 15
AUDIT_SECONDS = 8
"""Gatekeeper's first audit does not wait until all templates are compiled: the others have 0 violations until then."""
QUIET_SECONDS = DELAY_SECONDS + 2.0
"""How long Security Hub must match: a wrong archive appears within the archive delay. On a machine so busy that it
takes longer, the next step reports it.
"""
SECONDS = 300.0
"""The longest wait for any condition: two cores run seven servers, and maybe more than this run."""
LIMIT = 200
"""The length limit of constraints' lists: more than there are violations."""
SETTINGS = {"POLICYHUB_DISCOVERY_INTERVAL": "2"}
BATCH = 100
"""Maximum findings of one import request."""


class Environment:
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
        self._journal_read, self._calls_read = 0, 0
        """How many entries of the hub's journal, and how many calls, were assigned to steps so far."""

    # -- the cluster ----------------------------------------------------------------------------------------------

    def change(self, workload: Workload, *, add: set[str] | None = None, remove: set[str] | None = None) -> None:
        """Apply the workload's manifest with flaws added or removed."""
        flaws = self.flaws[workload.kind, workload.namespace, workload.name]
        flaws |= add or set()
        flaws -= remove or set()
        self.cluster.apply(company.manifests(workload, flaws))

    def delete(self, path: str) -> None:
        self.cluster.request("DELETE", path, {"propagationPolicy": "Background"})

    # -- claims --------------------------------------------------------------------------------------------------------

    def claims(self) -> set[Violation]:
        return set(self.mirror.now.severities)

    def claimed(self, *violations: Violation) -> bool:
        return self.claims() >= set(violations)

    def no_claims(self, of: Callable[[Violation], bool]) -> bool:
        """Whether no violation like this is claimed."""
        return not any(map(of, self.claims()))

    def until(self, holds: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
        """Raises OperatorError, or EngineError if an engine has ended on its own."""

        def checked() -> bool:
            self.scene.check()
            return holds()

        testbed.until(checked, seconds=seconds, what=what, operator=self.operator, every=0.5)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(
        self,
        name: str,
        act: Callable[["Environment"], None],
        *,
        allowed: frozenset[str],
        of: Callable[[Violation], bool],
    ) -> Row:
        """Act, wait until Security Hub matches the claims and stays so, and check the step."""
        self.progress(f"{name} …")
        row = Row(name)
        before = self._findings()
        began = time.time()
        try:
            act(self)
        except OperatorError as error:  # the next steps may still be informative
            row.differences.append(str(error).partition("\n")[0])
        acted = time.time()
        row.differences += self._wait_until_matching()
        entries = self.hub.journal(self._journal_read)
        calls = self.hub.calls(self._calls_read)
        self._journal_read, self._calls_read = self._journal_read + len(entries), self._calls_read + len(calls)
        after = self._findings()  # read last, so that it has every finding of the entries
        checker.check(
            row,
            before=before,
            after=after,
            entries=entries,
            history=self.mirror,
            began=began,
            allowed=allowed,
            of=of,
            triaged=self.triaged,
        )
        made = Counter(call["operation"] for call in calls)
        row.calls, row.least_calls = made["BatchImportFindings"], -(-row.least // BATCH)
        self.rows.append(row)
        timing = f"{acted - began:.0f} s until the engines reported it, {time.time() - acted:.0f} s more"
        self.progress(f"{'ok' if row.good else 'BROKEN'}  {name}: {row.outcomes.total()} imports, {timing}")
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

    def _wait_until_matching(self) -> list[str]:
        """Wait until Security Hub matches; returns the remaining differences."""
        deadline = time.monotonic() + SECONDS
        good_since: float | None = None
        while True:
            lines = checker.differences(self._findings().values(), self.mirror.now)
            now = time.monotonic()
            good_since = None if lines else good_since or now
            if (good_since is not None and now - good_since > QUIET_SECONDS) or now > deadline:
                return lines
            time.sleep(0.5)


@contextlib.contextmanager
def open_environment(*, progress: Progress) -> Iterator[Environment]:
    """Everything runs except the operator, and the engines have reported every violation.

    The control plane is always our own, because controllers of a foreign one could not be killed.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policyhub-e2e-")))
        cluster = stack.enter_context(ControlPlane.start(progress=progress)).cluster(NAME)
        scene = open_scene(cluster, folder, stack, prepare=_hasten, progress=progress)
        spec = {"archiveDelay": f"{DELAY_SECONDS}s"}
        installed = testbed.install(cluster, folder, values={"monitoredCluster": {"spec": spec}}, progress=progress)
        hub = stack.enter_context(HubProcess.start())
        operator = stack.enter_context(Operator(installed, hub, settings=SETTINGS))
        env = Environment(cluster, operator, scene, progress=progress)
        env.mirror.start()
        stack.callback(env.mirror.close)
        _fill(env)
        yield env


def _hasten(scene: Scene) -> None:
    scene.kyverno.interval_seconds = SCAN_SECONDS
    scene.gatekeeper.interval_seconds = AUDIT_SECONDS
    scene.gatekeeper.limit = LIMIT


def _fill(env: Environment) -> None:
    """Create the company and its policies; returns after both engines have scanned everything twice."""
    env.scene.fill(env.flaws)
    expected = {Violation(*call) for call in truth.wanted(env.flaws)}
    try:
        env.until(lambda: env.claims() == expected, "the engines to report exactly the expected violations")
    except OperatorError as error:
        raise OperatorError(f"{error}\ndiffering: {sorted(env.claims() ^ expected)[:10]}") from error
    now = time.time()
    env.until(lambda: env.scene.audited(now), "Gatekeeper to audit them once more")
    env.progress(f"the engines report {len(env.mirror.now.severities)} violations")
