"""Whether a result reports an event, which is over when it is written, or a state, which can end.

A finding about an event would stay active for ever: nothing reports that a packet is no longer dropped. So results of
event logs are filtered out by default (`spec.sources.eventLogs`). They are recognized by

| what                                    | for example                                                           |
|-----------------------------------------|-----------------------------------------------------------------------|
| the producer (engines.py), or a name    | Tracee, KubeArmor, Cilium Hubble                                      |
|   that contains a producer's name       |                                                                       |
| two properties of a process, an event   | `pid` and `processName`; `eventID` and `eventName`; `verb` and `uri`; |
|   or a request                          |   `operation` and `user` of a request that admission denied           |
| the properties `created` and `updated`, | bakito/policy-report-publisher counts how often an event occurred     |
|   with a count or a connection          |                                                                       |

Falco and JsPolicy are filtered out by name only (`spec.sources.exclude`): an admin who removes one of them from that
list receives its results. Engines that are known to report states are not examined. Pure: no I/O, no clock.
"""

from functools import lru_cache

from policyhub.model.engines import ENGINES, KNOWN_ENGINES, PRODUCERS
from policyhub.model.violation import ParsedReport, Violation

BY_NAME = tuple(engine.name for engine in ENGINES if engine.exclude_only)
"""Filtered out by `spec.sources.exclude` only."""

_NAME_PARTS = tuple(engine.name_part for engine in ENGINES if engine.name_part)
"""Parts of the names of sources that log events."""
_FALCON = "falcon"
"""CrowdStrike's product, whose name contains Falco's; the two are unrelated."""
_STATES = KNOWN_ENGINES | {name for name, producer in PRODUCERS.items() if not producer.events}

_MARKS = frozenset(
    {
        *("pid", "ppid", "hostpid", "hostppid", "processid", "processname", "parentprocessname", "procname"),
        *("proccmdline", "procpid", "syscall", "eventid", "eventname", "eventtype", "evttype", "evttime", "evtargpath"),
        *("containerid", "sourceip", "destinationip"),
        *("verb", "uri", "requesturi", "requestuid", "admissionuid", "userinfo", "operation"),
    }
)
"""Property keys, in lower case and without separators."""
_MIN_KEYS = 2
_PERIOD = frozenset({"created", "updated"})
_OCCURRENCE = frozenset({"count", "protocol", "port", "destination", *_MARKS})
_OPERATION, _USERS = "operation", frozenset({"user", "username", "requester", "serviceaccount"})
"""A state is who may do what; an event is who requested which operation."""
_SEPARATORS = str.maketrans("", "", ".-_ ")


def is_event(violation: Violation) -> bool:
    """False for the two sources in `BY_NAME`."""
    source = violation.source
    if source in _STATES:
        return False
    named = _named(source)
    if named is not None:
        return named
    return len(violation.properties) >= _MIN_KEYS and _has_event_keys(tuple(key for key, _ in violation.properties))


def is_event_log(source: str) -> bool:
    """Whether the source logs events, by its name alone."""
    return source not in _STATES and _named(source) is True


def event_log_sources(parsed: ParsedReport) -> frozenset[str]:
    """Sources whose violations in this object are all events: if they write nothing, they need not have stopped."""
    unknown = [violation for violation, _ in parsed.violations if violation.source not in _STATES]
    if not unknown:
        return frozenset()
    states = {violation.source for violation in unknown if not is_event(violation)}
    return frozenset({violation.source for violation in unknown} - states)


@lru_cache(maxsize=1024)
def _named(source: str) -> bool | None:
    """None if the name alone does not decide."""
    folded = source.casefold()
    if folded in {name.casefold() for name in BY_NAME}:
        return False
    producer = next((known for name, known in PRODUCERS.items() if name.casefold() == folded), None)
    if producer is not None:
        return producer.events
    folded = folded.replace(_FALCON, "")
    return True if any(part in folded for part in _NAME_PARTS) else None


@lru_cache(maxsize=1024)  # a handful per engine
def _has_event_keys(keys: tuple[str, ...]) -> bool:
    names = {key.lower().translate(_SEPARATORS) for key in keys}
    if len(names & _MARKS) >= _MIN_KEYS or (_OPERATION in names and not names.isdisjoint(_USERS)):
        return True
    return names >= _PERIOD and not names.isdisjoint(_OCCURRENCE)
