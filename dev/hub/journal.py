"""The journal: every imported or updated finding, and every call, in order. Bounded; the oldest are dropped first.

Entries are stored as plain tuples, and become objects only when they are read. An entry of kind `lost` names a finding
of an import whose caller cannot know whether it was written (500, no answer); it is not counted in `outcomes`.
"""

from collections import Counter
from typing import Any, Generic, TypeVar

Entry = tuple[float, int, str, str, str, str, str, str, bool, str, str, str, str]
ENTRY_FIELDS = (
    "time", "call", "kind", "account", "region", "id", "record_state", "outcome", "redundant", "cluster", "detail",
    "created_at", "updated_at",
)  # fmt: skip
Call = tuple[float, str, str, str, int, int, str]
CALL_FIELDS = ("time", "operation", "account", "region", "findings", "status", "error")

T = TypeVar("T", bound=tuple[Any, ...])


class Log(Generic[T]):
    """An append-only list, numbered from 1. Drops the oldest tenth when it reaches its limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[T] = []
        self.dropped = 0

    def append(self, item: T) -> int:
        if len(self._items) >= self._limit:
            cut = max(1, self._limit // 10)
            del self._items[:cut]
            self.dropped += cut
        self._items.append(item)
        return self.dropped + len(self._items)

    @property
    def last(self) -> int:
        return self.dropped + len(self._items)

    def after(self, number: int, limit: int) -> tuple[int, list[T]]:
        """Up to `limit` items after this number, and the number of the first."""
        start = max(0, number - self.dropped)
        return self.dropped + start + 1, self._items[start : start + limit]

    def clear(self) -> None:
        self._items.clear()
        self.dropped = 0


class Journal:
    """Entries (one for each finding of an import or update) and calls, and their counts since the last reset."""

    def __init__(self, limit: int) -> None:
        self.entries: Log[Entry] = Log(limit)
        self.calls: Log[Call] = Log(limit)
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.redundant = 0

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry[2] == "lost":
            return
        self.outcomes[entry[7]] += 1
        self.redundant += entry[8]

    def lose(self, body: Any, now: float, account: str, region: str, *, reason: str) -> None:
        """Records the findings of an import whose caller cannot know whether they were written."""
        findings = body.get("Findings") if isinstance(body, dict) else None
        for sent in findings if isinstance(findings, list) else ():
            if isinstance(sent, dict):
                name, times = str(sent.get("Id", "")), (str(sent.get("CreatedAt", "")), str(sent.get("UpdatedAt", "")))
                self.record((now, self.next_call, "lost", account, region, name, "", "lost", False, "", reason, *times))

    def called(self, call: Call) -> None:
        self.calls.append(call)
        self.statuses[(call[1], call[5])] += 1

    @property
    def next_call(self) -> int:
        """Number of the call in progress. Calls are handled one at a time."""
        return self.calls.last + 1

    def read(self, since: int, *, calls_since: int, limit: int) -> dict[str, Any]:
        first, entries = self.entries.after(since, limit)
        first_call, calls = self.calls.after(calls_since, limit)
        return {
            "entries": [
                {"seq": seq, **dict(zip(ENTRY_FIELDS, entry, strict=True))} for seq, entry in enumerate(entries, first)
            ],
            "calls": [
                {"call": number, **dict(zip(CALL_FIELDS, call, strict=True))}
                for number, call in enumerate(calls, first_call)
            ],
            "last": self.entries.last,
            "last_call": self.calls.last,
            "dropped": self.entries.dropped,
        }

    def history(self, account: str, region: str, finding: str, *, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` newest entries of one finding, newest last."""
        first, entries = self.entries.after(0, self.entries.last)
        found = [
            {"seq": seq, **dict(zip(ENTRY_FIELDS, entry, strict=True))}
            for seq, entry in enumerate(entries, first)
            if entry[5] == finding and entry[3] == account and entry[4] == region
        ]
        return found[-limit:]

    def clear(self) -> None:
        self.entries.clear()
        self.calls.clear()
        self.outcomes.clear()
        self.statuses.clear()
        self.redundant = 0
