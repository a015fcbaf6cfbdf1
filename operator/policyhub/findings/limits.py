r"""Makes strings valid for Security Hub: short enough, and not blank.

Lengths are counted in UTF-16 units. AWS says "characters", which may mean code points or UTF-16 units; a string that
fits in UTF-16 units fits in both. Every string must match `.*\S.*`. So blank strings are omitted (None), and line
breaks are removed, since a dot may not match them. A text that was cut ends with an ellipsis. Pure.
"""

import hashlib
import re

ELLIPSIS = "…"

# Control characters, line and paragraph separators, half surrogates (no UTF-8 holds them), the byte order mark (blank
# to some validators), and the marks that reverse the direction of text: a name must look like what it is.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str | None:
    """One line with single spaces; None if it is blank."""
    if not (text.isascii() and text.isprintable()):
        text = _UNWANTED.sub(" ", text)
    return " ".join(text.split()) or None


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def cut(text: str, limit: int) -> str:
    """At most `limit` units, cut between characters."""
    if len(text) <= limit and length(text) <= limit:
        return text
    kept = text[: limit - 1]
    if not kept.isascii():
        while length(kept) > limit - 1:
            over = length(kept) - (limit - 1)
            kept = kept[: -((over + 1) // 2)]
    return kept.rstrip() + ELLIPSIS


def _plain(text: str) -> bool:
    """Whether the text needs no cleaning, as nearly every text."""
    return text.isascii() and text.isprintable() and "  " not in text and text[0] != " " and text[-1] != " "


def fit(text: str | None, limit: int) -> str | None:
    """Cleaned and cut; None if it is blank."""
    if text and len(text) <= limit and _plain(text):
        return text
    cleaned = clean(text) if text else None
    return None if cleaned is None else cut(cleaned, limit)


def fit_distinct(text: str, limit: int) -> str:
    """Cleaned and cut, for ids: a changed text gets a hash of the original, so that it stays unique."""
    if text and len(text) <= limit and _plain(text):
        return text
    cleaned = clean(text) or "-"
    if cleaned == text and length(cleaned) <= limit:
        return cleaned
    suffix = "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return cut(cleaned, limit - len(suffix)) + suffix
