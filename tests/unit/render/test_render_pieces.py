"""From the bytes of an input to objects with their places, in any form and with any error."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.render import scanner
from policyhub.render.composer import compose
from policyhub.render.raw_object import NO_ITEMS, RawObject, ReadError, joined, line_of
from policyhub.render.scanner import scan

A: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "A",
    "text": 'a "quoted" } brace \\ and [',
    "list": [[], {}, None, 1.5, True],
}
B = {"apiVersion": "v1", "kind": "B", "metadata": {"name": "b", "items": [1]}}
LIST = {"apiVersion": "v1", "items": [A, B], "kind": "List", "metadata": {"resourceVersion": ""}}
TYPED = {"kind": "ReportList", "apiVersion": "g/v1", "metadata": {}, "items": [{"metadata": {"name": "x"}}]}


NONE = json.loads(NO_ITEMS)


class Drip:
    """A stream that returns a few bytes at a time."""

    def __init__(self, content: bytes, step: int) -> None:
        self._content = io.BytesIO(content)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._content.read(min(size, self._step))


def values_of(found: Iterator[RawObject | ReadError]) -> list[Any]:
    """Objects as data, errors as text."""
    return [str(one) if isinstance(one, ReadError) else json.loads(bytes(one.raw)) for one in found]


def places(found: Iterator[RawObject | ReadError]) -> list[str]:
    return [str(one.location) for one in found]


JSON = {
    "one object": (json.dumps(A), [A]),
    "indented": (json.dumps(A, indent=4), [A]),
    "a list": (json.dumps(LIST), [A, B]),
    "a list, indented": (json.dumps(LIST, indent=4), [A, B]),
    "a list whose items name no kind": (json.dumps(TYPED), TYPED["items"]),
    "an empty list": ('{"kind": "List", "items": []}', [NONE]),
    "an array": (json.dumps([A, B], indent=1), [A, B]),
    "lines": (f"{json.dumps(A)}\n{json.dumps(B)}\n", [A, B]),
    "lines without a break between": (json.dumps(A) + json.dumps(B), [A, B]),
    "several lists": (json.dumps(LIST, indent=4) * 2, [A, B, A, B]),
    "separated": (f"{json.dumps(A)}\n---\n{json.dumps(B)}", [A, B]),
    "separated by commented markers, with carriage returns": (
        f"{json.dumps(A)}\r\n---\r\n{json.dumps(B)}\n--- \n{json.dumps(A)}\n--- # x\n# y\n{json.dumps(B)}\n...\n",
        [A, B, A, B],
    ),
    "separated on the line of the next object": (f"{json.dumps(A)}\n--- {json.dumps(B)}", [A, B]),
    "numbers": ('{"a": 12.5e+3, "b": -0.25, "c": 7}', [{"a": 12500.0, "b": -0.25, "c": 7}]),
    "nothing": (" \n", []),
}


@pytest.mark.parametrize("step", [1, 7, 1 << 20], ids=["bytes", "bits", "whole"])
@pytest.mark.parametrize(("text", "objects"), JSON.values(), ids=JSON)
def test_json_in_every_form(text: str, objects: list[Any], step: int) -> None:
    """Each form has the same objects, however the stream is divided."""
    assert values_of(scan(Drip(text.encode(), step), "f")) == objects


def test_long_numbers_and_repeated_names_are_passed_on() -> None:
    """No number is converted; of a repeated name, the last value is used."""
    text = f'{{"a": {"9" * 100_000}, "kind": "A", "kind": "B"}}\n{{"items": [{"1" * 5_000}]}}'
    found = [one for one in scan(io.BytesIO(text.encode()), "f") if isinstance(one, RawObject)]
    assert [len(bytes(one.raw)) for one in found] == [len(text.split("\n", maxsplit=1)[0]), 5_000]


MISSING = "the end is missing: not all brackets are closed"
BROKEN_JSON = {
    "a list that was cut": (json.dumps(LIST)[:-80], [A, f"f:1: document 1, items[1]: {MISSING}"]),
    "one line of several": (
        f'{json.dumps(A)}\n{{"kind": "A", "list": [\n{json.dumps(B)}\n{{"a": {{\n{json.dumps(A)}\n',
        [A, f"f:2: document 2: {MISSING}", B, f"f:4: document 4: {MISSING}", A],
    ),
    "a text without its end": (
        f'{{\n  "kind": "A\n}}\n{json.dumps(B)}',
        ["f:2: document 1: invalid JSON: invalid control character", B],
    ),
    "a bracket too many": (
        f"{json.dumps(A)}}}\n{json.dumps(B)}",
        [A, "f:1: document 2: expected an object, got '}'", B],
    ),
    "indented, then whole": (
        f'{{\n  "kind": {{\n{json.dumps(B, indent=2)}',
        [f"f:2: document 1: {MISSING}", B],
    ),
    "lines, then indented": (
        f'{{"a": [\n{json.dumps(B, indent=2)}',
        [f"f:1: document 1: {MISSING}", B],
    ),
    "no number": (
        '{"a": NaN}\n{"a": Infinity}',
        [f"f:{n}: document {n}: invalid JSON: {word}" for n, word in ((1, "NaN"), (2, "Infinity"))],
    ),
    "deep": ('{"a": ' + "[" * 100_000 + f"\n{json.dumps(B)}", ["f:1: document 1: is nested too deeply", B]),
    "the outer bracket of a line": (
        f"{json.dumps(A)[:-1]}\n{json.dumps(B)}\n{json.dumps(A)}",
        [f"f:1: document 1: {MISSING}", B, A],
    ),
    "the outer bracket of a list": (
        f"{json.dumps(LIST)[:-1]}\n{json.dumps(B)}",
        [A, B, f"f:1: document 1: {MISSING}", B],
    ),
    "a name alone on its line": (f'{{"kind"\n{json.dumps(B)}', [f"f:1: document 1: {MISSING}", B]),
    "the last line": (f"{json.dumps(A)}\n{json.dumps(B)[:-1]}\n", [A, f"f:2: document 2: {MISSING}"]),
    "no value": ('{"a": }\n', ["f:1: document 1: invalid JSON: expecting value"]),
    "no name": ("{a: 1}\n", ["f:1: document 1: invalid JSON: expected a name, got 'a: 1}'"]),
    "no colon": ('{"a" 1}\n', ["f:1: document 1: invalid JSON: expected a colon, got '1}'"]),
}


@pytest.mark.parametrize("step", [3, 1 << 20], ids=["bits", "whole"])
@pytest.mark.parametrize(("text", "found"), BROKEN_JSON.values(), ids=BROKEN_JSON)
def test_broken_json_is_reported_and_the_rest_is_read(text: str, found: list[Any], step: int) -> None:
    """The error has its place; the objects before and after it are read."""
    assert values_of(scan(Drip(text.encode(), step), "f")) == found


ELEMENTS = {
    "no number": ('{"a": NaN}', "NaN"),
    "a word": ("NaN", "NaN"),
    "a trailing comma": ('{"a": 1,}', "expecting property name enclosed in double quotes"),
    "a leading zero": ('{"a": 01}', "expecting ',' delimiter"),
    "an escape": (r'{"a": "}\x"}', r"invalid \escape"),
    "an escape in a text": (r'"\x"', r"invalid \escape"),
    "a tab in a text": ('{"a": "}\t"}', "invalid control character"),
    "single quotes": ("{'a': 'b'}", "expecting property name enclosed in double quotes"),
    "no comma": ('{"a": 1 "b": 2}', "expecting ',' delimiter"),
    "no colon": ('{"a" [1]}', "expecting ':' delimiter"),
    "no word": ("truth", "expecting value"),
}


@pytest.mark.parametrize("step", [3, 1 << 20], ids=["bits", "whole"])
@pytest.mark.parametrize(("text", "why"), ELEMENTS.values(), ids=ELEMENTS)
def test_an_invalid_element_of_a_list_loses_only_itself(text: str, why: str, step: int) -> None:
    """Its brackets show its end, so that later elements are read."""
    whole = json.dumps({"items": [A, "BAD", B], "kind": "List"}, indent=4).replace('"BAD"', text)
    line = whole[: whole.index(text)].count("\n") + 1
    error = f"f:{line}: document 1, items[1]: invalid JSON: {why}"
    assert values_of(scan(Drip(f"{whole}\n{json.dumps(A)}".encode(), step), "f")) == [A, error, B, A]


def test_an_element_that_is_nested_too_deeply_loses_only_itself() -> None:
    """As with any other invalid element."""
    whole = f'[{json.dumps(A)},\n{{"a": {"[" * 9_999}{"]" * 9_999}}},\n{json.dumps(B)}]'
    assert values_of(scan(io.BytesIO(whole.encode()), "f")) == [A, "f:2: document 1, [1]: is nested too deeply", B]


@pytest.mark.parametrize("text", ['{"a": [1}', '{"a": "x\n"}', '{"a": [1, NaN}', "}"])
def test_a_lost_rest_of_a_list_is_reported(text: str) -> None:
    """If the brackets of an element do not match. The next object is read."""
    whole = json.dumps({"items": [A, "BAD", B], "kind": "List"}, indent=4).replace('"BAD"', text)
    first, error, last = values_of(scan(io.BytesIO(f"{whole}\n{json.dumps(B)}".encode()), "f"))
    assert (first, last) == (A, B)
    assert error.endswith("; the rest of the list is not read")


QUICK = {
    "directives": (compose, "%\n" * 60_000),
    "markers": (compose, "---\n...\n" * 20_000),
    "JSON lines": (compose, f"{json.dumps(B)}\n" * 10_000),
    "invalid elements": (scan, "[" + '{"a": NaN},' * 30_000),
    "elements that do not end": (scan, '{"items": [{"a": NaN\n' * 10_000),
}


@pytest.mark.parametrize(("read", "text"), QUICK.values(), ids=QUICK)
def test_time_grows_with_the_length(read: Any, text: str) -> None:
    """Not quadratically. Each case takes a fraction of a second."""
    begun = time.thread_time()
    assert sum(1 for _ in read(io.BytesIO(text.encode()), "f")) >= 0
    assert time.thread_time() - begun < 5


def test_an_object_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded even if a bracket is never closed."""
    monkeypatch.setattr(scanner, "MAX_OBJECT", 1 << 20)
    text = b'{"a": [' + b"1," * (1 << 20) + b"\n" + json.dumps(B).encode()
    first, second = values_of(scan(io.BytesIO(text), "f"))
    assert first == "f:1: document 1: an object is larger than 1 MiB, or its end is missing"
    assert second == B


