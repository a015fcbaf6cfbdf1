"""Whether a result tells of an event, which is over when it is written, and not of a state, which can end.

A finding of an event would be active for ever: nobody reports that a packet is no longer dropped. So results of event
logs are left out unless they are asked for (`spec.sources.eventLogs`). One is known by

| what                                    | for example                                                           |
|-----------------------------------------|-----------------------------------------------------------------------|
| its producer (producers.py), or a name  | Tracee, KubeArmor, Cilium Hubble                                      |
|   that contains that of one             |                                                                       |
| two properties that tell of a process,  | `pid` and `processName`; `eventID` and `eventName`; `verb` and `uri`; |
|   an event or a request                 |   `operation` and `user` of a request that admission refused          |
| the properties `created` and `updated`, | as bakito/policy-report-publisher counts how often a thing happened   |
|   and how often or between whom         |                                                                       |

Falco and JsPolicy are left out by name (`spec.sources.exclude`), as they always were: whoever has taken one of them off
that list still gets it. Engines that are known to report states are not looked at. Pure: no I/O, no clock.
"""

from functools import lru_cache

from policyhub.sources.engines import KNOWN_ENGINES
from policyhub.sources.producers import PRODUCERS
from policyhub.sources.violation import ParsedReport, Violation

BY_NAME = ("Falco", "JsPolicy")
"""Left out by `spec.sources.exclude` alone."""

_WORDS = ("tracee", "kubearmor", "hubble", "tetragon", "falco", "jspolicy")
"""In the names of sources that log events."""
_OTHER = "falcon"
"""CrowdStrike's product, which has nothing to do with Falco but its name."""
_STATES = KNOWN_ENGINES | {name for name, producer in PRODUCERS.items() if not producer.events}

_MARKS = frozenset(
    {
        *("pid", "ppid", "hostpid", "hostppid", "processid", "processname", "parentprocessname", "procname"),
        *("proccmdline", "procpid", "syscall", "eventid", "eventname", "eventtype", "evttype", "evttime", "evtargpath"),
        *("containerid", "sourceip", "destinationip"),
        *("verb", "uri", "requesturi", "requestuid", "admissionuid", "userinfo", "operation"),
    }
)
"""Keys of properties, in lower case and without separators."""
_LEAST = 2
_SEEN = frozenset({"created", "updated"})
_HAPPENED = frozenset({"count", "protocol", "port", "destination", *_MARKS})
_ASKED, _WHO = "operation", frozenset({"user", "username", "requester", "serviceaccount"})
"""Who may do what is a state; who asked for which operation is an event."""
_SEPARATORS = str.maketrans("", "", ".-_ ")


def tells_of_events(violation: Violation) -> bool:
    """Never of the two that are left out by name."""
    source = violation.source
    if source in _STATES:
        return False
    named = _named(source)
    if named is not None:
        return named
    return len(violation.properties) >= _LEAST and _happened(tuple(key for key, _ in violation.properties))


def logs_events(source: str) -> bool:
    """Whether the source's name alone tells that it logs events."""
    return source not in _STATES and _named(source) is True


def logs_in(reading: ParsedReport) -> frozenset[str]:
    """Sources of which the object holds violations, all of which tell of events: that they are quiet is no silence."""
    unknown = [violation for violation, _ in reading.violations if violation.source not in _STATES]
    if not unknown:
        return frozenset()
    states = {violation.source for violation in unknown if not tells_of_events(violation)}
    return frozenset({violation.source for violation in unknown} - states)


@lru_cache(maxsize=1024)
def _named(source: str) -> bool | None:
    """None where the name alone tells nothing."""
    folded = source.casefold()
    if folded in {name.casefold() for name in BY_NAME}:
        return False
    producer = next((known for name, known in PRODUCERS.items() if name.casefold() == folded), None)
    if producer is not None:
        return producer.events
    folded = folded.replace(_OTHER, "")
    return True if any(word in folded for word in _WORDS) else None


@lru_cache(maxsize=1024)  # an engine has a handful
def _happened(keys: tuple[str, ...]) -> bool:
    words = {key.lower().translate(_SEPARATORS) for key in keys}
    if len(words & _MARKS) >= _LEAST or (_ASKED in words and not words.isdisjoint(_WHO)):
        return True
    return words >= _SEEN and not words.isdisjoint(_HAPPENED)
