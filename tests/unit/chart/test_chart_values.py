"""The generator of the chart's schema and README: what it reads from comments, and what it refuses to guess."""

import json
from typing import Any, get_args

import pytest

from dev.chart import readme, schema, wording
from dev.chart.values import ValuesError, parse
from policyhub.api import crd, scalar
from policyhub.settings import Settings

NONE: frozenset[str] = frozenset()

EXAMPLE = """\
# About the file as a whole.

## First things

# The name,
# in two lines.
# schema: {scalar: ObjectName}
name: ""

# A group.
group:
  # A number | of things.
  # schema: {minimum: 1}
  # schema: {maximum: 3}
  count: 2
  # Open.
  # schema: {additionalProperties: {type: string}}
  labels: {}

## More

# The spec.
# schema: {crd: spec}
spec: {}

# A list.
# schema: {items: {type: object, properties: {spec: {crd: spec, required: [connection]}, name: {scalar: ObjectName}}}}
many: []

# One of two.
# schema: {enum: [a, b]}
choice: a
"""


def made(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(schema.render(parse(text), own=NONE))
    return found


def test_a_comment_is_the_description() -> None:
    """The comment directly above a value describes it, without the line `schema:` and without titles."""
    found = {value.name: value for top in parse(EXAMPLE) for value in top.walk()}
    assert list(found) == ["name", "group", "group.count", "group.labels", "spec", "many", "choice"]
    assert found["name"].description == "The name, in two lines."
    assert found["name"].section == found["group.count"].section == "First things"
    assert found["choice"].section == "More"
    assert found["group.count"].hints == {"minimum": 1, "maximum": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n", "a has no comment"),
        ("# A.\na:\n  b: 1\n", r"a\.b has no comment"),
        ("# schema: {minimum: 1}\na: 1\n", "a has no comment"),
        ("# A.\na: {}\n", "the map has no schema"),
        ("# A.\na: []\n", "the list has no schema"),
        ("- 1\n", "is not a map"),
    ],
)
def test_missing_information_is_an_error(text: str, message: str) -> None:
    """A value without a comment, and a map or list without element types, are errors that name it."""
    with pytest.raises(ValuesError, match=message):
        parse(text)


def test_types_come_from_defaults() -> None:
    """A default gives the type, a group accepts only its own names, hints add to that."""
    properties = made(EXAMPLE)["properties"]
    assert properties["group"]["additionalProperties"] is False
    assert properties["group"]["properties"]["count"] == {
        "description": "A number | of things.",
        "type": "integer",
        "minimum": 1,
        "maximum": 3,
    }
    assert properties["choice"] == {"description": "One of two.", "enum": ["a", "b"]}


def test_values_and_api_agree() -> None:
    """A value that goes into a MonitoredCluster has the same form as there; if the default is empty, empty too."""
    document = made(EXAMPLE)
    pattern = schema._scalar("ObjectName", optional=False, name="")["pattern"]
    assert document["properties"]["name"]["if"]["pattern"] == f"^({pattern[1:-1]})?$"
    assert document["properties"]["many"]["items"]["properties"]["name"]["if"]["pattern"] == pattern
    bounds = get_args(scalar.ObjectName)[1].metadata
    assert pattern in [getattr(bound, "pattern", None) for bound in bounds]
    with pytest.raises(ValuesError, match="has no Nothing"):
        made("# A.\n# schema: {scalar: Nothing}\na: ''\n")


def test_each_scalar_of_the_api_has_a_sentence() -> None:
    """Each one with a pattern, so that no error shows the pattern."""
    forms = {
        name
        for name, kind in vars(scalar).items()
        if hasattr(kind, "__metadata__") and "pattern" in wording.bounds(name)
    }
    assert forms == wording.SCALARS.keys()


def test_a_pattern_needs_a_sentence() -> None:
    """An error says what is expected, not a pattern: by the line `schema:` or by the scalar."""
    text = "# A.\n# schema: {pattern: '^a+$'%s}\na: a\n"
    with pytest.raises(ValuesError, match=r"values\.properties\.a: the pattern \^a\+\$ has no sentence"):
        made(text % "")
    node = made(text % ", want: 'some letters, such as aa'")["properties"]["a"]
    assert node["if"] == {"type": "string", "pattern": "^a+$"}
    assert node["else"] == node["not"] == {"const": "some letters, such as aa"}
    assert not {"type", "pattern", "want"} & node.keys()


