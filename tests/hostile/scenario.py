"""The scenarios of the hostile suite: modules of attacks register theirs with `@scenario(…)`; the docstring describes
the attack.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.hostile.checker import TENANT
from tests.hostile.harness import Harness
from tests.hostile.tenant import Tenant

BASELINE = "nobody attacks"


@dataclass
class Context:
    """What an attack gets, and where it records the problems that it finds itself."""

    harness: Harness
    tenant: Tenant
    rng: random.Random
    until: float
    """By the monotonic clock."""
    stack: ExitStack
    """Closed at the end of the scenario."""
    problems: list[str] = field(default_factory=list)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """Checks that run when the companies' findings are exact again, while the tenant's objects still exist."""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def expect(self, holds: Callable[[], bool], problem: str, *, seconds: float = 20.0) -> bool:
        """Wait for a condition; record the problem if it never holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return True
            time.sleep(0.25)  # other processes, polled over HTTP
        self.problems.append(problem)
        return False


Attack = Callable[[Context], None]


@dataclass(frozen=True)
class Scenario:
    name: str
    attack: Attack
    expected_texts: tuple[str, ...]
    """Each of these patterns must match a condition or an event."""
    seconds: float
    restart: bool
    """Whether the operator is killed and restarted while the tenant's objects exist."""
    open: str
    """Why a broken promise does not fail the suite yet; empty: it does."""

    @property
    def about(self) -> str:
        return " ".join((self.attack.__doc__ or "").split())


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str,
    *,
    expected_texts: Sequence[str] = (TENANT,),
    seconds: float = 12.0,
    restart: bool = False,
    open_: str = "",
) -> Callable[[Attack], Attack]:
    """`expected_texts` defaults to the tenant's namespace: the status reports that something of the tenant was cut or
    refused.
    """

    def add(attack: Attack) -> Attack:
        SCENARIOS[name] = Scenario(name, attack, tuple(expected_texts), seconds, restart, open_)
        return attack

    return add


@scenario(BASELINE, expected_texts=())
def nothing(_: Context) -> None:
    """No attack: the delays that all others are compared with."""