def test_places_of_json() -> None:
    """An item has its document, its index, and its first line."""
    text = json.dumps(A) + "\n" + json.dumps(LIST, indent=2)
    assert places(scan(io.BytesIO(text.encode()), "f")) == [
        "f:1: document 1",
        "f:5: document 2, items[0]",
        "f:17: document 2, items[1]",
    ]


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\\n a1-', max_size=80).map(str.encode))
def test_any_bytes_end_in_objects_or_errors(content: bytes) -> None:
    """Neither reader raises or loops, whatever the input."""
    for read in (scan, compose):
        for one in read(io.BytesIO(content), "f"):
            assert isinstance(one, RawObject | ReadError)


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    ),
    st.sampled_from([None, 2]),
    st.integers(1, 40),
)
def test_json_lists_are_read_back(items: list[Any], indent: int | None, step: int) -> None:
    """Items of any shape are unchanged."""
    text = json.dumps({"items": items, "kind": "List"}, indent=indent, ensure_ascii=False)
    try:
        content = text.encode()
    except UnicodeEncodeError:  # half a surrogate, which no file contains
        return
    assert values_of(scan(Drip(content, step), "f")) == (items or [NONE])


YAML = """\
# a comment
apiVersion: v1
kind: A
at: 2026-11-25T08:00:00Z
---
---
apiVersion: v1
items:
- kind: B
  metadata:
    name: "1"
- kind: C
  text: |
    --- not a marker
     two
kind: List
...
--- {kind: D, n: [1, 0x10, ~, yes]}
"""


