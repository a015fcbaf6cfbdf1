"""Numbers, names, times and commands as text, for conditions and the doctor. Pure: no I/O, no clock."""

import shlex
from collections.abc import Iterable

from policyhub.model.text import line

MOST = 5
"""How many of several items a message names."""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 finding`, `2 findings`; `many` is an irregular plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def some(names: Iterable[str], *, between: str = ", ", most: int = MOST) -> str:
    """The first `most` names on one line, and how many more there are."""
    items = list(names)
    more = f"{between.rstrip(', ')} and {len(items) - most} more" if len(items) > most else ""
    return between.join(line(one) for one in items[:most]) + more


def sentence(text: str) -> str:
    """With a capital first letter, to follow another sentence."""
    return text[:1].upper() + text[1:]


def span(seconds: float) -> str:
    """A duration in its largest unit and the next smaller one: `2 d 3 h`."""
    left = max(0, round(seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    first = next((n for n, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    parts: list[str] = []
    for unit, size in units[first : first + 2]:
        number, left = divmod(left, size)
        if number or not parts:
            parts.append(f"{number} {unit}")
    return " ".join(parts)


def coarse(seconds: float) -> float:
    """Rounded down to days, hours, ten minutes or a minute: an age in a status must not change every second."""
    size = 86_400 if seconds >= 2 * 86_400 else 3600 if seconds >= 2 * 3600 else 600 if seconds >= 600 else 60
    return seconds // size * size


def retire_command(
    target: str,
    *,
    identity: str = "",
    uids: Iterable[str] = (),
    account: str = "",
    region: str = "",
    role_arn: str = "",
    external_id: str = "",
    yes: bool = False,
) -> str:
    """The command line of `policyhub retire`, quoted for a shell. `target`: a MonitoredCluster that exists, or the
    identity of one that does not. `uids` as the option takes them. Empty ones are left out: while the MonitoredCluster
    exists, its spec and status supply them. With `yes` it archives, which it refuses while the MonitoredCluster sends.
    """
    options = {
        "--identity": identity,
        "--account-id": account,
        "--region": region,
        "--role-arn": role_arn,
        "--external-id": external_id,
    }
    words = ["policyhub", "retire", target]
    words += [word for uid in uids for word in ("--uid", uid)]
    words += [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join([*words, "--yes"] if yes else words)
