"""No regular expression of the operator takes more than linear time, because anybody can write the texts that it reads.

The test finds every compiled pattern of every module, wherever it is stored, and tries it with texts that are built
from the pattern's own parts: one part repeated, two parts in turn, each after a matching prefix and before an end that
does not match.
"""

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _constants as ops  # type: ignore[attr-defined]  # the only way to a pattern's parts
from re import _parser as parser  # type: ignore[attr-defined]  # the same
from typing import Any

import pytest

import policyhub

SIZES = (64, 1_024, 8_192)
LONGEST = 262_144
"""How many of the slowest texts so far are tried at the next length."""
SECONDS_A_CHARACTER = 4e-6
"""Thread time: fifty times the usual, a hundredth of what a quadratic pattern takes at the end."""
SLACK = 0.02
_ANY = (" ", "a", "1", "-", "a ", "\n", "\ufffd", "/", ".", ",", '"', "\\", "(")
_MISFITS = ("", "\x00", " x")


def modules() -> Iterator[Any]:
    yield policyhub
    for found in pkgutil.walk_packages(policyhub.__path__, "policyhub."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, "re.Pattern[Any]"]:
    """Patterns by name; a pattern that two modules share is tried once."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                qualified = f"{module.__name__.removeprefix('policyhub.')}.{name}"
                if pattern not in found.values():
                    found[qualified if qualified not in found else f"{qualified}: {pattern.pattern!r}"] = pattern
    return found


def patterns_in(value: object, depth: int = 3) -> Iterator["re.Pattern[Any]"]:
    """The patterns in a value: itself, in a container, behind a bound method."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield value.__self__  # type: ignore[attr-defined]  # just asked
    elif depth and isinstance(value, dict):
        for part in (*value.keys(), *value.values()):
            yield from patterns_in(part, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from patterns_in(part, depth - 1)


def atoms(tree: Any) -> list[str]:
    """The parts of a pattern in order: runs of literals, and one character of each class."""
    found: list[str] = []
    run = ""
    for op, of in tree:
        if op is ops.LITERAL:
            run += chr(of)
            continue
        found += [run] if run else []
        run = ""
        if op is ops.IN:
            found.append(member(of))
        elif op in (ops.ANY, ops.NOT_LITERAL):
            found.append("a" if op is ops.ANY or of != ord("a") else "b")
        elif op is ops.BRANCH:
            for branch in of[1]:
                found += atoms(branch)
        elif op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            found += atoms(of[2])
        elif op in (ops.SUBPATTERN, ops.ASSERT, ops.ASSERT_NOT):
            found += atoms(of[-1])
        elif op is ops.ATOMIC_GROUP:
            found += atoms(of)
    return found + ([run] if run else [])


def member(of: Any) -> str:
    """A character of a class."""
    negated = of[0][0] is ops.NEGATE
    candidates = " a1-.x/:\"'\\\ufffd\n\x00\U000e0001" if negated else ""
    for op, value in of:
        if op is ops.LITERAL:
            candidates += chr(value)
        elif op is ops.RANGE:
            candidates += chr(value[0])
        elif op is ops.CATEGORY:
            candidates += {ops.CATEGORY_SPACE: " ", ops.CATEGORY_DIGIT: "1", ops.CATEGORY_WORD: "a"}.get(value, "a -1")
    return next(char for char in candidates if fits(char, of))


def fits(char: str, of: Any) -> bool:
    code, negated, inside = ord(char), False, False
    for op, value in of:
        if op is ops.NEGATE:
            negated = True
        elif op is ops.LITERAL:
            inside |= code == value
        elif op is ops.RANGE:
            inside |= value[0] <= code <= value[1]
        elif op is ops.CATEGORY:
            kinds: dict[Any, str] = {
                ops.CATEGORY_SPACE: r"\s",
                ops.CATEGORY_NOT_SPACE: r"\S",
                ops.CATEGORY_DIGIT: r"\d",
                ops.CATEGORY_NOT_DIGIT: r"\D",
                ops.CATEGORY_WORD: r"\w",
                ops.CATEGORY_NOT_WORD: r"\W",
            }
            inside |= re.fullmatch(kinds[value], char) is not None
    return inside is not negated


Shape = tuple[str, str, str]
"""Prefix, repeated part and end of a text."""
Use = Callable[[Any], object]


def shapes(pattern: "re.Pattern[Any]") -> list[Shape]:
    """The texts that are built for this pattern."""
    source, flags = pattern.pattern, pattern.flags
    if isinstance(source, bytes):
        source = source.decode("latin-1")
    parts = atoms(parser.parse(source, flags))
    found = dict.fromkeys(("", one, end) for one in (*parts, *_ANY, "".join(parts)) for end in _MISFITS)
    for number, part in enumerate(parts):
        before, behind = "".join(parts[:number]), "".join(parts[number + 1 :])
        following = parts[number + 1] if number + 1 < len(parts) else " "
        for pump in (part, part + following, part + " "):
            found |= dict.fromkeys((before, pump, end) for end in (*_MISFITS, behind))
    return [shape for shape in found if shape[1]]


def text_of(pattern: "re.Pattern[Any]", shape: Shape, size: int) -> Any:
    """A text of about this length from a shape."""
    before, pump, end = shape
    text = before + pump * (size // len(pump) + 1) + end
    return text if isinstance(pattern.pattern, str) else text.encode("utf-8", "replace")


def slow(pattern: "re.Pattern[Any]") -> str | None:
    """The slow shape and its seconds; None if there is none."""

    def ended(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, ended)
    uses: list[Use] = [pattern.search, pattern.fullmatch, lambda text: sum(1 for _ in pattern.finditer(text))]
    tried = [(use, shape) for shape in shapes(pattern) for use in uses]
    took: dict[tuple[Use, Shape], float] = {}
    try:
        for size in (*SIZES, LONGEST):
            if size == LONGEST:
                tried = sorted(tried, key=lambda one: -took[one])[:3]
            for use, shape in tried:
                text = text_of(pattern, shape, size)
                took[use, shape] = seconds = timed(use, text)
                if seconds > SLACK + len(text) * SECONDS_A_CHARACTER:
                    return f"{len(text)} characters of {shape}: {seconds:.2f} s"
    finally:
        signal.signal(signal.SIGVTALRM, before)
    return None


def timed(use: Use, text: Any) -> float:
    """Seconds of thread time."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 3)
    began = time.thread_time()
    try:
        use(text)
    except TimeoutError:
        return float("inf")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return time.thread_time() - began


FOUND = patterns()
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@pytest.mark.parametrize("pattern", FOUND.values(), ids=FOUND.keys())
def test_patterns_take_linear_time(pattern: "re.Pattern[Any]") -> None:
    """Blanks, parts of the pattern, near misses: no text of a tenant keeps the operator busy."""
    assert slow(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"\s+in (?:CEL|Vpol)$", id="blanks before an end"),
        pytest.param("\ufffd+$", id="an end that is searched"),
        pytest.param(r"(?:.+/)?(?:.+-)?controls?", id="two that share their characters"),
        pytest.param(r"(a*)*b", id="nested"),
        pytest.param(r"(?:\s*,\s*x?)*\)", id="blanks on both sides"),
        pytest.param(r",(?![^(]*\))", id="an unbounded lookahead"),
    ],
)
def test_slow_patterns_are_found(pattern: str) -> None:
    """Patterns that the operator once had, or that are known to be slow."""
    assert slow(re.compile(pattern)) is not None


def test_patterns_are_compiled_at_import() -> None:
    """A pattern that is built at run time or in a function would not be tested."""
    found = []
    for path in Path(policyhub.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(node) for made in ast.walk(tree) if isinstance(made, FUNCTIONS) for node in ast.walk(made)}
        found += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(tree)
            if (called := of_re(node)) and (id(node) in inside or called != "compile")
            if isinstance(node, ast.Call)
        ]
    assert found == []


def of_re(node: ast.AST) -> str:
    """The names of `re` that the module uses: `compile`, `sub` …; `escape` makes no pattern."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    is_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
    return node.func.attr if is_re and node.func.attr != "escape" else ""
