"""The demo's output: rich on a terminal, plain lines anywhere else, with the same text.

Each wait prints a line before it begins, and its progress.
"""

import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Update = Callable[[str], None]

QUIET_SECONDS = 5.0
"""Plain output prints the progress of a wait at most this often."""
WIDTH = 110
INDENT = (0, 0, 0, 3)


class Screen(Protocol):
    def title(self, text: str) -> None: ...

    def step(self, text: str) -> None:
        """The heading of the next step; steps are numbered."""
        ...

    def say(self, text: str) -> None: ...

    def fail(self, text: str) -> None: ...

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None: ...

    @contextmanager
    def waiting(self, why: str) -> Iterator[Update]:
        """Prints the reason; the caller reports the progress to the returned function."""
        ...


def open_screen(*, plain: bool) -> Screen:
    return Lines() if plain or not sys.stdout.isatty() else Terminal()


class Lines:
    """Plain lines, each flushed."""

    def __init__(self) -> None:
        self._steps = 0

    def title(self, text: str) -> None:
        self._print(text)

    def step(self, text: str) -> None:
        self._steps += 1
        self._print(f"\n{self._steps}. {text}")

    def say(self, text: str) -> None:
        for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
            self._print(f"   {line}")

    def fail(self, text: str) -> None:
        self.say(f"FAILED: {text}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(line[n]) for line in (header, *rows)) for n in range(len(header))]
        for line in (header, *rows):
            self._print("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    @contextmanager
    def waiting(self, why: str) -> Iterator[Update]:
        self.say(f"{why} …")
        said, last = time.monotonic(), why

        def update(text: str) -> None:
            nonlocal said, last
            now = time.monotonic()
            if text != last and now - said >= QUIET_SECONDS:
                self.say(f"… {text}")
                said, last = now, text

        yield update

    def _print(self, text: str) -> None:
        print(text, flush=True)


class Terminal:
    """On a terminal: a live line during a wait."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._steps = 0

    def title(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))

    def step(self, text: str) -> None:
        self._steps += 1
        self._console.print()
        self._console.print(Text(f"{self._steps}. {text}", style="bold cyan"))

    def say(self, text: str) -> None:
        self._console.print(Padding(Text(text), INDENT, expand=False))

    def fail(self, text: str) -> None:
        self._console.print(Padding(Text(f"FAILED: {text}", style="bold red"), INDENT, expand=False))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in header:
            table.add_column(name)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(Padding(table, INDENT, expand=False))

    @contextmanager
    def waiting(self, why: str) -> Iterator[Update]:
        clock = _Clock(why)
        with self._console.status(clock, spinner="line"):
            yield clock.update


class _Clock:
    """The text of a wait with its seconds: rich renders it again for each frame."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._started = time.monotonic()

    def update(self, text: str) -> None:
        self._text = text

    def __rich__(self) -> Text:
        return Text(f"{self._text} ({time.monotonic() - self._started:.0f} s)")
