"""GetFindings: which findings match, in which order, a page at a time.

Other filters, comparisons and sort fields than those here are rejected by name, never ignored. Values of an attribute
are alternatives; all attributes must match. The default order is by Id: a page walks along the index from the end of
the last page, within the ranges of the Id filter.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dev.hub.store import Hub, Record
from dev.hub.timestamp import nanoseconds
from dev.hub.wire import AwsError, invalid_input

Predicate = Callable[[Record], bool]

TEXTS: dict[str, Callable[[Record], str]] = {
    "Id": lambda r: r.id,
    "ProductArn": lambda r: r.arn,
    "AwsAccountId": lambda r: r.account,
    "Region": lambda r: r.region,
    "RecordState": lambda r: r.record_state,
    "WorkflowStatus": lambda r: r.workflow,
    "SeverityLabel": lambda r: r.severity,
    "ProductName": lambda r: r.product,
}
DATES: dict[str, Callable[[Record], int]] = {"UpdatedAt": lambda r: r.updated_ns, "CreatedAt": lambda r: r.created_ns}
SORTS: dict[str, Callable[[Record], Any]] = {"Id": lambda r: r.id, **DATES}
NOT = "PREFIX_NOT_EQUALS"
MOST_ATTRIBUTES = 10
MOST_VALUES = 20
MEMBERS = frozenset({"Filters", "SortCriteria", "NextToken", "MaxResults"})


class Query(msgspec.Struct):
    """A checked request."""

    predicates: list[Predicate]
    ids: list[tuple[str, str]] | None
    """(comparison, value) of the Id filter."""
    sort: tuple[str, bool] | None
    """Field, and whether the order is descending."""
    size: int
    mark: str
    """Identifies filters and order: a token is only valid for the same request."""
    after: list[Any] | None


class Token(msgspec.Struct, array_like=True):
    mark: str
    after: list[Any]


def parse(body: Any, *, nonce: str, active_only: bool) -> Query:
    """Rejects whatever it does not support. `nonce` makes tokens of another server invalid."""
    if type(body) is not dict:
        raise AwsError("SerializationException", 400, "The request body is no JSON object.")
    unknown = sorted(body.keys() - MEMBERS)
    if unknown:
        raise invalid_input(f"Invalid parameter: unknown member {unknown[0]!r}")
    filters = body.get("Filters") or {}
    if type(filters) is not dict:
        raise invalid_input("Invalid parameter: Filters should be object")
    if len(filters) > MOST_ATTRIBUTES:
        raise invalid_input(f"Invalid parameter: Filters should NOT have more than {MOST_ATTRIBUTES} attributes")
    size = body.get("MaxResults", 100)
    if type(size) is not int or not 1 <= size <= 100:
        raise invalid_input("Invalid parameter: MaxResults should be between 1 and 100")
    sort = _sort(body.get("SortCriteria") or [])
    predicates, ids = _filters(filters)
    if active_only and "RecordState" not in filters:
        predicates.append(lambda r: r.record_state == "ACTIVE")
    described = msgspec.json.encode([nonce, filters, sort], order="deterministic")
    mark = hashlib.sha256(described).hexdigest()[:16]
    return Query(predicates, ids, sort, size, mark, _after(body.get("NextToken"), mark))


def run(query: Query, hub: Hub, *, overlay: dict[str, Record | None]) -> bytes:
    """The answer's JSON. `overlay` replaces records, to read an earlier state."""
    found = _by_index(query, hub, overlay) if query.sort is None else _sorted(query, hub, overlay)
    page = found[: query.size]
    answer = b'{"Findings":[' + b",".join(r.body for r in page) + b"]"
    if len(found) > query.size:
        last = page[-1]
        place = [last.key] if query.sort is None else [SORTS[query.sort[0]](last), last.key]
        token = urlsafe_b64encode(msgspec.json.encode(Token(query.mark, place))).decode()
        answer += b',"NextToken":"' + token.encode() + b'"'
    return answer + b"}"


