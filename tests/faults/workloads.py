"""Workloads as controllers and kubelets leave them, with the reports on each level; all are real objects in the API
server.

| change | effect |
|---|---|
| roll | a new ReplicaSet with new Pods; the old Pods are deleted one by one; the old ReplicaSet stays for a rollback |
| scale | Pods are created or deleted, down to none |
| tick | a CronJob starts its next Job, whose Pod ends |
| vanish | a controller is deleted, then its objects and their reports in any order; another one replaces it |
| change_results | an engine gets other results and rewrites its reports, one after the other |
| again | a report is written again with new timestamps |
| drop_report | a report is deleted and written again |
"""

from functools import partial

from tests.faults.engines import ENGINES, HOURLY, KYVERNO, POLICIES, SIDECAR, draw, drawn, keys, reports_on
from tests.faults.manifests import Result
from tests.faults.owner_graph import Ref
from tests.faults.scene import Action, Key, Scene
from tests.faults.workload_model import INITIAL_WORKLOADS, PERMANENT, Layer, Workload

KEPT = 2
"""ReplicaSets and Jobs that a controller keeps."""


class Workloads:
    def __init__(self, scene: Scene) -> None:
        self.all: list[Workload] = []
        self._scene = scene
        self._rng = scene.rng
        self._named = 0
        self._postponed: list[Action] | None = None
        """Scans of the late engine that are postponed while it is paused; None: it is not."""

    # -- phases of a run ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        for kind, space in INITIAL_WORKLOADS:
            self._make(kind, space)
        for kind, space, name in PERMANENT:
            self._make(kind, space, name=name)
        refs = [(w.results_by_engine, ref) for w in self.all for ref in w.refs]
        self._scene.report_all({key: results for by_engine, ref in refs for key, results in reports_on(by_engine, ref)})

    def pause_late_engine(self) -> None:
        """Postpone the scans of the late engine until `resume_late_engine`."""
        self._postponed = []

    def replace(self) -> None:
        """Replace the Pods of all permanent workloads."""
        for workload in self.all:
            if workload.permanent:
                self.roll(workload)

    def fix_deployment(self) -> None:
        """A Deployment violates every rule, and its next rollout none: the old ReplicaSet stays for a rollback."""
        workload = self.pick("Deployment", permanent=False)
        for outcome in ("fail", "pass"):
            results_by_engine = {engine: [Result(*policy, outcome) for policy in POLICIES] for engine in ENGINES}
            results_by_engine[KYVERNO].append(SIDECAR._replace(outcome=outcome))
            self.roll(workload, results_by_engine)
            self._scene.finish()

    def resume_late_engine(self) -> None:
        """Run the postponed scans."""
        postponed, self._postponed = self._postponed or [], None
        for write in postponed:
            write()

    def close_namespace(self, space: str) -> None:
        """The namespace was deleted."""
        for workload in [w for w in self.all if w.about.namespace == space]:
            workload.gone = True
            workload.layers.clear()
            self.all.remove(workload)
            self._scene.later(self._rng.randint(5, 40), partial(self._replace, workload))

    # -- changes --------------------------------------------------------------------------------------------------

    def pick(self, *kinds: str, permanent: bool = True) -> Workload:
        return self._rng.choice([w for w in self.all if w.about.kind in kinds and (permanent or not w.permanent)])

    def roll(self, workload: Workload | None = None, results_by_engine: dict[str, list[Result]] | None = None) -> None:
        """`results_by_engine` are the results for the new template; random if not given."""
        workload = workload or self.pick("Deployment", "StatefulSet")
        if workload.busy:
            return
        workload.busy = True
        if results_by_engine is not None:
            workload.results_by_engine = results_by_engine
        elif not workload.permanent and self._rng.random() < 0.6:
            workload.results_by_engine = draw(self._rng)
        if workload.about.kind == "CronJob":
            self._tick(workload)
        elif workload.about.kind == "StatefulSet":
            self._roll_statefulset(workload)
        else:
            self._roll_deployment(workload)
        self._report_on(workload, workload.about)

    def tick(self) -> None:
        self.roll(self.pick("CronJob"))

    def scale(self) -> None:
        workload = self.pick("Deployment", "StatefulSet")
        if workload.busy:
            return
        workload.replicas = self._rng.choice((1, 2, 3) if workload.permanent else (0, 1, 2, 3))
        layer = workload.layers[-1]
        for _ in range(workload.replicas - len(layer.pods)):
            self._add(workload, layer)
        for pod in layer.pods[workload.replicas :]:
            self._remove_pod(workload, pod)

    def vanish(self) -> None:
        workload = self._rng.choice([w for w in self.all if not w.permanent])
        if workload.busy:
            return
        self.all.remove(workload)
        steps: list[Action] = [partial(self._scene.remove, ref) for ref in workload.refs]
        steps += [partial(self._scene.withdraw, key) for ref in workload.refs for key in keys(ref)]
        workload.gone = True
        workload.layers.clear()
        if self._rng.random() < 0.5:
            self._rng.shuffle(steps)
        for number, step in enumerate(steps):
            self._scene.later(number, step)
        self._scene.later(len(steps), partial(self._replace, workload))

    def change_results(self) -> None:
        workload = self._rng.choice([w for w in self.all if not w.permanent])
        engine = self._rng.choice(list(ENGINES))
        workload.results_by_engine[engine] = drawn(self._rng, engine)
        for number, ref in enumerate(list(workload.refs)):
            for key, _ in reports_on(workload.results_by_engine, ref):
                if key[0] == engine and key in self._scene.results:
                    self._scene.later(number, partial(self._write, workload, ref, engine, again=True))

    def again(self) -> None:
        key = self._pick_report()
        self._scene.report(key, self._scene.results[key])

    def drop_report(self) -> None:
        """A permanent workload keeps its own report, and loses only others."""
        engine, kind, ref = self._pick_report()
        workload = next(w for w in self.all if ref in w.refs)
        if not (workload.permanent and ref == workload.about):
            self._scene.withdraw((engine, kind, ref))
            self._scene.later(self._rng.randint(3, 20), partial(self._write, workload, ref, engine))

    def _pick_report(self) -> Key:
        there = {ref for w in self.all for ref in w.refs}
        return self._rng.choice([key for key in self._scene.results if key[0] in ENGINES and key[2] in there])

    # -- objects --------------------------------------------------------------------------------------------------

    def _make(self, kind: str, space: str, *, name: str = "") -> Workload:
        self._named += 1
        self._scene.open(space)
        about = Ref("Pod" if kind == "Node" else kind, space, name or f"work-{self._named}")
        if kind == "Node":
            uid = self._scene.create(about, owner=Ref("Node", "", "node-1"), uid="1")
        else:
            uid = self._scene.create(about)
        workload = Workload(about, uid, permanent=bool(name), results_by_engine={})
        if name:
            workload.results_by_engine = {engine: [Result(*policy) for policy in POLICIES] for engine in ENGINES}
            workload.results_by_engine[KYVERNO].append(SIDECAR)
        else:
            workload.results_by_engine = draw(self._rng)
        self.all.append(workload)
        if about.kind == "StatefulSet":
            workload.layers.append(Layer(about, uid))
        elif about.kind != "Pod":
            self._layer(workload)
        for layer in workload.layers:
            for _ in range(1 if about.kind == "CronJob" else workload.replicas):
                layer.pods.append(self._pod(workload, layer))
        return workload

    def _layer(self, workload: Workload) -> Layer:
        workload.revision += 1
        kind = "Job" if workload.about.kind == "CronJob" else "ReplicaSet"
        ref = Ref(kind, workload.about.namespace, f"{workload.about.name}-{workload.revision}")
        revision = workload.revision if kind == "ReplicaSet" else 0
        uid = self._scene.create(ref, owner=workload.about, uid=workload.uid, revision=revision)
        workload.layers.append(Layer(ref, uid))
        return workload.layers[-1]

    def _pod(self, workload: Workload, layer: Layer, *, name: str = "") -> Ref:
        workload.named += 1
        ref = Ref("Pod", layer.ref.namespace, name or f"{layer.ref.name}-{workload.named}")
        self._scene.create(ref, owner=layer.ref, uid=layer.uid)
        return ref

    def _add(self, workload: Workload, layer: Layer, *, name: str = "") -> None:
        if not workload.gone:
            pod = self._pod(workload, layer, name=name)
            layer.pods.append(pod)
            self._report_on(workload, pod)

    def _remove_pod(self, workload: Workload, pod: Ref) -> None:
        """Delete a Pod and its reports, in any order."""
        if workload.gone:
            return
        for layer in workload.layers:
            if pod in layer.pods:
                layer.pods.remove(pod)
        steps = [partial(self._scene.withdraw, key) for key in keys(pod)]
        steps.insert(self._rng.choice((0, len(steps))), partial(self._scene.remove, pod))
        for step in steps[:-1]:
            step()
        self._scene.later(self._rng.choice((0, 10)), steps[-1])

    def _roll_deployment(self, workload: Workload) -> None:
        """New Pods of a permanent workload come first, so that it never has none."""
        old = [pod for layer in workload.layers for pod in layer.pods]
        layer = self._layer(workload)
        self._report_on(workload, layer.ref)
        ahead = 1 if workload.permanent else self._rng.choice((-4, 1))
        for number in range(max(workload.replicas, len(old))):
            if number < workload.replicas:
                self._scene.later(5 + 3 * number, partial(self._add, workload, layer))
            if number < len(old):
                self._scene.later(5 + 3 * number + ahead, partial(self._remove_pod, workload, old[number]))
        self._scene.later(25, partial(self._finish_rollout, workload))

    def _roll_statefulset(self, workload: Workload) -> None:
        """Replace a StatefulSet's Pods under the same names."""
        layer = workload.layers[-1]
        for number, pod in enumerate(list(layer.pods)):
            self._scene.later(8 * number, partial(self._drop_pod, workload, pod))
            self._scene.later(8 * number + 4, partial(self._add, workload, layer, name=pod.name))
        self._scene.later(30, partial(self._finish_rollout, workload))

    def _drop_pod(self, workload: Workload, pod: Ref) -> None:
        if not workload.gone and pod in workload.layers[-1].pods:
            workload.layers[-1].pods.remove(pod)
            self._scene.remove(pod)
            for key in keys(pod):
                self._scene.withdraw(key)

    def _tick(self, workload: Workload) -> None:
        layer = self._layer(workload)
        self._report_on(workload, layer.ref)
        self._scene.later(2, partial(self._add, workload, layer))
        self._scene.later(self._rng.randint(10, 60), partial(self._complete, workload, layer))

    def _complete(self, workload: Workload, layer: Layer) -> None:
        if not workload.gone:
            for pod in layer.pods:
                self._scene.end(pod)
            self._finish_rollout(workload)

    def _finish_rollout(self, workload: Workload) -> None:
        """A rollout has ended; delete the objects beyond the history limit."""
        workload.busy = False
        if workload.gone:
            return
        while len(workload.layers) > KEPT:
            layer = workload.layers.pop(0)
            for ref in (layer.ref, *layer.pods):
                self._scene.remove(ref)
                for key in keys(ref):
                    self._scene.withdraw(key)

    def _replace(self, workload: Workload) -> None:
        static = workload.about.kind == "Pod" and workload.about.namespace == "south"
        fresh = self._make("Node" if static else workload.about.kind, workload.about.namespace)
        for ref in list(fresh.refs):
            self._report_on(fresh, ref)

    # -- reporting ----------------------------------------------------------------------------------------------------

    def _report_on(self, workload: Workload, ref: Ref) -> None:
        for (engine, _, _), _ in reports_on(workload.results_by_engine, ref):
            write = partial(self._write, workload, ref, engine)
            if engine != HOURLY:
                write()
            elif self._postponed is not None:
                self._postponed.append(write)
            else:
                self._scene.later(self._rng.randint(60, 250), write)

    def _write(self, workload: Workload, ref: Ref, engine: str, *, again: bool = False) -> None:
        """Write the engine's report on an object that exists and has not ended; `again`: only if the report exists
        already.
        """
        alive = ref in self._scene.truth.owner_graph.objects or (ref == workload.about and not workload.gone)
        for key, results in reports_on(workload.results_by_engine, ref):
            due = not again or key in self._scene.results
            if key[0] == engine and due and alive:
                self._scene.report(key, results)
