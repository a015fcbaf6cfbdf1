"""Workloads as controllers and kubelets leave them, with the reports on each level: objects of the API server's own.

| change | what |
|---|---|
| roll | a new ReplicaSet with new Pods, the old Pods go one by one, the old ReplicaSet is kept for a rollback |
| scale | Pods come or go, down to none |
| tick | a CronJob's next Job, the Pod of which ends |
| vanish | a controller goes; what it owned and the reports follow in any order; another one takes its place |
| turn | an engine comes to other results: what is there is reported anew, one after the other |
| again | a report is written again with new timestamps |
| lose | a report goes, and comes back |
"""

from functools import partial

from tests.faults.company import PLACES, STILL, Layer, Workload
from tests.faults.engines import ENGINES, HOURLY, KYVERNO, POLICIES, SIDECAR, draw, drawn, keys, seen
from tests.faults.family import Ref
from tests.faults.paper import Result
from tests.faults.scene import Action, Key, Scene

KEPT = 2
"""ReplicaSets and Jobs that a controller keeps."""


class Workloads:
    def __init__(self, scene: Scene) -> None:
        self.all: list[Workload] = []
        self._scene = scene
        self._rng = scene.rng
        self._named = 0
        self._held_back: list[Action] | None = None
        """The late engine's looks, while it stays away."""

    # -- the course of a run --------------------------------------------------------------------------------------

    def begin(self) -> None:
        for kind, space in PLACES:
            self._make(kind, space)
        for kind, space, name in STILL:
            self._make(kind, space, name=name)
        said = {key: results for w in self.all for ref in w.refs for key, results in seen(w.said, ref)}
        self._scene.report_all(said)

    def stay_away(self) -> None:
        """The late engine comes no more, until `come_round`."""
        self._held_back = []

    def replace(self) -> None:
        """The Pods of all lasting violations are."""
        for workload in self.all:
            if workload.still:
                self.roll(workload)

    def mend(self) -> None:
        """A Deployment breaks every rule, and its next rollout none: the old ReplicaSet is kept for a rollback."""
        workload = self.pick("Deployment", still=False)
        for outcome in ("fail", "pass"):
            said = {engine: [Result(*policy, outcome) for policy in POLICIES] for engine in ENGINES}
            said[KYVERNO].append(SIDECAR._replace(outcome=outcome))
            self.roll(workload, said)
            self._scene.finish()

    def come_round(self) -> None:
        """What it had not looked at yet."""
        looks, self._held_back = self._held_back or [], None
        for look in looks:
            look()

    def leave(self, space: str) -> None:
        """The namespace was closed."""
        for workload in [w for w in self.all if w.about.namespace == space]:
            workload.gone = True
            workload.layers.clear()
            self.all.remove(workload)
            self._scene.later(self._rng.randint(5, 40), partial(self._replace, workload))

    # -- changes --------------------------------------------------------------------------------------------------

    def pick(self, *kinds: str, still: bool = True) -> Workload:
        return self._rng.choice([w for w in self.all if w.about.kind in kinds and (still or not w.still)])

    def roll(self, workload: Workload | None = None, said: dict[str, list[Result]] | None = None) -> None:
        """`said` is what engines say of the new template; a drawn one, where it is not given."""
        workload = workload or self.pick("Deployment", "StatefulSet")
        if workload.busy:
            return
        workload.busy = True
        if said is not None:
            workload.said = said
        elif not workload.still and self._rng.random() < 0.6:
            workload.said = draw(self._rng)
        if workload.about.kind == "CronJob":
            self._tick(workload)
        elif workload.about.kind == "StatefulSet":
            self._restart(workload)
        else:
            self._renew(workload)
        self._look(workload, workload.about)

    def tick(self) -> None:
        self.roll(self.pick("CronJob"))

    def scale(self) -> None:
        workload = self.pick("Deployment", "StatefulSet")
        if workload.busy:
            return
        workload.replicas = self._rng.choice((1, 2, 3) if workload.still else (0, 1, 2, 3))
        layer = workload.layers[-1]
        for _ in range(workload.replicas - len(layer.pods)):
            self._add(workload, layer)
        for pod in layer.pods[workload.replicas :]:
            self._take(workload, pod)

    def vanish(self) -> None:
        workload = self._rng.choice([w for w in self.all if not w.still])
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

    def turn(self) -> None:
        workload = self._rng.choice([w for w in self.all if not w.still])
        engine = self._rng.choice(list(ENGINES))
        workload.said[engine] = drawn(self._rng, engine)
        for number, ref in enumerate(list(workload.refs)):
            for key, _ in seen(workload.said, ref):
                if key[0] == engine and key in self._scene.results:
                    self._scene.later(number, partial(self._write, workload, ref, engine, again=True))

    def again(self) -> None:
        key = self._known()
        self._scene.report(key, self._scene.results[key])

    def lose(self) -> None:
        """A lasting workload has others that speak: its own report is left alone."""
        engine, kind, ref = self._known()
        workload = next(w for w in self.all if ref in w.refs)
        if not (workload.still and ref == workload.about):
            self._scene.withdraw((engine, kind, ref))
            self._scene.later(self._rng.randint(3, 20), partial(self._write, workload, ref, engine))

    def _known(self) -> Key:
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
        workload = Workload(about, uid, still=bool(name), said={})
        if name:
            workload.said = {engine: [Result(*policy) for policy in POLICIES] for engine in ENGINES}
            workload.said[KYVERNO].append(SIDECAR)
        else:
            workload.said = draw(self._rng)
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
            self._look(workload, pod)

    def _take(self, workload: Workload, pod: Ref) -> None:
        """A Pod and its reports go, in any order."""
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

    def _renew(self, workload: Workload) -> None:
        """Of a lasting workload new Pods come first: it has never none."""
        old = [pod for layer in workload.layers for pod in layer.pods]
        layer = self._layer(workload)
        self._look(workload, layer.ref)
        ahead = 1 if workload.still else self._rng.choice((-4, 1))
        for number in range(max(workload.replicas, len(old))):
            if number < workload.replicas:
                self._scene.later(5 + 3 * number, partial(self._add, workload, layer))
            if number < len(old):
                self._scene.later(5 + 3 * number + ahead, partial(self._take, workload, old[number]))
        self._scene.later(25, partial(self._settle, workload))

    def _restart(self, workload: Workload) -> None:
        """A StatefulSet's Pods come back under their names."""
        layer = workload.layers[-1]
        for number, pod in enumerate(list(layer.pods)):
            self._scene.later(8 * number, partial(self._gone, workload, pod))
            self._scene.later(8 * number + 4, partial(self._add, workload, layer, name=pod.name))
        self._scene.later(30, partial(self._settle, workload))

    def _gone(self, workload: Workload, pod: Ref) -> None:
        if not workload.gone and pod in workload.layers[-1].pods:
            workload.layers[-1].pods.remove(pod)
            self._scene.remove(pod)
            for key in keys(pod):
                self._scene.withdraw(key)

    def _tick(self, workload: Workload) -> None:
        layer = self._layer(workload)
        self._look(workload, layer.ref)
        self._scene.later(2, partial(self._add, workload, layer))
        self._scene.later(self._rng.randint(10, 60), partial(self._complete, workload, layer))

    def _complete(self, workload: Workload, layer: Layer) -> None:
        if not workload.gone:
            for pod in layer.pods:
                self._scene.end(pod)
            self._settle(workload)

    def _settle(self, workload: Workload) -> None:
        """A rollout is over; what is too old to be kept goes."""
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
            self._look(fresh, ref)

    # -- what engines see -----------------------------------------------------------------------------------------

    def _look(self, workload: Workload, ref: Ref) -> None:
        for (engine, _, _), _ in seen(workload.said, ref):
            look = partial(self._write, workload, ref, engine)
            if engine != HOURLY:
                look()
            elif self._held_back is not None:
                self._held_back.append(look)
            else:
                self._scene.later(self._rng.randint(60, 250), look)

    def _write(self, workload: Workload, ref: Ref, engine: str, *, again: bool = False) -> None:
        """What the engine says of it, if it is there and has not ended; `again`: only what is written already."""
        alive = ref in self._scene.truth.family.things or (ref == workload.about and not workload.gone)
        for key, results in seen(workload.said, ref):
            known = not again or key in self._scene.results
            if key[0] == engine and known and alive:
                self._scene.report(key, results)
