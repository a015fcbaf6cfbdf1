"""Hands single objects of a listing or a watch to a sink. An object that fails does not stop the others.

Each failure is logged once for each object, and the log is rate limited. No I/O except the log; the clock is an
argument.
"""

from collections.abc import Callable

import msgspec
import structlog

from policyhub.kube import wire
from policyhub.kube.backoff import Clock
from policyhub.kube.errors import quoted
from policyhub.kube.sink import Counters, Sink
from policyhub.kube.watch_lines import MAX_LINE

log = structlog.get_logger(__name__)


class IsolatingSink:
    """Around one sink."""

    def __init__(self, sink: Sink, counters: Counters, clock: Clock, **context: str) -> None:
        """`context` says in each log line where the objects come from."""
        self.sink = sink
        self._counters = counters
        self._log = _UnreadableLog(clock, **context)

    def deliver(self, raw: msgspec.Raw, method: Callable[[msgspec.Raw], None]) -> None:
        """Call a method of the sink with one object. If that fails, the object is reported as unreadable."""
        size = len(memoryview(raw))
        if size > MAX_LINE:
            self._unreadable(raw, ValueError(f"an object of {size} bytes; at most {MAX_LINE} are read"))
            return
        try:
            method(raw)
        except Exception as error:  # noqa: BLE001  (the outermost boundary of one object: it must not stop the others)
            self._unreadable(raw, error)

    def _unreadable(self, raw: msgspec.Raw, error: Exception) -> None:
        self._counters.unreadable += 1
        self._log.add(wire.display_name(raw), error)
        try:
            self.sink.unreadable(raw, error)
        except Exception as fault:  # noqa: BLE001  (as above: the sink may fail at this, too)
            self._log.add("(the sink)", fault)


class _UnreadableLog:
    """Logs objects that cannot be read: each object once, and at most `LINES_PER_MINUTE` lines."""

    LINES_PER_MINUTE = 20
    REMEMBERED = 1_000

    def __init__(self, clock: Clock, **context: str) -> None:
        self._clock = clock
        self._context = context
        self._named: dict[str, None] = {}
        self._minute = -1
        self._lines_in_minute = 0
        self._suppressed = 0

    def add(self, name: str, error: Exception) -> None:
        if name in self._named:
            return
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines_in_minute = minute, 0
        if self._lines_in_minute >= self.LINES_PER_MINUTE:
            self._suppressed += 1
            return
        self._named[name] = None
        if len(self._named) > self.REMEMBERED:
            del self._named[next(iter(self._named))]
        self._lines_in_minute += 1
        why = quoted(f"{type(error).__name__}: {error}")
        log.warning("object_unreadable", object=name, error=why, left_out_before=self._suppressed, **self._context)
        self._suppressed = 0
