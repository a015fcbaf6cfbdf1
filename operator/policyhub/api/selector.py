"""Label selectors in kubectl's syntax: they select the MonitoredClusters of this operator.

| term               | the label                                     |
|--------------------|-----------------------------------------------|
| `shard=a`          | exists and has this value; also `shard==a`    |
| `shard!=a`         | has another value, or does not exist          |
| `shard in (a, b)`  | exists and has one of these values            |
| `shard notin (a)`  | has none of these values, or does not exist   |
| `shard`, `!shard`  | exists, does not exist                        |

Several terms, separated by commas, must all match. The empty selector matches everything. Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_KEY = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_TERM = re.compile(
    rf"(?P<absent>!)? ?(?P<key>{_KEY})"
    rf"(?: ?(?P<equality>==|=|!=) ?(?P<value>{_VALUE})| (?P<membership>in|notin) ?\((?P<values>[^()]{{0,8192}})\))?"
)
_ONE = re.compile(_VALUE)

Operator = Literal["in", "notin", "exists", "absent"]


@dataclass(frozen=True, slots=True)
class Term:
    """A requirement on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Matches if all its terms match."""

    terms: tuple[Term, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(term.matches(labels) for term in self.terms)


def parse(text: str) -> Selector:
    """Raises ValueError, which quotes the invalid part."""
    return Selector(tuple(_term(part.strip()) for part in _parts(text))) if text.strip() else Selector()


def _parts(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts: list[str] = []
    inside = False
    for piece in text.split(","):
        if inside:
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
        inside = piece.rfind("(") > piece.rfind(")") or (inside and ")" not in piece)
    return parts


def _term(text: str) -> Term:
    found = _TERM.fullmatch(" ".join(text.split()))
    if found is None or (found["absent"] and (found["equality"] or found["membership"])):
        raise ValueError(f"not a label selector such as shard=a or shard in (a, b): {text!r}")
    key = found["key"]
    if found["equality"]:
        return Term(key, "notin" if found["equality"] == "!=" else "in", frozenset({found["value"]}))
    if found["membership"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        if not all(map(_ONE.fullmatch, values)):
            raise ValueError(f"not a label selector such as shard=a or shard in (a, b): {text!r}")
        return Term(key, "in" if found["membership"] == "in" else "notin", values)
    return Term(key, "absent" if found["absent"] else "exists")
