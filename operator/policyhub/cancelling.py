"""Whether the running task is to end. A task group that is already ending for another reason keeps a cancellation to
itself (CPython before 3.13): whoever catches what it raises asks here before going on.
"""

import asyncio


def cancelled() -> bool:
    """Whether somebody waits for the running task to end: one that fails as it is cancelled shows the failure alone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def obey() -> None:
    """Raises CancelledError where that is so."""
    if cancelled():
        raise asyncio.CancelledError