def test_a_rule_with_a_pattern_applies_in_helm_too() -> None:
    """What the API server rejects by such a rule, Helm rejects by its pattern."""
    spec = made(EXAMPLE)["definitions"]["spec"]
    region = spec["properties"]["securityHub"]["properties"]["region"]
    assert region["if"]["pattern"] == scalar.REGION_OF_A_PARTITION


def test_a_former_name_passes_the_schema() -> None:
    """It is passed to the template, which prints the new name, at any depth; open maps stay open."""
    text = "# G.\ngroup:\n  # C.\n  count: 2\n# P.\n# schema: {additionalProperties: true}\nprobe: {}\n"
    others = frozenset({"old", "group.older", "gone.deep", "probe.enabled"})
    document = json.loads(schema.render(parse(text), own=NONE, others=others))["properties"]
    assert {"old", "group", "gone", "probe"} < document.keys()
    assert "type" not in document["old"]
    assert {"count", "older"} == document["group"]["properties"].keys()
    assert {"deep"} == document["gone"]["properties"].keys()
    assert "properties" not in document["probe"]
    assert schema.other_names('{{- define "a" -}}\nold: new\na.b: "Sentence: more."\n{{- end }}\n') == {"old", "a.b"}


def test_global_values_are_allowed() -> None:
    """Values that a parent chart sets for its other parts are not rejected."""
    document = made("# G.\n# schema: {others: true}\nglobal:\n  # A.\n  a: 1\n# H.\nhome:\n  # A.\n  a: 1\n")
    assert document["properties"]["global"]["additionalProperties"] is True
    assert document["properties"]["home"]["additionalProperties"] is False


def test_a_minimum_length_applies_to_given_values_only() -> None:
    """An external id has at least two characters, or is omitted."""
    node = schema._scalar("ExternalId", optional=True, name="")
    assert node["anyOf"] == [{"maxLength": 0}, {"minLength": 2}]
    assert schema._scalar("ExternalId", optional=False, name="")["minLength"] == 2


def test_the_spec_equals_the_crds() -> None:
    """The spec in values has the fields of the CRD, no others, and the fields that the place requires."""
    document = made(EXAMPLE)
    spec = document["definitions"]["spec"]
    assert spec["properties"].keys() == crd.schema()["properties"]["spec"]["properties"].keys()
    assert spec["additionalProperties"] is False
    assert spec["properties"]["sources"]["additionalProperties"] is False
    assert "x-kubernetes" not in json.dumps(spec)
    assert "required" not in json.dumps(spec)
    assert document["properties"]["spec"]["allOf"] == [{"$ref": "#/definitions/spec"}]
    assert document["properties"]["many"]["items"]["properties"]["spec"]["required"] == ["connection"]


def test_the_settings_equal_the_operators() -> None:
    """`settings` has their names, without references and null, except those that the chart sets itself."""
    document = json.loads(schema.render(parse("# S.\n# schema: {settings: true}\ns: {}\n"), own=frozenset({"lease"})))
    offered = document["properties"]["s"]["properties"]
    assert len(offered) == len(Settings.model_fields) - 1
    assert offered["hubQuotaShare"]["exclusiveMinimum"] == 0
    assert "$ref" not in json.dumps(offered)
    assert "null" not in json.dumps(offered)


def test_the_readme_keeps_text_around_the_tables() -> None:
    """Only the part between the two marks is generated; rows are one line each, with escaped pipes."""
    text = f"# Title\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe end.\n"
    rendered = readme.render(text, parse(EXAMPLE))
    assert rendered.startswith("# Title\n")
    assert rendered.endswith("\n\nThe end.\n")
    assert "old" not in rendered
    assert "### First things" in rendered
    assert "| `group.count` | `2` | A number \\| of things. |" in rendered
    assert readme.render(rendered, parse(EXAMPLE)) == rendered


def test_a_readme_without_marks_is_refused() -> None:
    """Without both marks it is unknown what may be replaced."""
    with pytest.raises(ValuesError, match="lacks one of the lines"):
        readme.render("# Title\n", parse(EXAMPLE))
