"""Whether a result reports an event, which is over when it is written, or a state, which can end.

A finding about an event would stay active for ever: nothing reports that a packet is no longer dropped. So results of
event logs are filtered out by default (`spec.sources.eventLogs`). They are recognized by

| what                                    | for example                                                           |
|-----------------------------------------|-----------------------------------------------------------------------|
| the producer (producers.py), or a name  | Tracee, KubeArmor, Cilium Hubble                                      |
|   that contains a producer's name       |                                                                       |
| two properties of a process, an event   | `pid` and `processName`; `eventID` and `eventName`; `verb` and `uri`; |
|   or a request                          |   `operation` and `user` of a request that admission denied           |
| the properties `created` and `updated`, | bakito/policy-report-publisher counts how often an event occurred     |
|   with a count or a connection          |                                                                       |

Falco and JsPolicy are filtered out by name only (`spec.sources.exclude`): an admin who removes one of them from that
list receives its results. Engines that are known to report states are not examined. Pure: no I/O, no clock.
"""

from functools import lru_cache

from policyhub.model.engines import KNOWN_ENGINES
from policyhub.model.violation import ParsedReport, Violation
from policyhub.sources.producers import PRODUCERS

BY_NAME = ("Falco", "JsPolicy")
"""Filtered out by `spec.sources.exclude` only."""

_WORDS = ("tracee", "kubearmor", "hubble", "tetragon", "falco", "jspolicy")
"""Parts of the names of sources that log events."""
_OTHER = "falcon"
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
_LEAST = 2
_SEEN = frozenset({"created", "updated"})
_HAPPENED = frozenset({"count", "protocol", "port", "destination", *_MARKS})
_ASKED, _WHO = "operation", frozenset({"user", "username", "requester", "serviceaccount"})
"""A state is who may do what; an event is who requested which operation."""
_SEPARATORS = str.maketrans("", "", ".-_ ")


def tells_of_events(violation: Violation) -> bool:
    """False for the two sources in `BY_NAME`."""
    source = violation.source
    if source in _STATES:
        return False
    named = _named(source)
    if named is not None:
        return named
    return len(violation.properties) >= _LEAST and _happened(tuple(key for key, _ in violation.properties))


def logs_events(source: str) -> bool:
    """Whether the source logs events, by its name alone."""
    return source not in _STATES and _named(source) is True


def logs_in(reading: ParsedReport) -> frozenset[str]:
    """Sources whose violations in this object are all events: if they write nothing, they need not have stopped."""
    unknown = [violation for violation, _ in reading.violations if violation.source not in _STATES]
    if not unknown:
        return frozenset()
    states = {violation.source for violation in unknown if not tells_of_events(violation)}
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
    folded = folded.replace(_OTHER, "")
    return True if any(word in folded for word in _WORDS) else None


@lru_cache(maxsize=1024)  # a handful per engine
def _happened(keys: tuple[str, ...]) -> bool:
    words = {key.lower().translate(_SEPARATORS) for key in keys}
    if len(words & _MARKS) >= _LEAST or (_ASKED in words and not words.isdisjoint(_WHO)):
        return True
    return words >= _SEEN and not words.isdisjoint(_HAPPENED)
