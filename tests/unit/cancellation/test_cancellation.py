"""Cancelled tasks, and failed task groups."""

import ast
import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from policyhub import cancellation
from policyhub.cancellation import TaskGroup, cancelled, raise_if_cancelled
from policyhub.control import supervisor

OPERATOR = Path(__file__).parents[3] / "operator/policyhub"


async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError


async def unwinds(ending: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ending.set()
        await asyncio.sleep(0)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_failure_is_not_a_cancellation(*, waits: bool) -> None:
    """However often groups fail, while they wait or while their body runs."""
    for _ in range(3):
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(fails())
                if not waits:
                    await asyncio.Event().wait()
        except* ValueError:
            assert not cancelled()
        raise_if_cancelled()


async def test_a_cancellation_during_a_failure_is_kept() -> None:
    """The group raises its own failure; the handler is still cancelled."""
    ending = asyncio.Event()
    caught: list[bool] = []

    async def work() -> None:
        while True:
            try:
                async with TaskGroup() as tasks:
                    tasks.create_task(unwinds(ending))
                    tasks.create_task(fails())
            except* ValueError:
                caught.append(cancelled())
            raise_if_cancelled()

    task = asyncio.create_task(work())
    await ending.wait()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert caught == [True]


async def test_a_failing_data_plane_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of its tasks failed; and it ends when it is cancelled."""
    monkeypatch.setattr(cancellation, "RESTART_SECONDS", 0)
    begun = 0

    class Plane:
        name = "prod"

        async def run(self) -> None:
            nonlocal begun
            begun += 1
            if begun == 4:
                await asyncio.Event().wait()
            async with TaskGroup() as tasks:
                tasks.create_task(fails())

    task = asyncio.create_task(supervisor.Supervisor._keep(cast("Any", None), cast("Any", Plane())))
    async with asyncio.timeout(10):
        while begun < 4:  # noqa: ASYNC110  (no event is set)
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


def test_no_other_groups_are_used() -> None:
    """Asyncio's own groups would make a task look cancelled that is not."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in OPERATOR.rglob("*.py")
        if path.name != "cancellation.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "TaskGroup"
    ]
    assert found == []
