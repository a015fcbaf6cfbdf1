"""Bounded caches of shared values: text from outside must not fill the memory over time.

Two generations: used entries are in the young one. When it is full it becomes the old one, and the entries of the
previous old one that were not used since are dropped. So a flood of new texts displaces unused entries, not common
ones. (`sys.intern` of Python 3.12 keeps a text for ever.)
"""

from typing import Generic, TypeVar

from policyhub.model.text import LIMIT, clean

K = TypeVar("K")
V = TypeVar("V")

_ENTRY = 100
"""Approximate overhead of an entry, in characters."""


class Recent(Generic[K, V]):
    """A table of at most twice `limit` characters; each entry has a weight."""

    def __init__(self, *, limit: int) -> None:
        self.young: dict[K, V] = {}
        """For a lookup before `get` on hot paths; always the same dict."""
        self._old: dict[K, V] = {}
        self._limit = limit
        self._weight = 0

    def get(self, key: K, *, weight: int) -> V | None:
        """The value, if it is still cached; `weight` is its size in characters."""
        found = self.young.get(key)
        if found is None and key in self._old:
            found = self._old[key]
            self.put(key, found, weight=weight)
        return found

    def put(self, key: K, value: V, *, weight: int) -> None:
        weight += _ENTRY
        if self._weight + weight > self._limit:
            self._old = self.young.copy()
            self.young.clear()
            self._weight = 0
        self.young[key] = value
        self._weight += weight

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


_texts: Recent[str, str] = Recent(limit=4_000_000)
"""4 to 16 MB per generation. Every text in it is clean and no longer than LIMIT."""

known = _texts.young.get
"""The copy of a text that was shared recently: the fast path of `share`."""


def share(text: str) -> str:
    """One copy for all holders of an equal text; a text that is not clean or is too long is returned as it is."""
    found = known(text) or _texts.get(text, weight=len(text))
    if found is not None:
        return found
    if len(text) <= LIMIT and clean(text) == text:
        _texts.put(text, text, weight=len(text))
    return text
