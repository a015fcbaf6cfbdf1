"""Chart values in the operator's messages exist, because a remedy with a missing value helps nobody."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "charts/policyhub/values.schema.json").read_text("utf-8"))
NAMED = re.compile(r"\(chart: ([^)]*)\)|chart's ((?:\w+\.)*[a-z]+[A-Z.]\w+)")
"""`(chart: a.b, c)` and `the chart's a.b`."""


def texts() -> Iterator[tuple[str, str]]:
    """Each text in the code of the operator, with its file, docstrings included."""
    for path in sorted((ROOT / "operator/policyhub").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value


def there(name: str) -> bool:
    """The schema has the values that values.yaml omits, such as each of `settings`."""
    found: Any = SCHEMA
    for part in name.split("."):
        found = found.get("properties", {}).get(part)
        if found is None:
            return False
    return True


def test_messages_name_existing_values() -> None:
    """A renamed value shows which messages use it."""
    named = {
        (file, name)
        for file, text in texts()
        for match in NAMED.findall(text)
        for name in "".join(match).split(", ")
        if re.fullmatch(r"[\w.]+", name)
    }
    assert ("advice.py", "extraEnv") in named
    assert ("secret.py", "kubeconfigSecrets") in named
    assert there("settings.eksEndpointHosts")
    assert not there("settings.eksEndpoints")
    assert {found for found in named if not there(found[1])} == set()
