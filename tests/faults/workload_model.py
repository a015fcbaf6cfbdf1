"""The workloads of the fault bench and the objects of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.manifests import Result
from tests.faults.owner_graph import Ref

FIRST = "a-"
"""Prefix of names that come first in Gatekeeper's sort order, in namespace north."""
INITIAL_WORKLOADS = (
    *(("Deployment", space) for space in ("north", "south", "west") * 3),
    *(("StatefulSet", space) for space in ("north", "west")),
    *(("CronJob", space) for space in ("north", "south", "west")),
    *(("Pod", space) for space in ("north", "west")),
    ("Node", "south"),
)
"""Kind and namespace of the workloads at the start. Node: a static Pod."""
PERMANENT = (
    ("Deployment", "north", f"{FIRST}still-1"),
    ("Deployment", "north", f"{FIRST}still-2"),
    ("Deployment", "south", "still-3"),
    ("CronJob", "south", "still-4"),
)
"""Workloads whose violations never end, whatever happens to their Pods and ReplicaSets."""


@dataclass(eq=False)
class Layer:
    """A ReplicaSet or Job with its Pods, or the Pods of a StatefulSet."""

    ref: Ref
    uid: str
    pods: list[Ref] = field(default_factory=list)


@dataclass(eq=False)
class Workload:
    about: Ref
    uid: str
    permanent: bool
    results_by_engine: dict[str, list[Result]]
    """The results of each engine for the current template."""
    replicas: int = 2
    layers: list[Layer] = field(default_factory=list)
    """The newest is last."""
    revision: int = 0
    named: int = 0
    busy: bool = False
    gone: bool = False

    @property
    def refs(self) -> Iterator[Ref]:
        """The objects of the workload that exist."""
        if not self.gone:
            yield self.about
        for layer in self.layers:
            if layer.ref != self.about:
                yield layer.ref
            yield from layer.pods

    @property
    def pods(self) -> list[Ref]:
        return [ref for ref in self.refs if ref.kind == "Pod"]
