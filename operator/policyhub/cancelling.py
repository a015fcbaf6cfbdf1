"""Whether the running task is to end, told apart from a task group that has failed.

A task group that is already ending keeps a cancellation to itself, and raises what it is ending for: whoever catches
that asks here before going on. For the answer to be right, groups are this `TaskGroup`: before CPython 3.13, a task
that fails while its group waits leaves one cancellation too many on the task that owns it (python/cpython#116720),
and whoever goes on after the failure looks cancelled for ever.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

RESTART_SECONDS = 5.0
"""Between the failure of what must always run and its next start."""

if sys.version_info >= (3, 13):
    TaskGroup = asyncio.TaskGroup
else:

    class TaskGroup(asyncio.TaskGroup):
        """A task group after which the task that owns it is cancelled only if somebody has cancelled it."""

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
    """Whether somebody waits for the running task to end: one that fails as it is cancelled shows the failure alone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def obey() -> None:
    """Raises CancelledError where that is so."""
    if cancelled():
        raise asyncio.CancelledError


async def keep_running(run: Callable[[], Awaitable[None]], *, on_failure: Callable[[Exception], object]) -> None:
    """Run it again and again, until cancelled. `on_failure` logs what it raised."""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001  (outermost loop: a mistake about one must not stop the others)
            on_failure(error)
            if cancelled():
                return
            await asyncio.sleep(RESTART_SECONDS)
