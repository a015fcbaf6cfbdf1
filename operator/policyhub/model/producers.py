"""How a producer of reports can deviate from the report API. Which producer does is a row of engines.py.

| a producer …                                                         | member                   | read by         |
|----------------------------------------------------------------------|--------------------------|-----------------|
| writes a set in another order at each scan                           | `sets`, `documents`      | canonical.py    |
| writes times, process ids and counters into the description of       | `ignored`, `documents`,  | canonical.py    |
|   the violation                                                      |   `wording`              |                 |
| has its own name for a severity                                      | `severity`, `ranks`      | results.py      |
| has its own name for a remediation or a link                         | `aliases`                | canonical.py    |
| writes several results with the same policy, rule and object         | `discriminator`          | results.py      |
| reports events, not states                                           | `events`                 | event_logs.py   |
| gives each result the creation time of its own object                | `fixed_times`            | engines.py      |

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

Wording = Literal["pod-security", "go-errors", "sets", "times", "processes"]
"""What to normalize in a text; see canonical.py."""

_MARKS: Mapping[Wording, tuple[str, ...]] = {
    "pod-security": ("PodSecurity",),
    "go-errors": ("->", "current time "),
    "sets": ("{", ","),
    "processes": ("",),
    "times": ("",),
}
"""A wording only concerns texts that contain one of its marks (every text contains the empty mark). Most texts contain
none and are skipped."""


class Document(msgspec.Struct, frozen=True):
    """A property that holds JSON."""

    ignored: frozenset[str] = frozenset()
    """Members to drop, at any depth."""
    sets: frozenset[str] = frozenset()
    """Members whose lists have no order; the empty name is the document itself."""


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    sets: frozenset[str] = frozenset()
    """Properties that list values between commas, without an order."""
    documents: Mapping[str, Document] = {}
    ignored: frozenset[str] = frozenset()
    """Properties that change although the violation does not."""
    unset: Mapping[str, str] = {}
    """Property → the value that means that it is not set."""
    numbered: str = ""
    """The text after the number in the keys of properties that list a set: `0. message`, `1. message`."""
    wording: tuple[Wording, ...] = ()
    """Applies to the message and to `worded`, in this order."""
    worded: frozenset[str] = frozenset()
    """Properties that `wording` applies to."""
    severity: tuple[str, ...] = ()
    """Properties that may contain the severity."""
    ranks: Mapping[str, str] = {}
    """Their values → the values of the report API, if they differ."""
    aliases: Mapping[str, str] = {}
    """Property → its name in the results of other producers."""
    discriminator: str = ""
    """The property that distinguishes results with the same policy, rule and object."""
    events: bool = False
    fixed_times: bool = False
    special: frozenset[str] = frozenset()
    """Derived: all properties that are not used as written."""
    marks: tuple[str, ...] = ()
    """Derived: `wording` only concerns texts that contain one of these."""

    def __post_init__(self) -> None:
        keys = {*self.sets, *self.documents, *self.ignored, *self.unset, *self.worded, *self.aliases}
        msgspec.structs.force_setattr(self, "special", frozenset(keys))
        marks = tuple(mark for wording in self.wording for mark in _MARKS[wording])
        msgspec.structs.force_setattr(self, "marks", marks)


UNKNOWN = Producer(
    severity=("severity", "policy.open-cluster-management.io/severity"),
    aliases={
        "resolution": "remediation",
        "recommendation": "remediation",
        "primaryURL": "primaryLink",
        "PrimaryURL": "primaryLink",
        "more_info": "link",
        "moreInfo": "link",
    },
)
"""All other producers: names that several of the known ones use; nothing is left out."""
