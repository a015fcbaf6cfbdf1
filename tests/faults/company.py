"""The workloads that there are in the fault bench, and what each consists of."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.family import Ref
from tests.faults.paper import Result

FIRST = "a-"
"""Begins the names of what comes first in Gatekeeper's order, in namespace north."""
PLACES = (
    *(("Deployment", space) for space in ("north", "south", "west") * 3),
    *(("StatefulSet", space) for space in ("north", "west")),
    *(("CronJob", space) for space in ("north", "south", "west")),
    *(("Pod", space) for space in ("north", "west")),
    ("Node", "south"),
)
"""Kind and namespace; of a Node: a static Pod."""
STILL = (
    ("Deployment", "north", f"{FIRST}still-1"),
    ("Deployment", "north", f"{FIRST}still-2"),
    ("Deployment", "south", "still-3"),
    ("CronJob", "south", "still-4"),
)
"""The violations of which never end, whatever comes and goes below them."""


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
    still: bool
    said: dict[str, list[Result]]
    """What each engine says of the present template."""
    replicas: int = 2
    layers: list[Layer] = field(default_factory=list)
    """The newest is the last."""
    revision: int = 0
    named: int = 0
    busy: bool = False
    gone: bool = False

    @property
    def refs(self) -> Iterator[Ref]:
        """What is there of it."""
        if not self.gone:
            yield self.about
        for layer in self.layers:
            if layer.ref != self.about:
                yield layer.ref
            yield from layer.pods

    @property
    def pods(self) -> list[Ref]:
        return [ref for ref in self.refs if ref.kind == "Pod"]
