r"""What foreign text must be before it goes any further: short, and nothing in it that cannot be seen.

Foreign is what a cluster, Security Hub, AWS or a proxy wrote. Every such text passes here once, where it is read.

| function | gives                                                         | for                                      |
|----------|---------------------------------------------------------------|------------------------------------------|
| clean    | the text without what cannot be seen; `\n`, `\t`, `\r\n` stay | messages, descriptions                   |
| capped   | the same, at most `limit` characters                          | whatever is stored or compared           |
| line     | the same on one line, with single blanks                      | conditions, events, logs, terminals      |
| distinct | the same, with a hash of the whole where anything is lacking  | parts of an identity, which never merge  |

Removed are control characters (with them every escape sequence loses its effect), marks that change the direction of
text, half surrogates, the byte order mark, and characters without a glyph (zero-width space, tags, fillers). The
joiners U+200C and U+200D stay: Persian and emoji need them. Pure: no I/O, no clock.
"""

import hashlib
import re

LIMIT = 1024
"""Characters of a name, a category, a key: more than 253 is none that Kubernetes takes, 1,024 none that is real."""

NAME = 253
"""Characters of an object's or a namespace's name: Kubernetes takes no more."""

ELLIPSIS = "…"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tab, line feed, carriage return
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|\r(?!\n)"  # a lone one lets a terminal write over what stands there
)


def clean(text: str) -> str:
    """Without what cannot be seen."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub("", text)


def capped(text: str, limit: int) -> str:
    """Cleaned, at most `limit` characters; one that was cut ends with an ellipsis."""
    return clean(text) if len(text) <= limit else clean(text[: limit - 1]) + ELLIPSIS


def distinct(text: str, limit: int = LIMIT) -> str:
    """Cleaned, at most `limit` characters; one that lost anything ends with a hash of the whole."""
    if len(text) <= limit and ((text.isascii() and text.isprintable()) or clean(text) == text):
        return text
    mark = "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return clean(text[: limit - len(mark)]) + mark


def line(text: str, limit: int = 256) -> str:
    """Cleaned, on one line with single blanks, at most `limit` characters; may be empty."""
    kept = " ".join(clean(text[: 4 * limit]).split())
    return kept if len(kept) <= limit and len(text) <= 4 * limit else kept[: limit - 1].rstrip() + ELLIPSIS
