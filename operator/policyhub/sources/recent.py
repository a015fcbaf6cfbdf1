"""What was made or seen lately, kept to be shared, with an end: foreign text must not fill the memory for ever.

Two generations: what is asked for lives in the young one; when that is full it becomes the old one, and what was in the
old one and never asked for since is let go. So a flood of new texts pushes out what nobody uses, not what everybody
uses. (Python 3.12's own `intern` keeps a text for ever.)
"""

from typing import Generic, TypeVar

from policyhub.sources.text import LIMIT, clean

K = TypeVar("K")
V = TypeVar("V")

_ENTRY = 100
"""Characters that an entry costs beside its own, about."""


class Recent(Generic[K, V]):
    """A table of at most twice `limit` characters, each entry with what it weighs."""

    def __init__(self, *, limit: int) -> None:
        self.young: dict[K, V] = {}
        """To look into before `get`, on hot paths; always the same dict."""
        self._old: dict[K, V] = {}
        self._limit = limit
        self._weight = 0

    def get(self, key: K, *, weight: int) -> V | None:
        """What is kept under the key, if it is; it weighs `weight` characters."""
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
"""4 to 16 MB in each generation. Every text in it is clean and no longer than LIMIT."""

known = _texts.young.get
"""The shared copy of a text that was shared lately: the quick half of `share`."""


def share(text: str) -> str:
    """One copy for all who hold an equal text; a text that is not clean or too long is handed back."""
    found = known(text) or _texts.get(text, weight=len(text))
    if found is not None:
        return found
    if len(text) <= LIMIT and clean(text) == text:
        _texts.put(text, text, weight=len(text))
    return text
