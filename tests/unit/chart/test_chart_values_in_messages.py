"""What messages call a value of the chart is one: a remedy that names a value that is not there helps nobody."""

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
    """Each text in the code of the operator, with its file; docstrings are among them."""
    for path in sorted((ROOT / "operator/policyhub").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value


def there(name: str) -> bool:
    """The schema knows the values that values.yaml leaves out, such as each of `settings`."""
    found: Any = SCHEMA
    for part in name.split("."):
        found = found.get("properties", {}).get(part)
        if found is None:
            return False
    return True


def test_messages_name_values_that_are_there() -> None:
    """Whoever renames a value finds the messages that name it."""
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
