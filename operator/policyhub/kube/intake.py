"""One object of a listing or a watch into the sink: what goes wrong with it is its own, and is told of without a flood.

No I/O but the log; the clock is an argument.
"""

from collections.abc import Callable

import msgspec
import structlog

from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.errors import quoted
from policyhub.kube.lines import MAX_LINE
from policyhub.kube.sink import Counters, Sink

log = structlog.get_logger(__name__)


class Intake:
    """Of one sink."""

    def __init__(self, sink: Sink, counters: Counters, clock: Clock, **place: str) -> None:
        """`place` is what the log says of where an object came from."""
        self.sink = sink
        self._counters = counters
        self._complaints = _Complaints(clock, **place)

    def take(self, raw: msgspec.Raw, take: Callable[[msgspec.Raw], None]) -> None:
        """Into the sink. What goes wrong is the object's."""
        size = len(memoryview(raw))
        if size > MAX_LINE:
            self._unreadable(raw, ValueError(f"an object of {size} bytes; at most {MAX_LINE} are read"))
            return
        try:
            take(raw)
        except Exception as error:  # noqa: BLE001  (the outermost boundary of one object: it must not stop the others)
            self._unreadable(raw, error)

    def _unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        self._counters.unreadable += 1
        self._complaints.add(wire.name(raw), error)
        try:
            self.sink.unreadable(raw, error)
        except Exception as fault:  # noqa: BLE001  (as above: nor must a sink that cannot even name it)
            self._complaints.add("(the sink)", fault)


class _Complaints:
    """The log of objects that cannot be read: each once, and few lines a minute."""

    LINES = 20
    KEPT = 1_000

    def __init__(self, clock: Clock, **place: str) -> None:
        self._clock = clock
        self._place = place
        self._named: dict[str, None] = {}
        self._minute = -1
        self._lines = 0
        self._left_out = 0

    def add(self, name: str, error: Exception) -> None:
        if name in self._named:
            return
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        if self._lines >= self.LINES:
            self._left_out += 1
            return
        self._named[name] = None
        if len(self._named) > self.KEPT:
            del self._named[next(iter(self._named))]
        self._lines += 1
        why = quoted(f"{type(error).__name__}: {error}")
        log.warning("object_unreadable", object=name, error=why, left_out_before=self._left_out, **self._place)
        self._left_out = 0
