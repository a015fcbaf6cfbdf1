"""The body of an import has the findings unchanged."""

import json
from typing import Any

import botocore.session
import msgspec
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.serialize import create_serializer

from policyhub.securityhub.body import body


def operation() -> Any:
    return botocore.session.get_session().get_service_model("securityhub").operation_model("BatchImportFindings")


def test_findings_are_unchanged_on_the_wire() -> None:
    """By botocore's model: no member is renamed, outside of the body, or of a type that JSON lacks."""
    found: dict[str, Shape] = {}
    left: list[Shape] = [operation().input_shape]
    while left:
        shape = left.pop()
        if shape.name in found:
            continue
        found[shape.name] = shape
        if isinstance(shape, StructureShape):
            left += shape.members.values()
        elif isinstance(shape, ListShape):
            left.append(shape.member)
        elif isinstance(shape, MapShape):
            left += (shape.key, shape.value)
    assert len(found) > 800
    assert [shape for shape in found.values() if shape.serialization] == []
    plain = {"structure", "list", "map", "string", "integer", "long", "double", "float", "boolean"}
    assert {shape.type_name for shape in found.values()} <= plain


def test_the_body_equals_botocores() -> None:
    """Compact, and in UTF-8 instead of escapes: the same document."""
    findings: list[dict[str, Any]] = [
        {
            "Id": "policyhub/prod/1",
            "Title": '語 \U0001f600 "quoted" \x7f',
            "Resources": [{"Type": "Other", "Id": "x", "Details": {"Other": {"Kind": "Pod"}}}],
            "ProductFields": {"policyhub/source": "é"},
            "Vulnerabilities": [{"Id": "CVE-2099-1", "Cvss": [{"BaseScore": 7.5}]}],
        }
    ]
    theirs = create_serializer("rest-json", include_validation=False).serialize_to_request(
        {"Findings": findings}, operation()
    )
    assert json.loads(body(findings)) == json.loads(theirs["body"])
    assert body(findings) == msgspec.json.encode({"Findings": findings})
    assert len(body(findings)) < len(theirs["body"])
