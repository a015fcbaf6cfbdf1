"""Normalizes what a producer writes differently at each scan, so that an unchanged violation compares equal.

Only what the table in engines.py names is examined: results of other producers cost nothing and their texts are never
changed. What remains of a text is what its reader can act on.

| wording      | in a text                                                        | becomes                            |
|--------------|------------------------------------------------------------------|------------------------------------|
| pod-security | a series of Kyverno's `(Forbidden reason: …)`, each with its     | both in alphabetical order         |
|              |   list of fields                                                 |                                    |
| go-errors    | `current time 2026-… is after`, `10.0.0.1:41234->10.0.0.2:443`   | without the time, the first port   |
| sets         | `{"B", "A"}`; `labels are denied: b,a`                           | in alphabetical order              |
| times        | `2026-11-28T08:00:00.123Z`, `08:00:00.123456`, `7 times`         | `<time>`, `<n> times`              |
| processes    | a line of `ps -ef` or `ps aux`; `pid=12`; `at 0x7f00`            | removed; `pid` stays               |

JSON in a string is compared as JSON: its members in alphabetical order, without whitespace. JSON that cannot be read
stays as it is. Pure: no I/O, no clock.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from policyhub.model.producers import Document, Producer, Wording

_LONGEST = 16_384
"""Maximum length in characters; a longer text stays as it is."""

_GROUP = re.compile(r"\)\((?=Forbidden reason: |\{Allowed)")
_FIRST = re.compile(r"\((?=Forbidden reason: |\{Allowed)")
_FIELDS = ", field error list: ["
_FIELD = re.compile(r", (?=(?:spec|metadata)[.\[])")
_VALUES = re.compile(r"values found: \[([^\[\]]{1,4096})\]")

_NOW = re.compile(r"current time \S{1,64} is ")
_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}|\]):\d{1,5}(?=->)")

_SET = re.compile(r'\{("[^"{}]{0,256}"(?:, "[^"{}]{0,256}"){1,256})\}')
_LIST = re.compile(r"((?:labels|annotations) are [a-z ]{1,40}: )([^\s,]{1,256}(?:,[^\s,]{1,256}){1,256})")

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?")
_CLOCK = re.compile(r"\b\d\d:\d\d:\d\d\.\d{1,9}\b")
_COUNT = re.compile(r"\b\d{1,18}(?= times\b)")

_START = r'(?:^|(?<=")|(?<=\\n))'
_END = r'[^\n"\\]*(?:\n|\\n)?'
_WORD, _GAP = r"[^\s\"\\]{1,64}", r"[ \t]{1,32}"
_PROCESSES = tuple(
    re.compile(_START + _GAP.join(columns) + _END, re.MULTILINE)
    for columns in (
        # UID PID PPID C STIME TTY TIME CMD
        (_WORD, r"\d{1,10}", r"\d{1,10}", r"\d{1,3}", _WORD, _WORD, r"(?:\d{1,6}-)?\d\d:\d\d:\d\d", ""),
        # USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND
        (_WORD, r"\d{1,10}", r"[\d.]{1,5}", r"[\d.]{1,5}", r"\d{1,12}", r"\d{1,12}", *[_WORD] * 3, r"\d{1,6}:\d\d", ""),
    )
)
_PID = re.compile(r"\b((?:host_?)?p{1,2}id)[=: ]{1,2}\d{1,10}\b", re.IGNORECASE)
_ADDRESS = re.compile(r" at 0x[0-9a-f]{4,16}\b")


def worded(producer: Producer, text: str) -> str:
    """The text normalized as its producer's `wording` says."""
    if len(text) > _LONGEST:
        return text
    for wording in producer.wording:
        text = _WORDINGS[wording](text)
    return text


def properties(producer: Producer, written: dict[str, str]) -> dict[str, str]:
    """The normalized properties of a result; `written` itself if nothing has to be done."""
    if producer.numbered:
        written = _numbered(written, producer.numbered)
    if producer.special.isdisjoint(written):
        return written
    made: dict[str, str] = {}
    for key, value in sorted(written.items()):
        if key in producer.ignored or (key in producer.unset and value.strip() == producer.unset[key]):
            continue
        text = value
        if key in producer.sets:
            text = ",".join(sorted(part.strip() for part in value.split(",")))
        if (document := producer.documents.get(key)) is not None:
            text = _json(text, document)
        if key in producer.worded:
            text = worded(producer, text)
        alias = producer.aliases.get(key, key)
        made[key if alias in written or alias in made else alias] = text
    return made


def _numbered(written: dict[str, str], ending: str) -> dict[str, str]:
    """`0. message`, `1. message` …: keeps the keys and sorts their texts alphabetically."""
    keys = [key for key in written if key.endswith(ending) and key[: -len(ending)].isdecimal()]
    if len(keys) <= 1:
        return written
    keys.sort(key=lambda key: (len(key), key))
    return {**written, **dict(zip(keys, sorted(written[key] for key in keys), strict=True))}


def _pod_security(text: str) -> str:
    first = _FIRST.search(text) if "PodSecurity" in text else None
    if first is None or not text.endswith(")"):
        return text
    reasons = _GROUP.split(text[first.end() : -1])
    return f"{text[: first.end()]}{')('.join(sorted(map(_reason, reasons)))})"


def _reason(text: str) -> str:
    reason, mark, listed = text.partition(_FIELDS)
    if not mark or not listed.endswith("]"):
        return text
    listed = _VALUES.sub(lambda found: f"values found: [{' '.join(sorted(found[1].split()))}]", listed[:-1])
    return f"{reason}{mark}{', '.join(sorted(_FIELD.split(listed)))}]"


def _go_errors(text: str) -> str:
    if "->" in text:
        text = _PORT.sub(r"\1", text)
    return _NOW.sub("current time is ", text) if "current time " in text else text


def _sets(text: str) -> str:
    if '{"' in text:
        text = _SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)
    return _LIST.sub(_sorted_list, text) if "," in text else text


def _sorted_list(found: re.Match[str]) -> str:
    listed = found[2]
    kept = listed.removesuffix(".")
    return found[1] + ",".join(sorted(kept.split(","))) + listed[len(kept) :]


def _processes(text: str) -> str:
    for line in _PROCESSES:
        text = line.sub("", text)
    return _ADDRESS.sub("", _PID.sub(r"\1", text))


def _times(text: str) -> str:
    return _COUNT.sub("<n>", _CLOCK.sub("<time>", _TIME.sub("<time>", text)))


_WORDINGS: dict[Wording, Callable[[str], str]] = {
    "pod-security": _pod_security,
    "go-errors": _go_errors,
    "sets": _sets,
    "processes": _processes,
    "times": _times,
}


def _json(text: str, document: Document) -> str:
    """Without the members in `ignored`; empty if it contains nothing else."""
    if len(text) > _LONGEST:
        return text
    try:
        kept = _kept(msgspec.json.decode(text), document, "")
        return msgspec.json.encode(kept, order="sorted").decode() if kept or kept == 0 else ""
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return text


def _kept(value: Any, document: Document, member: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _kept(inner, document, key) for key, inner in value.items() if key not in document.ignored}
    if isinstance(value, list):
        listed = [_kept(one, document, None) for one in value]
        return sorted(listed, key=_encoded) if member in document.sets else listed
    return value


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
