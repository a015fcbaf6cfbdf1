"""Many replicas in virtual time, at random: tests/unit/lease has the cases."""

import asyncio
import contextlib
import random

import pytest

from policyhub.kube.connection import Refused, Unreachable
from policyhub.kube.lease import Lease
from policyhub.securityhub.credentials import CALL_SECONDS
from tests.unit.lease.test_lease import HOURS, replica
from tests.unit.lease.virtual import Server, Wire, now, run


class Chaos:
    """Requests of one replica that are delayed, refused, lost, or written without an answer."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._bad_until = 0.0

    async def __call__(self, _: str) -> None:
        if now() > self._bad_until and self._rng.random() < 0.01:
            self._bad_until = now() + self._rng.uniform(1, 60)
        await asyncio.sleep(self._rng.uniform(0, 0.3))
        if now() < self._bad_until:
            match self._rng.randrange(3):
                case 0:
                    await asyncio.sleep(self._rng.uniform(0, 30))
                case 1:
                    raise Unreachable("cut")
                case _:
                    raise Refused(500, "InternalError", "no")


class Fleet:
    """Three replicas that are killed or stopped, and start again; it remembers which calls may be under way."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  (a repeatable test)
        self.server = Server()
        self.turns: list[str] = []
        self._caller = ""
        self._expires_at = 0.0

    async def live(self) -> None:
        async with asyncio.timeout(2 * HOURS), asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(self._again_and_again(name))
            group.create_task(self._meddle())

    async def _again_and_again(self, name: str) -> None:
        while True:
            rate, offset = 1 + self.rng.uniform(-0.00025, 0.00025), self.rng.uniform(-1e6, 1e6)
            wire = Wire(self.server, Chaos(self.rng))
            lease = replica(self.server, name, clock=lambda r=rate, o=offset: now() * r + o, wire=wire)  # type: ignore[misc]  # mypy does not infer such defaults
            await self._life(lease)
            await asyncio.sleep(self.rng.uniform(0, 20))

    async def _life(self, lease: Lease) -> None:
        await lease.acquire()
        self.turns.append(lease.identity)
        keeping = asyncio.create_task(lease.keep_renewed())
        end = now() + self.rng.expovariate(1 / 300)
        while now() < end and not keeping.done():
            self._call(lease)
            await asyncio.sleep(self.rng.uniform(0, 1))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if now() >= end and self.rng.random() < 0.3:
            self._expires_at = min(self._expires_at, now())  # one that stops in order waits for its calls to end
            await lease.release()

    def _call(self, lease: Lease) -> None:
        if not lease.permits(CALL_SECONDS):
            return
        if self._caller != lease.identity:
            assert self._expires_at <= now(), f"{lease.identity} begins while a call of {self._caller} is under way"
        self._caller, self._expires_at = lease.identity, now() + CALL_SECONDS

    async def _meddle(self) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / 600))
            if self.server.lease is not None:
                self.server.write({"strategy": "none of ours"})


@pytest.mark.parametrize("seed", range(12))
def test_never_two_holders(seed: int) -> None:
    """Whatever is lost or late, with clocks that run 0.05 % apart and start anywhere, replicas that are killed and
    start again: no call that one permits is under way after another's first; and each has its turns.
    """
    fleet = Fleet(seed)
    with contextlib.suppress(TimeoutError):
        run(fleet.live())
    assert set(fleet.turns) == {"a", "b", "c"}
    assert len(fleet.turns) > 20
