"""What a scenario is, and the list of all: modules of attacks add theirs by `@scenario(…)`; its docstring tells it."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.hostile.arena import Arena
from tests.hostile.checker import TENANT
from tests.hostile.tenant import Tenant

BASELINE = "nobody attacks"


@dataclass
class Stage:
    """What an attack is given, and where it leaves what its own look at the outcome found wrong."""

    arena: Arena
    tenant: Tenant
    rng: random.Random
    until: float
    """By the monotonic clock."""
    stack: ExitStack
    """What is to end with the scenario."""
    problems: list[str] = field(default_factory=list)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """Looked at when the companies have settled, while the tenant's objects are still there."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def expect(self, holds: Callable[[], bool], problem: str, *, seconds: float = 20.0) -> bool:
        """Wait for it; note the problem where it never comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return True
            time.sleep(0.25)  # other processes, asked over HTTP
        self.problems.append(problem)
        return False


Attack = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    name: str
    attack: Attack
    says: tuple[str, ...]
    """Each of these patterns has to be found in a condition or an event."""
    seconds: float
    restart: bool
    """Whether the operator is killed and started again while the tenant's objects are there."""
    open: str
    """Why a broken promise is no failure yet; empty where it is one."""

    @property
    def about(self) -> str:
        return " ".join((self.attack.__doc__ or "").split())


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str, *, says: Sequence[str] = (TENANT,), seconds: float = 12.0, restart: bool = False, open_: str = ""
) -> Callable[[Attack], Attack]:
    """`says` defaults to the tenant's namespace: something of what he wrote is cut or refused."""

    def add(attack: Attack) -> Attack:
        SCENARIOS[name] = Scenario(name, attack, tuple(says), seconds, restart, open_)
        return attack

    return add


@scenario(BASELINE, says=())
def nothing(_: Stage) -> None:
    """Nobody attacks: the delays that all others are compared with."""
