"""Questions to a real API server, and their answers."""

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


class Stand:
    """Questions and their answers, by a clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0
        self.existence = Existence(now=self.now)
        self.asker = ExistenceClient(self.existence, cluster="alpha", now=self.now, rate=1_000)

    def now(self) -> SteadyMs:
        return SteadyMs(round(time.monotonic() * 1000) + self.ahead)

    def forward(self, milliseconds: int) -> None:
        self.ahead += milliseconds
        self.existence.on_request()

    def ask(self, thing: Referent, since: SteadyMs) -> Answer | None:
        if isinstance(thing, PolicyName):
            return self.existence.policy(thing.source, thing.policy, since=since)
        return self.existence.subject(thing, since=since)

    async def answers(self, *things: Referent) -> list[Answer]:
        since = self.now()
        async with asyncio.timeout(60):
            while True:
                found = [self.ask(thing, since) for thing in things]
                answers = [answer for answer in found if answer is not None]
                if len(answers) == len(things):
                    assert all(since <= answer.asked <= answer.answered_at for answer in answers if answer.uid)
                    return answers
                await asyncio.sleep(0.02)

    async def presence(self, *things: Referent) -> list[Presence]:
        return [answer.presence for answer in await self.answers(*things)]

    async def until_refused(self, *things: Referent, passes: int = REFUSAL_CONFIRM_MS) -> list[Presence]:
        """The answers once the first refusal is old."""
        task = asyncio.create_task(self.presence(*things))
        while not task.done():
            await asyncio.sleep(0.2)
            self.forward(passes)
        return await task


@asynccontextmanager
async def asking(config: Document) -> AsyncIterator[Stand]:
    stand = Stand()
    async with await Connection.from_kubeconfig(config) as connection:
        task = asyncio.create_task(stand.asker.run(connection))
        try:
            yield stand
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
