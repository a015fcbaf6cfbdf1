"""What can be wrong with a source object or a result in it, and what is taken of a text all the same.

**Every text is bounded and can be seen** (sources/text.py), and an object has the grammar of one (sources/objects.py):

| a report has …                                 | then                                                              |
|------------------------------------------------|-------------------------------------------------------------------|
| a source, policy, rule or discriminator that   | cut, with a hash of the whole, so that no two become one: problem |
|   is too long, or that holds what none can see |   `text-too-long`, `unprintable-text`                             |
| another text like that                         | cut, cleaned                                                      |
| an object whose kind or name is none           | not taken as an object, as if none were named: problem            |
|                                                |   `invalid-object`                                                |

Pure: no I/O, no clock.
"""

from policyhub.sources import wire
from policyhub.sources.recent import known, share
from policyhub.sources.text import LIMIT, NAME, capped, distinct
from policyhub.sources.violation import SourceKey

UNKNOWN_RESULT = "unknown-result"
NO_POLICY = "no-policy"
FOREIGN_NAMESPACE = "foreign-namespace"
UNNAMED_OBJECT = "unnamed-object"
"""One of several objects of a result has no name, so nothing can be said about it."""

INVALID_OBJECT = "invalid-object"
"""What a result names as its object is none: its kind, name, namespace or group has no such grammar."""
TEXT_TOO_LONG = "text-too-long"
UNPRINTABLE_TEXT = "unprintable-text"
"""A part of an identity holds characters that cannot be seen."""

HARMLESS = frozenset(
    {FOREIGN_NAMESPACE, UNNAMED_OBJECT, INVALID_OBJECT, TEXT_TOO_LONG, UNPRINTABLE_TEXT, wire.MALFORMED_MEMBER}
)
"""Problems that hide no violation of an object that this report may speak for."""


def part(text: str, problems: list[str]) -> str:
    """Of an identity: as it is written where that is short and can be seen, else distinct from all others."""
    if not text:
        return ""
    kept = known(text) or distinct(text)
    if kept == text:
        return share(kept)
    problems.append(TEXT_TOO_LONG if len(text) > LIMIT else UNPRINTABLE_TEXT)
    return kept


def described(text: str, problems: list[str]) -> str:
    """A text that only describes."""
    if len(text) > LIMIT:
        problems.append(TEXT_TOO_LONG)
    return share(capped(text, LIMIT))


def key(group: str, resource: str, namespace: str, name: str, problems: list[str]) -> SourceKey:
    """Of a source object; names that no API server of Kubernetes would take are counted."""
    if len(name) > NAME or len(namespace) > NAME:
        problems.append(TEXT_TOO_LONG)
    return SourceKey.named(group, resource, namespace, name)
