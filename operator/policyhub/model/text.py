r"""Makes text from outside safe: short, and without invisible characters.

Outside means a cluster, Security Hub, AWS or a proxy. Every such text passes through here once, where it is read.

| function | returns                                                       | for                                      |
|----------|---------------------------------------------------------------|------------------------------------------|
| clean    | the text without invisible characters; `\n`, `\t`, `\r\n` stay| messages, descriptions                   |
| capped   | the same, at most `limit` characters                          | everything that is stored or compared    |
| line     | the same on one line, with single spaces                      | conditions, events, logs, terminals      |
| distinct | the same, with a hash of the original if anything was removed | parts of an identity, which never merge  |

It removes control characters (without them no escape sequence has an effect), marks that change the direction of text,
lone surrogates, the byte order mark, and characters without a glyph (zero-width space, tags, fillers). The joiners
U+200C and U+200D stay: Persian and emoji need them. Pure: no I/O, no clock.
"""

import hashlib
import re

LIMIT = 1024
"""Maximum length of a name, a category or a key: Kubernetes accepts 253 characters, and no real text has 1,024."""

NAME = 253
"""Maximum length of an object's or a namespace's name in Kubernetes."""

ELLIPSIS = "…"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters except tab, line feed, carriage return
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|\r(?!\n)"  # a lone one lets a terminal overwrite the line
)


def clean(text: str) -> str:
    """Without invisible characters."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub("", text)


def capped(text: str, limit: int) -> str:
    """Cleaned, at most `limit` characters; a text that was cut ends with an ellipsis."""
    return clean(text) if len(text) <= limit else clean(text[: limit - 1]) + ELLIPSIS


def distinct(text: str, limit: int = LIMIT) -> str:
    """Cleaned, at most `limit` characters; a text that lost anything ends with a hash of the original."""
    if len(text) <= limit and ((text.isascii() and text.isprintable()) or clean(text) == text):
        return text
    mark = "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return clean(text[: limit - len(mark)]) + mark


def line(text: str, limit: int = 256) -> str:
    """Cleaned, on one line with single spaces, at most `limit` characters; may be empty."""
    kept = " ".join(clean(text[: 4 * limit]).split())
    return kept if len(kept) <= limit and len(text) <= 4 * limit else kept[: limit - 1].rstrip() + ELLIPSIS