@pytest.mark.parametrize("step", [1, 1 << 20], ids=["bytes", "whole"])
def test_yaml_documents_and_lists(step: int) -> None:
    """Documents, lists and flow style; times stay text; empty documents are skipped."""
    found = list(compose(Drip(YAML.encode(), step), "f"))
    assert values_of(iter(found)) == [
        {"apiVersion": "v1", "kind": "A", "at": "2026-11-25T08:00:00Z"},
        {"kind": "B", "metadata": {"name": "1"}},
        {"kind": "C", "text": "--- not a marker\n two\n"},
        {"kind": "D", "n": [1, 16, None, True]},
    ]
    assert places(iter(found)) == [
        "f:2: document 1",
        "f:9: document 2, items[0]",
        "f:12: document 2, items[1]",
        "f:18: document 3",
    ]


def test_broken_yaml_is_reported_and_the_next_document_is_read() -> None:
    """A broken document, an alias, a scalar: each is reported with its line, and the others are read."""
    text = (
        "kind: A\n---\nkind: B\n  bad: indent\n---\na: &x [1]\nb: *x\n---\njust a word\n---\n? [1]\n: 2\n---\nkind: C\n"
    )
    found = values_of(compose(io.BytesIO(text.encode()), "f"))
    assert found[0] == {"kind": "A"}
    assert found[-1] == {"kind": "C"}
    assert [one.split(": ")[0] for one in found[1:-1]] == ["f:4", "f:7", "f:9", "f:11"]
    assert "aliases are rejected" in found[2]
    assert "expected an object, got text" in found[3]


