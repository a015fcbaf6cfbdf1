"""docs/discovery.md and the code name the same reasons."""

import re
from pathlib import Path
from typing import get_args

from policyhub.clusterdiscovery.report import TROUBLE
from policyhub.securityhub.errors import AccessKind
from tests.unit.docs.test_docs import SOURCES, calls, code, literal

PAGE = (Path(__file__).parents[3] / "docs/discovery.md").read_text("utf-8")
BARRING = {"ClusterExternal", "ClusterCreating", "ClusterDeleting", "ClusterFailed"}
"""Of policyhub.eks.description."""


def table(title: str, column: int = 0) -> set[str]:
    """What stands in backticks in a column of the first table of a section."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    lines = [line for line in found[1].splitlines() if line.startswith("| ")]
    return {name for line in lines[1:] for name in code(line.strip("|").split(" | ")[column])}


def written() -> set[str]:
    """Reasons of clusters and places that stand in the code."""
    assert SOURCES
    return {reason for call in calls("Why") if (reason := literal(call.args[0]))}


def test_reasons_of_clusters() -> None:
    """Each has a row, and nothing else has."""
    assert table("The state of a cluster", 1) == (written() | BARRING) - {"InvalidSpec", "RegionOff"}


def test_reasons_of_conditions() -> None:
    """Whatever makes a condition False or Unknown has a row in its table."""
    kinds = {*get_args(AccessKind), "Throttled", "Unavailable", "Refused", "RegionOff"}
    assert table("Listed") == kinds | {"Listed", "Listing"}
    assert table("ClustersMade") == TROUBLE | {"AllMade", "Listing", "Describing"}
