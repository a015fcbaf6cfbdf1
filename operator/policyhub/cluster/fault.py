"""What is wrong with a cluster, as its parts say it to the status. Pure: no I/O, no clock."""

from dataclasses import dataclass

UNTRIED = frozenset({"Connecting", "NotVerified", "Discovering"})
"""Reasons of what was not tried yet: the condition is Unknown."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, fit for a condition: a CamelCase reason and a message."""

    reason: str
    message: str
    remedy: str = ""
    """What to do about it, where neither the message says so nor `policyhub.cluster.remedies` for the reason."""