def _by_index(query: Query, hub: Hub, overlay: dict[str, Record | None]) -> list[Record]:
    """One record more than a page, to detect the last page."""
    index = hub.index()
    start = bisect_right(index, query.after[0]) if query.after else 0
    found: list[Record] = []
    for low, high in _ranges(query.ids, hub):
        for position in range(max(low, start), high):
            record = _match(query, hub, overlay, index[position])
            if record is not None:
                found.append(record)
                if len(found) > query.size:
                    return found
    return found


def _sorted(query: Query, hub: Hub, overlay: dict[str, Record | None]) -> list[Record]:
    assert query.sort is not None  # noqa: S101 - the caller's branch, stated for the type checker
    field, descending = query.sort
    value = SORTS[field]
    found = [r for r in _all(query, hub, overlay) if r is not None]
    found.sort(key=lambda r: (value(r), r.key), reverse=descending)
    if query.after:
        place = tuple(query.after)
        found = [r for r in found if ((value(r), r.key) < place if descending else (value(r), r.key) > place)]
    return found[: query.size + 1]


def _all(query: Query, hub: Hub, overlay: dict[str, Record | None]) -> Iterator[Record | None]:
    index = hub.index()
    for low, high in _ranges(query.ids, hub):
        for position in range(low, high):
            yield _match(query, hub, overlay, index[position])


def _match(query: Query, hub: Hub, overlay: dict[str, Record | None], name: str) -> Record | None:
    record = overlay[name] if name in overlay else hub.records[name]
    if record is not None and all(accepts(record) for accepts in query.predicates):
        return record
    return None


def _ranges(ids: list[tuple[str, str]] | None, hub: Hub) -> list[tuple[int, int]]:
    """The parts of the index that can match the Id filter, in order and disjoint."""
    if ids is None:
        return [(0, len(hub.index()))]
    spans = sorted(hub.span(value + "\0" if comparison == "EQUALS" else value) for comparison, value in ids)
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _filters(filters: dict[str, Any]) -> tuple[list[Predicate], list[tuple[str, str]] | None]:
    predicates: list[Predicate] = []
    ids: list[tuple[str, str]] | None = None
    for name, values in filters.items():
        if type(values) is not list or not 1 <= len(values) <= MOST_VALUES:
            raise invalid_input(f"Invalid parameter: filter {name} should have 1 to {MOST_VALUES} values")
        if name == "Type":
            predicates.append(_type_predicate([_text(name, value) for value in values]))
        elif name in TEXTS:
            pairs = [_text(name, value) for value in values]
            if any(comparison == NOT for comparison, _ in pairs):
                predicates.append(_not_predicate(name, TEXTS[name], pairs))
            elif name == "Id":
                ids = pairs  # the index answers this exactly
            else:
                predicates.append(_text_predicate(TEXTS[name], pairs))
        elif name == "ProductFields":
            predicates.append(_fields_predicate([_field(value) for value in values]))
        elif name in DATES:
            predicates.append(_date_predicate(DATES[name], [_span(name, value) for value in values]))
        else:
            raise invalid_input(f"Invalid parameter: filter {name} is not supported here")
    return predicates, ids


def _members(name: str, value: Any, allowed: set[str], required: set[str]) -> dict[str, str]:
    if type(value) is not dict or not all(type(item) is str and item.strip() for item in value.values()):
        raise invalid_input(f"Invalid parameter: filter {name} should hold objects of non-blank strings")
    wrong = sorted(value.keys() - allowed)
    if wrong:
        raise invalid_input(f"Invalid parameter: {wrong[0]} of filter {name} is not supported here")
    missing = sorted(required - value.keys())
    if missing:
        raise invalid_input(f"Invalid parameter: filter {name} should have required property '{missing[0]}'")
    return value


def _text(name: str, value: Any) -> tuple[str, str]:
    members = _members(name, value, {"Value", "Comparison"}, {"Value", "Comparison"})
    if members["Comparison"] not in ({"EQUALS", "PREFIX"} if name == "Type" else {"EQUALS", "PREFIX", NOT}):
        raise invalid_input(
            f"Invalid parameter: comparison {members['Comparison']} of filter {name} is not supported here"
        )
    return members["Comparison"], members["Value"]