FLOWS = {
    "lists in sequence": (f"{json.dumps(LIST, indent=4)}\n{json.dumps(LIST, indent=4)}\n", [A, B, A, B]),
    "lines": (f"{json.dumps(A)}\n{json.dumps(B)}\n{json.dumps(A)}\n---\nkind: C\n", [A, B, A, {"kind": "C"}]),
    "after a marker": (f"---\n{json.dumps(A)}\n{json.dumps(B)}", [A, B]),
    "after a comment": (f"# é\n{json.dumps(A)} # one\n# two\n{json.dumps(B)}\n# three\n", [A, B]),
    "something else": (
        f"{json.dumps(B)} junk\n{json.dumps(A)}",
        [B, "f:1: document 2: expected an object, got 'junk'", A],
    ),
    "a bracket too many": (
        f"{json.dumps(B)}}}\n{json.dumps(A)}",
        [B, "f:1: document 2: expected an object, got '}'", A],
    ),
    "after a text": (
        '"x" y',
        [f"f:1: document {n}: expected an object, got {got}" for n, got in ((1, "text"), (2, "'y'"))],
    ),
    "carriage returns": ("kind: A\r---\rkind: B\r---\r{kind: C}\r", [{"kind": name} for name in "ABC"]),
}


@pytest.mark.parametrize(("text", "found"), FLOWS.values(), ids=FLOWS)
def test_json_after_a_yaml_document_is_not_lost(text: str, found: list[Any]) -> None:
    """JSON values in sequence, though YAML requires a `---`; anything else is reported."""
    assert values_of(compose(io.BytesIO(text.encode()), "f")) == found


