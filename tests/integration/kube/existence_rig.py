"""Existence checks against a real API server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from policyhub.clock import SteadyMs
from policyhub.kube.connection import Connection
from policyhub.sync.existence import REFUSAL_CONFIRM_MS, Answer, Existence, PolicyName, Presence, Referent
from policyhub.sync.existence_client import ExistenceClient

Document = dict[str, Any]


class ExistenceRig:
    """Runs an ExistenceClient, with a clock that can be advanced."""

    def __init__(self) -> None:
        self.ahead = 0
        self.existence = Existence(now=self.now)
        self.asker = ExistenceClient(self.existence, cluster="alpha", now=self.now, rate=1_000)

    def now(self) -> SteadyMs:
        return SteadyMs(round(time.monotonic() * 1000) + self.ahead)

    def forward(self, milliseconds: int) -> None:
        self.ahead += milliseconds
        self.existence.on_request()

    def ask(self, item: Referent, since: SteadyMs) -> Answer | None:
        if isinstance(item, PolicyName):
            return self.existence.policy(item.source, item.policy, since=since)
        return self.existence.subject(item, since=since)

    async def answers(self, *items: Referent) -> list[Answer]:
        since = self.now()
        async with asyncio.timeout(60):
            while True:
                found = [self.ask(item, since) for item in items]
                answers = [answer for answer in found if answer is not None]
                if len(answers) == len(items):
                    assert all(since <= answer.asked <= answer.answered_at for answer in answers if answer.uid)
                    return answers
                await asyncio.sleep(0.02)

    async def presence(self, *items: Referent) -> list[Presence]:
        return [answer.presence for answer in await self.answers(*items)]

    async def until_refused(self, *items: Referent, passes: int = REFUSAL_CONFIRM_MS) -> list[Presence]:
        """The answers after the first refusal has aged."""
        task = asyncio.create_task(self.presence(*items))
        while not task.done():
            await asyncio.sleep(0.2)
            self.forward(passes)
        return await task


@asynccontextmanager
async def running_existence(config: Document) -> AsyncIterator[ExistenceRig]:
    rig = ExistenceRig()
    async with await Connection.from_kubeconfig(config) as connection:
        task = asyncio.create_task(rig.asker.run(connection))
        try:
            yield rig
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
