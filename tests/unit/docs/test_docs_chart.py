"""docs/chart.md names existing values of the chart, and values that it really rejects."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/chart.md").read_text("utf-8")
VALUES = yaml.safe_load((ROOT / "charts/policyhub/values.yaml").read_text("utf-8"))


def has(path: str) -> bool:
    """Whether the chart has a value at this path."""
    node = VALUES
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def test_each_row_begins_with_values_of_the_chart() -> None:
    """The first column: full names, or after the first one with a dot, names in the same group."""
    table = PAGE.partition("|---|---|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()]
    assert len(rows) > 25
    for row in rows[:-1]:
        names = re.findall(r"`([A-Za-z.]+)`", row)
        group = names[0].rpartition(".")[0]
        assert all(has(f"{group}{name}" if name.startswith(".") else name) for name in names), row


def test_the_sentences_equal_the_charts() -> None:
    """The page shows the sentences of the chart's tables."""
    tables = (ROOT / "charts/policyhub/templates/_names.tpl").read_text("utf-8")
    sentences = re.findall(r"^(\S+) is (?:now called|called|not a value)", PAGE, re.MULTILINE)
    assert len(sentences) == 3
    assert all(re.search(rf"(?m)^{re.escape(name)}: ", tables) for name in sentences)