def _field(value: Any) -> tuple[str, str]:
    names = {"Key", "Value", "Comparison"}
    members = _members("ProductFields", value, names, names)
    if members["Comparison"] != "EQUALS":
        raise invalid_input(
            f"Invalid parameter: comparison {members['Comparison']} of filter ProductFields is not supported here"
        )
    return members["Key"], members["Value"]


def _span(name: str, value: Any) -> tuple[int | None, int | None]:
    members = _members(name, value, {"Start", "End"}, set())
    if not members:
        raise invalid_input(f"Invalid parameter: filter {name} should have Start or End")
    ends: list[int | None] = []
    for end in ("Start", "End"):
        moment = nanoseconds(members[end]) if end in members else None
        if end in members and moment is None:
            raise invalid_input(f'Invalid parameter: {end} of filter {name} should match format "date-time"')
        ends.append(moment)
    return ends[0], ends[1]


def _text_predicate(read: Callable[[Record], str], pairs: list[tuple[str, str]]) -> Predicate:
    exact = frozenset(value for comparison, value in pairs if comparison == "EQUALS")
    prefixes = tuple(value for comparison, value in pairs if comparison == "PREFIX")
    if not prefixes:
        return lambda r: read(r) in exact
    return lambda r: read(r) in exact or read(r).startswith(prefixes)


def _not_predicate(name: str, read: Callable[[Record], str], pairs: list[tuple[str, str]]) -> Predicate:
    """All negative values of an attribute must hold."""
    if any(comparison != NOT for comparison, _ in pairs):
        raise invalid_input(
            f"Invalid parameter: {NOT} beside another comparison of filter {name} is not supported here"
        )
    prefixes = tuple(value for _, value in pairs)
    return lambda r: not read(r).startswith(prefixes)


def _type_predicate(pairs: list[tuple[str, str]]) -> Predicate:
    # As in _fields_predicate: the encoded prefix of a type occurs in the text of every finding that has it.
    likely = tuple(msgspec.json.encode(value)[:-1] for _, value in pairs)

    def accepts(record: Record) -> bool:
        if not any(encoded in record.body for encoded in likely):
            return False
        types = record.finding().get("Types", [])
        return any(t == v if comparison == "EQUALS" else t.startswith(v) for comparison, v in pairs for t in types)

    return accepts


def _fields_predicate(pairs: list[tuple[str, str]]) -> Predicate:
    # The stored text comes from the same encoder, so the encoded pair occurs in it if the field has that value. The
    # search for it saves decoding nearly all findings that do not match.
    wanted = [(name, value, msgspec.json.encode(name) + b":" + msgspec.json.encode(value)) for name, value in pairs]

    def accepts(record: Record) -> bool:
        likely = [(name, value) for name, value, encoded in wanted if encoded in record.body]
        if not likely:
            return False
        fields = record.finding()["ProductFields"]
        return any(fields.get(name) == value for name, value in likely)

    return accepts


def _date_predicate(read: Callable[[Record], int], spans: list[tuple[int | None, int | None]]) -> Predicate:
    def accepts(record: Record) -> bool:
        moment = read(record)
        return any((low is None or low <= moment) and (high is None or moment <= high) for low, high in spans)

    return accepts


def _sort(criteria: Any) -> tuple[str, bool] | None:
    if not criteria:
        return None
    if type(criteria) is not list or len(criteria) > 1 or type(criteria[0]) is not dict:
        raise invalid_input("Invalid parameter: SortCriteria with more than one entry is not supported here")
    field, order = criteria[0].get("Field"), criteria[0].get("SortOrder", "asc")
    if field not in SORTS:
        raise invalid_input(f"Invalid parameter: SortCriteria field {field} is not supported here")
    if order not in {"asc", "desc"}:
        raise invalid_input("Invalid parameter: SortOrder should be equal to one of the allowed values")
    return field, order == "desc"


def _after(token: Any, mark: str) -> list[Any] | None:
    if token is None:
        return None
    try:
        decoded = msgspec.json.decode(urlsafe_b64decode(token.encode()), type=Token)
    except (AttributeError, ValueError, Base64Error, msgspec.MsgspecError):
        raise invalid_input("Invalid parameter: NextToken is invalid") from None
    if decoded.mark != mark:
        raise invalid_input("Invalid parameter: NextToken belongs to another request")
    return decoded.after
