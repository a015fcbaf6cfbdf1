r"""What a string must be before Security Hub takes it: short enough, and with something to read in it.

Lengths are counted in UTF-16 units: AWS says "characters", and of the readings of that word (code points, UTF-16 units)
this one is never longer than allowed. Every string must match `.*\S.*`, so blank ones are left out (None), and no line
break is kept, since a dot need not match one. A text that was cut ends with an ellipsis, which says so. Pure.
"""

import hashlib
import re

ELLIPSIS = "…"

# Control characters, line and paragraph separators, half surrogates (no UTF-8 holds them), the byte order mark (blank
# to some validators), and the marks that reverse the direction of text: a name must look like what it is.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str | None:
    """One line with single blanks; None where nothing can be read."""
    if not (text.isascii() and text.isprintable()):
        text = _UNWANTED.sub(" ", text)
    return " ".join(text.split()) or None


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def cut(text: str, limit: int) -> str:
    """At most `limit` units, on a character's boundary."""
    if len(text) <= limit and length(text) <= limit:
        return text
    kept = text[: limit - 1]
    if not kept.isascii():
        while length(kept) > limit - 1:
            over = length(kept) - (limit - 1)
            kept = kept[: -((over + 1) // 2)]
    return kept.rstrip() + ELLIPSIS


def _plain(text: str) -> bool:
    """Whether there is nothing to clean, as in nearly every text."""
    return text.isascii() and text.isprintable() and "  " not in text and text[0] != " " and text[-1] != " "


def fit(text: str | None, limit: int) -> str | None:
    """Cleaned and cut; None where nothing can be read."""
    if text and len(text) <= limit and _plain(text):
        return text
    cleaned = clean(text) if text else None
    return None if cleaned is None else cut(cleaned, limit)


def fit_distinct(text: str, limit: int) -> str:
    """Cleaned; what is too long keeps apart from its like by a hash of the whole (for ids)."""
    if text and len(text) <= limit and _plain(text):
        return text
    cleaned = clean(text) or "-"
    if cleaned == text and length(cleaned) <= limit:
        return cleaned
    mark = "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return cut(cleaned, limit - len(mark)) + mark