def test_places_of_json_in_yaml() -> None:
    """Lines and documents are counted continuously."""
    listed = json.dumps(LIST, indent=4)
    line = 4 + len(listed.splitlines())
    text = f"---\nkind: A\n---\n{listed}\n{json.dumps(B)}\n{json.dumps(B)}\n---\nkind: C\n"
    found = places(compose(io.BytesIO(text.encode()), "f"))
    assert [found[0], *found[3:]] == [
        "f:2: document 1",
        f"f:{line}: document 3",
        f"f:{line + 1}: document 4",
        f"f:{line + 3}: document 5",
    ]


def test_an_unusable_item_of_yaml_loses_only_itself() -> None:
    """A value that does not fit its tag, an alias, excessive nesting. An anchor may be used again."""
    bad = ["!!bool nope", '!!int ""', '!!float ""', "!!timestamp foo", "{a: &x 1, b: *x, c: *x}", "[" * 300 + "]" * 300]
    good = ["&x {kind: A}", "&x {kind: A}"]
    text = "items:\n" + "".join(f"- {item}\n" for item in [*bad, *good]) + "kind: List\n"
    *errors, first, second = values_of(compose(io.BytesIO(text.encode()), "f"))
    assert (first, second) == ({"kind": "A"}, {"kind": "A"})
    tag = "invalid YAML: a value does not match its tag"
    assert errors == [
        f"f:{n + 2}: document 1, items[{n}]: {why}"
        for n, why in enumerate([tag, tag, tag, tag, "an alias: aliases are rejected", "is nested too deeply"])
    ]


def test_ends_of_documents_in_yaml_may_be_repeated_and_commented() -> None:
    """And directives may be followed by comments."""
    text = "kind: A\n...\n...\n# x\n... # y\n%YAML 1.1\n# z\n\n---\nkind: B\n... # z\n...\n"
    found = list(compose(io.BytesIO(text.encode()), "f"))
    assert values_of(iter(found)) == [{"kind": "A"}, {"kind": "B"}]
    assert places(iter(found)) == ["f:1: document 1", "f:10: document 2"]


def test_a_truncated_list_in_yaml_is_reported() -> None:
    """Kubectl writes a list's kind below its items: without it the end is missing, even between two lines."""
    text = "apiVersion: v1\nitems:\n- kind: A\n- kind: B\n"
    found = values_of(compose(io.BytesIO(text.encode()), "f"))
    assert found == [
        {"kind": "A"},
        {"kind": "B"},
        "f:5: document 1: the list has no kind after its items: its end may be missing",
    ]
    assert values_of(compose(io.BytesIO(f"{text}kind: List\n".encode()), "f")) == found[:2]
    assert values_of(compose(io.BytesIO(b"items:\n- kind: A\n"), "f")) == found[:1]


def test_yaml_with_a_directive_and_json() -> None:
    """A document with a directive is read; JSON is YAML."""
    assert values_of(compose(io.BytesIO(b'%YAML 1.1\n---\n{"kind": "A",\n "b": [1]}\n'), "f")) == [
        {"kind": "A", "b": [1]}
    ]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_lines_of_members(form: str) -> None:
    """The line of a member in both forms; for a missing member, that of the nearest parent."""
    text = (
        "---\nkind: A\nresults:\n- policy: p\n  message: 1\n"
        if form == "yaml"
        else json.dumps({"kind": "A", "results": [{"policy": "p", "message": 1}]}, indent=1)
    )
    (piece,) = (compose if form == "yaml" else scan)(io.BytesIO(text.encode()), "f")
    assert isinstance(piece, RawObject)
    lines = {"json": (3, 4, 6), "yaml": (3, 4, 5)}[form]
    assert line_of(piece, ("results",)) == lines[0]
    assert line_of(piece, ("results", 0)) == lines[1]
    assert line_of(piece, ("results", 0, "message")) == lines[2]
    assert line_of(piece, ("results", 7, "message")) == lines[0]


def test_readable_paths() -> None:
    """Names, numbers, and quoted keys."""
    assert joined("items[3]", ("metadata", "labels", "a/b", 0)) == 'items[3].metadata.labels["a/b"][0]'
