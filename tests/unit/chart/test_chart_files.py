"""What can be said about the chart without rendering it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import policyhub
from policyhub.api import scalar
from policyhub.settings import Settings

CHART = Path(__file__).parents[3] / "charts/policyhub"
VALUES_TEXT = (CHART / "values.yaml").read_text("utf-8")
VALUES: dict[str, Any] = yaml.safe_load(VALUES_TEXT)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
FREE = ("resources",)  # Kubernetes' own shapes, with a default of ours


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in FREE:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def commented() -> set[tuple[str, ...]]:
    """The paths of values.yaml whose line follows a comment."""
    found: set[tuple[str, ...]] = set()
    path: list[str] = []
    before = ""
    for line in VALUES_TEXT.splitlines():
        match = re.match(r"( *)([A-Za-z]+):", line)
        if match:
            path[len(match[1]) // 2 :] = [match[2]]
            if before.lstrip().startswith("#"):
                found.add(tuple(path))
        before = line
    return found


def pattern(annotated: Any) -> str:
    """The pattern of one of our scalars."""
    field = get_args(annotated)[1]
    found: str = next(item.pattern for item in field.metadata if getattr(item, "pattern", None))
    return found


@pytest.mark.parametrize("path", list(leaves(VALUES)), ids=".".join)
def test_every_value_is_documented(path: tuple[str, ...]) -> None:
    """The line above each value says what it is for."""
    assert path in commented()


def test_the_schema_knows_exactly_the_values() -> None:
    """Each value has a schema, and the schema has no value that the chart lacks (but Helm's own `global`)."""

    def compare(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        assert schema["properties"].keys() - {"global"} == values.keys(), path
        assert schema["additionalProperties"] is False, path
        for name, child in schema["properties"].items():
            if "properties" in child:
                compare(child, values[name], f"{path}.{name}")

    compare(SCHEMA, VALUES, "")


@pytest.mark.parametrize(
    ("path", "annotated"),
    [
        (("clusterName",), scalar.ObjectName),
        (("clusterArn",), scalar.ClusterArn),
        (("securityHub", "accountId"), scalar.AccountId),
        (("securityHub", "region"), scalar.Region),
        (("securityHub", "roleArn"), scalar.RoleArn),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_values_and_api_agree(path: tuple[str, ...], annotated: Any) -> None:
    """A value that goes into the MonitoredCluster is accepted as there, or empty."""
    node = SCHEMA
    for name in path:
        node = node["properties"][name]
    assert node["pattern"] == f"^({pattern(annotated).removeprefix('^').removesuffix('$')})?$"


def test_versions_agree() -> None:
    """The chart installs the version of the operator that it stands beside."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == policyhub.__version__


def test_settings_exist() -> None:
    """Every setting that the Deployment sets is one that the operator reads."""
    text = (CHART / "templates/deployment.yaml").read_text("utf-8")
    names = {name.lower() for name in re.findall(r"POLICYHUB_([A-Z_]+)", text)}
    assert names
    assert names <= Settings.model_fields.keys()


@pytest.mark.parametrize("path", sorted((CHART / "templates").iterdir()), ids=lambda path: path.name)
def test_nothing_needs_a_pod_or_the_operator_to_go(path: Path) -> None:
    """No hook and no finalizer: `helm uninstall` leaves nothing waiting."""
    text = path.read_text("utf-8")
    assert "helm.sh/hook" not in text
    assert "finalizers" not in text
