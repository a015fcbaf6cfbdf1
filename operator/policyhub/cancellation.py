"""Distinguishes the cancellation of the running task from the failure of a task group.

A task group that is already failing swallows a cancellation and raises its failure. Code that catches the failure must
check for the cancellation here before it goes on. This needs our `TaskGroup`: before CPython 3.13, a task that fails
while its group waits leaves one cancellation too many on the parent task (python/cpython#116720), which then looks
cancelled for ever.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

RESTART_SECONDS = 5.0
"""Between the failure of a task that must always run and its next start."""

if sys.version_info >= (3, 13):
    TaskGroup = asyncio.TaskGroup
else:

    class TaskGroup(asyncio.TaskGroup):
        """A task group that leaves its parent task cancelled only if somebody has cancelled it."""

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            taken_back = self._parent_cancel_requested  # type: ignore[attr-defined]  # of CPython, which does this one
            try:
                await super().__aexit__(kind, error, trace)
            finally:
                if self._parent_cancel_requested and not taken_back:  # type: ignore[attr-defined]  # as above
                    self._parent_task.uncancel()  # type: ignore[attr-defined]  # as above


def cancelled() -> bool:
    """Whether the running task was cancelled, also if it failed at the same time and shows only the failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def raise_if_cancelled() -> None:
    """Raises CancelledError if `cancelled()`."""
    if cancelled():
        raise asyncio.CancelledError


async def run_forever(run: Callable[[], Awaitable[None]], *, on_failure: Callable[[Exception], object]) -> None:
    """Run it again and again, until cancelled. `on_failure` gets the exception of each run."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001  (outermost loop: a mistake about one must not stop the others)
            on_failure(error)
            if cancelled():
                return
            await asyncio.sleep(RESTART_SECONDS)
