"""docs/discovery.md and the code have the same reasons."""

import ast
import re
from pathlib import Path
from typing import get_args

from policyhub.api.reason import Reason, Trait
from policyhub.securityhub.errors import AccessKind
from tests.unit.docs.test_docs import SOURCES, code

PAGE = (Path(__file__).parents[3] / "docs/discovery.md").read_text("utf-8")
BARRING = {"ClusterExternal", "ClusterCreating", "ClusterDeleting", "ClusterFailed"}
"""Of policyhub.eks.description."""


def table(title: str, column: int = 0) -> set[str]:
    """The text in backticks in a column of a section's first table."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    lines = [line for line in found[1].splitlines() if line.startswith("| ")]
    return {name for line in lines[1:] for name in code(line.strip("|").split(" | ")[column])}


def written() -> set[str]:
    """Reasons of clusters and places in the code."""
    return {
        Reason[cause.args[0].attr].value
        for path, tree in SOURCES.items()
        if path.parent.name == "clusterdiscovery"
        for cause in ast.walk(tree)
        if isinstance(cause, ast.Call)
        and isinstance(cause.func, ast.Name)
        and cause.func.id == "Cause"
        and isinstance(cause.args[0], ast.Attribute)
        and cause.args[0].attr in Reason.__members__
    }


def test_reasons_of_clusters() -> None:
    """Each has a row, and there are no others."""
    assert table("The state of a cluster", 1) == (written() | BARRING) - {"InvalidSpec", "RegionOff"}


def test_reasons_of_conditions() -> None:
    """Whatever makes a condition False or Unknown has a row in its table."""
    kinds = {*get_args(AccessKind), "Throttled", "Unavailable", "Refused", "RegionOff"}
    assert table("Listed") == kinds | {"Listed", "Listing"}
    unmade = {reason for reason in Reason if Trait.UNMADE in reason.traits}
    assert table("ClustersMade") == unmade | {"AllMade", "Listing", "Describing"}
