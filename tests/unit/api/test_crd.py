from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from policyhub.api import crd

PROJECT = Path(__file__).parents[3]

FORBIDDEN = ("$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "const", "patternProperties")


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path for `kubectl explain`."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


TYPE = (".apiVersion", ".kind", "discovery.apiVersion", "discovery.kind")  # the API server checks these itself
SCHEMA = crd.schema()
NODES = list(nodes(SCHEMA))
DISCOVERY = crd.discovery_schema()
BOTH = [*NODES, *((f"discovery{path}", node) for path, node in nodes(DISCOVERY))]
FIELDS = [
    pytest.param(node, id=path)
    for path, node in BOTH
    if path and not path.endswith("[]") and path.removeprefix("discovery") not in {"", ".metadata"}
]


def test_maps_are_bounded() -> None:
    """Tags and labels are the only maps: a bounded number of strings."""
    maps = {path: node for path, node in BOTH if "additionalProperties" in node}
    assert {*maps} == {
        "discovery.spec.tagSelector.matchTags",
        "discovery.spec.template.metadata.labels",
    }
    for node in maps.values():
        assert node["maxProperties"] <= 50
        assert node["additionalProperties"]["maxLength"] <= 256


def test_the_template_has_the_spec_of_future_clusters() -> None:
    """It has each field of a MonitoredCluster's spec except the cluster's own, no default, and no rule against
    changes.
    """
    template = DISCOVERY["properties"]["spec"]["properties"]["template"]["properties"]["spec"]
    spec = SCHEMA["properties"]["spec"]["properties"]
    assert template["properties"].keys() == spec.keys() - {"clusterArn", "connection"}
    inner = list(nodes(template))
    assert not [path for path, node in inner if "default" in node]
    rules = [rule["rule"] for _, node in inner for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert not [rule for rule in rules if "oldSelf" in rule]


def test_generation_is_deterministic() -> None:
    """Equal models give equal bytes, and the bytes read back as the document."""
    assert crd.render() == crd.render()
    assert yaml.safe_load(crd.render()) == crd.definition()


@pytest.mark.parametrize("node", [pytest.param(node, id=path or "root") for path, node in BOTH])
def test_schema_is_structural(node: dict[str, Any]) -> None:
    """Every node has one type and nothing that a structural schema forbids."""
    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    assert not [keyword for keyword in FORBIDDEN if keyword in node]


@pytest.mark.parametrize("node", FIELDS)
def test_every_field_is_described(node: dict[str, Any]) -> None:
    """`kubectl explain` describes every field, in whole sentences on one line."""
    assert node["description"].endswith((".", "`."))
    assert "\n" not in node["description"]


@pytest.mark.parametrize(
    "node",
    [pytest.param(node, id=path) for path, node in BOTH if node["type"] in {"string", "array"} and path not in TYPE],
)
def test_everything_is_bounded(node: dict[str, Any]) -> None:
    """Strings and lists are bounded, so that the API server can price the rules and nobody can fill etcd."""
    if node["type"] == "array":
        assert "maxItems" in node
        assert node["x-kubernetes-list-type"] in {"set", "map"}
    elif "enum" not in node and "format" not in node:
        assert "maxLength" in node


def test_a_default_never_contradicts_its_own_field() -> None:
    """Only omitted spec fields are defaulted; and the initial status says that the operator has not seen the object."""
    defaulted = {path: node["default"] for path, node in NODES if "default" in node}
    assert {p: d for p, d in defaulted.items() if p.startswith(".status")} == {".status": {"observedGeneration": -1}}
    assert defaulted[".spec.securityHub"] == {}
    assert defaulted[".spec.archiveDelay"] == "10m"
    assert ".spec.connection.inCluster" not in defaulted


def test_list_keys() -> None:
    """Conditions merge by type and sources by resource, so that two writers do not overwrite each other."""
    status = SCHEMA["properties"]["status"]["properties"]
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["sources"]["x-kubernetes-list-map-keys"] == ["resource"]


def test_columns_read_fields_that_exist() -> None:
    """Every printer column reads a path of the schema."""
    for schema, definition in ((SCHEMA, crd.definition()), (DISCOVERY, crd.discovery_definition())):
        paths = {path for path, _ in nodes(schema)} | {".metadata.creationTimestamp"}
        for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
            path = column["jsonPath"]
            if "[?" in path:
                path = path.split("[?")[0] + "[]." + path.rsplit(".", 1)[1]
            assert path in paths


@pytest.mark.parametrize(
    "node",
    [
        pytest.param({"anyOf": [{"type": "string"}, {"type": "integer"}]}, id="two types"),
        pytest.param({"type": "string", "exclusiveMaximum": 3}, id="unknown keyword"),
    ],
)
def test_an_inexpressible_constraint_is_an_error(node: dict[str, Any]) -> None:
    """The generator never drops a constraint silently."""
    with pytest.raises(ValueError, match="a structural schema"):
        crd._structural(node, {})
