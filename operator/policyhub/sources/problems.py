"""Problems of a source object or of a result in it, and how much of a text is kept.

**Every text is bounded and visible** (model/text.py), and an object has a valid grammar (sources/objects.py):

| a report contains …                            | then                                                              |
|------------------------------------------------|-------------------------------------------------------------------|
| a source, policy, rule or discriminator that   | cut, with a hash of the original, so that different texts stay    |
|   is too long or has invisible characters      |   different: problem `text-too-long` or `unprintable-text`        |
| another such text                              | cut, cleaned                                                      |
| an object with an invalid kind or name         | not accepted, as if no object were named: problem                 |
|                                                |   `invalid-object`                                                |

Pure: no I/O, no clock.
"""

from policyhub.model.recent import known, share
from policyhub.model.text import LIMIT, NAME, capped, distinct
from policyhub.model.violation import SourceKey
from policyhub.sources import wire

UNKNOWN_RESULT = "unknown-result"
NO_POLICY = "no-policy"
FOREIGN_NAMESPACE = "foreign-namespace"
UNNAMED_OBJECT = "unnamed-object"
"""One of several objects of a result has no name, so no finding can be about it."""

INVALID_OBJECT = "invalid-object"
"""A result names an object that cannot exist: its kind, name, namespace or group breaks the grammar."""
TEXT_TOO_LONG = "text-too-long"
UNPRINTABLE_TEXT = "unprintable-text"
"""A part of an identity contains invisible characters."""

HARMLESS = frozenset(
    {FOREIGN_NAMESPACE, UNNAMED_OBJECT, INVALID_OBJECT, TEXT_TOO_LONG, UNPRINTABLE_TEXT, wire.MALFORMED_MEMBER}
)
"""Problems that hide no violation of an object that this report may report about."""


def part(text: str, problems: list[str]) -> str:
    """A part of an identity: as written if short and visible, else shortened and distinct from all others."""
    if not text:
        return ""
    kept = known(text) or distinct(text)
    if kept == text:
        return share(kept)
    problems.append(TEXT_TOO_LONG if len(text) > LIMIT else UNPRINTABLE_TEXT)
    return kept


def described(text: str, problems: list[str]) -> str:
    """A text that only describes: cut, cleaned."""
    if len(text) > LIMIT:
        problems.append(TEXT_TOO_LONG)
    return share(capped(text, LIMIT))


def key(group: str, resource: str, namespace: str, name: str, problems: list[str]) -> SourceKey:
    """The key of a source object. A name longer than Kubernetes accepts is a problem."""
    if len(name) > NAME or len(namespace) > NAME:
        problems.append(TEXT_TOO_LONG)
    return SourceKey.named(group, resource, namespace, name)
