"""Checks JSON values against a shape of the Security Hub service model and the documented limits.

Checks are compiled once into closures. A check returns None for a valid value, without building paths; else a list of
errors, each with the path below the value and the message of a JSON-schema validator, as in AWS's own answers
(`.Title should NOT be longer than 256 characters`). Pure after compilation.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from botocore.loaders import Loader

from dev.hub.limits import LIMITS, Limit
from dev.hub.timestamp import nanoseconds

Errors = list[str] | None
Check = Callable[[Any], Errors]
Shapes = Mapping[str, Mapping[str, Any]]

_NONE = Limit()
_BLANK = ' should match pattern ".*\\S.*"'
_MOST_ERRORS = 10  # an answer only names the first few


@functools.cache
def service_shapes() -> Shapes:
    """The shapes of securityhub 2018-10-26 as botocore ships them."""
    shapes: Shapes = Loader().load_service_model("securityhub", "service-2")["shapes"]
    return shapes


@functools.cache
def checker(shape: str) -> Check:
    """The check of a structure, such as `AwsSecurityFinding`."""
    return _Compiler(service_shapes()).structure(shape)


def units(text: str) -> int:
    """Length in UTF-16 units, which validators in JavaScript and Java count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


class _Compiler:
    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._structures: dict[str, Check] = {}

    def build(self, name: str, limit: Limit) -> Check:
        shape = self._shapes[name]
        check: Check
        match shape["type"]:
            case "structure":
                check = self.structure(name)
            case "list":
                low, high = limit.items or (shape.get("min", 0), shape.get("max"))
                check = _array(self.build(shape["member"]["shape"], limit.each or _NONE), low, high)
            case "map":
                # The limits of a map of strings apply to its values; other maps have none.
                value = Limit(longest=limit.longest, pattern=limit.pattern)
                check = _mapping(self.build(shape["value"]["shape"], value), limit)
            case "string":
                check = _string(limit, tuple(shape.get("enum", ())))
            case "boolean":
                check = _boolean
            case "integer" | "long":
                check = _number(limit, whole=True)
            case "double" | "float":
                check = _number(limit, whole=False)
            case other:
                raise NotImplementedError(f"no check for a {other} ({name})")
        return check

    def structure(self, name: str) -> Check:
        known = self._structures.get(name)
        if known is not None:
            return known
        members: dict[str, Check] = {}
        shape = self._shapes[name]

        def late(value: Any) -> Errors:  # a shape can contain itself
            return self._structures[name](value)

        self._structures[name] = late
        for member, reference in shape.get("members", {}).items():
            members[member] = self.build(reference["shape"], LIMITS.get((name, member), _NONE))
        check = _object(members, frozenset(shape.get("required", ())), _TOGETHER.get(name))
        self._structures[name] = check
        return check


def _object(members: Mapping[str, Check], required: frozenset[str], together: Check | None) -> Check:
    def check(value: Any) -> Errors:
        if type(value) is not dict:
            return [" should be object"]
        errors: list[str] = []
        for name, item in value.items():
            member = members.get(name)
            if member is None:
                errors.append(f" should NOT have additional properties ({name!r})")
                continue
            found = member(item)
            if found is not None:
                errors.extend(f".{name}{error}" for error in found[:_MOST_ERRORS])
        if not required <= value.keys():
            errors.extend(f" should have required property '{name}'" for name in sorted(required - value.keys()))
        if together is not None:
            errors.extend(together(value) or ())
        return errors or None

    return check


def _array(item: Check, low: int, high: int | None) -> Check:
    def check(value: Any) -> Errors:
        if type(value) is not list:
            return [" should be array"]
        if len(value) < low:
            return [f" should NOT have fewer than {low} items"]
        if high is not None and len(value) > high:
            return [f" should NOT have more than {high} items"]
        errors: list[str] = []
        for index, element in enumerate(value):
            found = item(element)
            if found is not None:
                errors.extend(f"[{index}]{error}" for error in found)
        return errors or None

    return check


