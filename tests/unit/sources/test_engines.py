"""The table of engines: every value about an engine is in its row, and in no other module."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from policyhub.model import engines
from policyhub.model.engines import ENGINES, KNOWN_ENGINES, PRODUCERS

OPERATOR = Path(__file__).parents[3] / "operator/policyhub"
TABLE = OPERATOR / "model/engines.py"
DEFAULT_EXCLUDE = ("Falco", "JsPolicy", "Trivy Vulnerability")
"""The default of `spec.sources.exclude` is part of the API, which imports no other package."""
NAMES = {engine.name.casefold() for engine in ENGINES} | {
    prefix for engine in ENGINES for prefix in engine.name_prefixes()
}
MODULES = [path for path in sorted(OPERATOR.rglob("*.py")) if path != TABLE]


def collected(tree: ast.AST) -> Iterator[list[str]]:
    """The strings that are keys of a mapping or members of a collection, by mapping or collection. Types are none."""
    types = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    for node in ast.walk(tree):
        if id(node) in types:
            continue
        if isinstance(node, ast.Dict):
            members: list[ast.expr | None] = list(node.keys)
        elif isinstance(node, (ast.Set, ast.Tuple, ast.List)):
            members = list(node.elts)
        else:
            continue
        yield [one.value for one in members if isinstance(one, ast.Constant) and isinstance(one.value, str)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(OPERATOR).as_posix())
def test_no_other_module_lists_engines(module: Path) -> None:
    """A new engine is one row: nothing else has values by the engine's name, and no other list of engines."""
    tree = ast.parse(module.read_text("utf-8"))
    assert [
        names
        for names in collected(tree)
        if tuple(names) != DEFAULT_EXCLUDE and not NAMES.isdisjoint(map(str.casefold, names))
    ] == []


def test_each_engine_has_one_row() -> None:
    """Two rows with one name would hide each other; names differ in more than their case."""
    names = [engine.name.casefold() for engine in ENGINES]
    assert len(set(names)) == len(names)
    prefixes = sorted(prefix for engine in ENGINES if engine.silent_after for prefix in engine.name_prefixes())
    assert [(one, other) for one, other in pairwise(prefixes) if other.startswith(one)] == []


def test_each_row_says_something() -> None:
    """A row with nothing but a name is the same as no row."""
    assert [engine.name for engine in ENGINES if engine == engines.Engine(name=engine.name)] == []


def test_names_that_only_labels_have_are_no_engines() -> None:
    """A label stands for the engine: it must not be the name of another one."""
    labels = {engine.label for engine in ENGINES if engine.label}
    assert labels.isdisjoint(KNOWN_ENGINES | PRODUCERS.keys())
