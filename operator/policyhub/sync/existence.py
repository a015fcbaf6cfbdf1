"""Stub: replaced by the real one at the merge."""

from collections.abc import Callable
from enum import Enum, auto

import msgspec

from policyhub.sources.violation import Subject


class Presence(Enum):
    THERE = auto()
    GONE = auto()
    UNKNOWN = auto()


class Answer(msgspec.Struct, frozen=True):
    presence: Presence
    asked: int
    changed: int = 0
    uid: str = ""


class Existence:
    def __init__(self, *, on_answer: Callable[[object], None]) -> None:
        pass

    def subject(self, of: Subject, *, since: int) -> Answer | None:
        raise NotImplementedError

    def policy(self, source: str, policy: str, *, since: int) -> Answer | None:
        raise NotImplementedError