def _mapping(item: Check, limit: Limit) -> Check:
    longest, pattern, reserved, pairs = limit.key_longest, limit.key_pattern, limit.reserved, limit.pairs

    def check(value: Any) -> Errors:
        if type(value) is not dict:
            return [" should be object"]
        errors: list[str] = []
        if pairs is not None and len(value) > pairs:
            errors.append(f" should NOT have more than {pairs} properties")
        for key, element in value.items():
            if not key or key.isspace():
                errors.append(' property names should match pattern ".*\\S.*"')
            elif longest is not None and units(key) > longest:
                errors.append(f" property name {key[:40]!r}… should NOT be longer than {longest} characters")
            elif pattern is not None and pattern.match(key) is None:
                errors.append(f' property name {key!r} should match pattern "{pattern.pattern}"')
            elif reserved is not None and key.startswith(reserved):
                errors.append(f" property name {key!r} is in the reserved namespace '{reserved}'")
            found = item(element)
            if found is not None:
                errors.extend(f"['{key}']{error}" for error in found)
        return errors or None

    return check


def _string(limit: Limit, enum: tuple[str, ...]) -> Check:
    if limit.timestamp:
        return _moment
    if limit.namespaces:
        return _path(limit)
    tests: list[Callable[[str], Errors]] = []
    if values := frozenset(limit.values or enum):
        tests.append(lambda value: None if value in values else [" should be equal to one of the allowed values"])
    if (longest := limit.longest) is not None:
        # a text of half the length is never too long, whatever its characters
        tests.append(
            lambda value: (
                [f" should NOT be longer than {longest} characters"]
                if len(value) * 2 > longest and units(value) > longest
                else None
            )
        )
    if (shortest := limit.shortest) is not None:
        tests.append(
            lambda value: [f" should NOT be shorter than {shortest} characters"] if len(value) < shortest else None
        )
    if (pattern := limit.pattern) is not None:
        tests.append(lambda value: None if pattern.search(value) else [f' should match pattern "{pattern.pattern}"'])
    if not tests:
        return _text

    def check(value: Any) -> Errors:
        errors = _text(value)
        if errors is not None:
            return errors
        return next((found for test in tests if (found := test(value)) is not None), None)

    return check


def _text(value: Any) -> Errors:
    if type(value) is not str:
        return [" should be string"]
    if not value:
        return [" should NOT be shorter than 1 characters", _BLANK]
    return [_BLANK] if value.isspace() else None


def _moment(value: Any) -> Errors:
    if type(value) is not str:
        return [" should be string"]
    return None if nanoseconds(value) is not None else [' should match format "date-time"']


def _path(limit: Limit) -> Check:
    """A finding type: namespace/category/classifier, with one of a few namespaces."""
    text = _string(Limit(pattern=limit.pattern), ())

    def check(value: Any) -> Errors:
        errors = text(value)
        if errors is None and value.split("/", 1)[0] not in limit.namespaces:
            return [" should start with one of the allowed namespaces"]
        return errors

    return check


def _boolean(value: Any) -> Errors:
    return None if type(value) is bool else [" should be boolean"]


def _number(limit: Limit, *, whole: bool) -> Check:
    low, high, kind = limit.lowest, limit.highest, "integer" if whole else "number"

    def check(value: Any) -> Errors:
        if type(value) is not int and (whole or type(value) is not float):
            return [f" should be {kind}"]
        if low is not None and value < low:
            return [f" should be >= {low}"]
        if high is not None and value > high:
            return [f" should be <= {high}"]
        return None

    return check


def _severity(value: Any) -> Errors:
    if "Label" in value or "Normalized" in value:
        return None
    return [" should have required property 'Label'", " should have required property 'Normalized'"]


def _provider_severity(value: Any) -> Errors:
    return None if "Label" in value else [" should have required property 'Label'"]


def _recommendation(value: Any) -> Errors:
    return None if "Text" in value or "Url" in value else [" should have required property 'Text' or 'Url'"]


def _finding(value: Any) -> Errors:
    if "FindingProviderFields" in value or ("Severity" in value and "Types" in value):
        return None
    missing = [f" should have required property '{name}'" for name in ("Severity", "Types") if name not in value]
    return [*missing, " should have required property 'FindingProviderFields'", " should match some schema in anyOf"]


_TOGETHER: dict[str, Check] = {
    "AwsSecurityFinding": _finding,
    "FindingProviderSeverity": _provider_severity,
    "Recommendation": _recommendation,
    "Severity": _severity,
    "SeverityUpdate": _severity,
}
"""Checks of several members of a structure together."""
