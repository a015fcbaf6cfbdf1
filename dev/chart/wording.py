"""Readable errors of the schema: the expected value with an example, instead of a pattern.

Helm prints a failed `pattern` literally, and a wrong type as "got number, want string". It prints a failed `const` as
"value must be '…'". So each node with a pattern becomes a condition: the value has the form, or else equals the
sentence, which is forbidden too. This accepts the same values as the pattern. Pure: no I/O, no clock.
"""

import re
from typing import Any, get_args

from pydantic import WithJsonSchema

from dev.chart.values import ValuesError
from policyhub.api import scalar

Schema = dict[str, Any]

SCALARS = {
    "AccountId": 'an AWS account of 12 digits in quotes, such as "111122223333" (on the command line: --set-string)',
    "Region": "an AWS Region, such as eu-west-1",
    "ClusterArn": "the ARN of an EKS cluster, such as arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu",
    "RoleArn": "the ARN of an IAM role, such as arn:aws:iam::111122223333:role/policyhub",
    "ExternalId": "an external id of 2 to 1224 letters, digits and _+=,.@:/-, such as policyhub-prod",
    "GroupName": "the name of a Kubernetes group, such as policyhub",
    "Endpoint": "the https address of an API server, without a path, such as https://0123.gr7.eu-west-1.eks.amazonaws.com",
    "CertificateAuthorityData": "a certificate authority, PEM in base64, as aws eks describe-cluster prints it",
    "ObjectName": "a name of small letters, digits, hyphens and dots, such as prod-eu",
    "NamespaceName": "the name of a namespace, of small letters, digits and hyphens, such as policyhub",
    "NamespacePattern": "the name of a namespace, or a pattern with *, such as kube-*",
    "SecretDataKey": "a key of a Secret, of letters, digits, hyphens, dots and _, such as kubeconfig",
    "Duration": "a duration, such as 90s, 10m or 1h30m",
}
"""Scalar of the API → Helm's text after "value must be"."""

_FORM = ("type", "pattern", "minLength", "maxLength", "anyOf")


def bounds(kind: str) -> Schema:
    """The JSON Schema of a scalar of the API. Raises ValuesError."""
    if not hasattr(scalar, kind):
        raise ValuesError(f"policyhub.api.scalar has no {kind}")
    found: Schema = {}
    parts = get_args(getattr(scalar, kind))[1:]
    for piece in (piece for part in parts for piece in getattr(part, "metadata", ())):
        given = {"pattern": "pattern", "min_length": "minLength", "max_length": "maxLength"}
        found |= {name: value for word, name in given.items() if (value := getattr(piece, word, None)) is not None}
    for part in parts:
        found |= narrower(getattr(part, "json_schema_extra", None) or {})
    written = [part.json_schema or {} for part in parts if isinstance(part, WithJsonSchema)]
    return found or next(iter(written), {})


def narrower(node: Schema) -> Schema:
    """The pattern of a CEL rule that only matches a pattern: Helm does not support CEL."""
    written = (
        re.fullmatch(r"self\.matches\('(.+)'\)", rule["rule"]) for rule in node.get("x-kubernetes-validations", ())
    )
    return next(({"pattern": match[1]} for match in written if match), {})


def worded(node: Any, *, name: str = "values") -> Any:
    """The schema with all patterns replaced. `want` beside a pattern is the sentence. Raises ValuesError."""
    if isinstance(node, list):
        return [worded(item, name=name) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: worded(item, name=f"{name}.{key}") for key, item in node.items()}
    if not isinstance(made.get("pattern"), str):
        return made
    want = made.pop("want", None) or _by_pattern().get(made["pattern"])
    if want is None:
        raise ValuesError(f"{name}: the pattern {made['pattern']} has no sentence; add schema: want")
    form = {word: made.pop(word) for word in _FORM if word in made}
    return made | {"if": {"type": "string"} | form, "else": {"const": want}, "not": {"const": want}}


def _by_pattern() -> dict[str, str]:
    """Pattern → sentence, for the API's own schema, in which scalars have no names."""
    return {bounds(kind)["pattern"]: want for kind, want in SCALARS.items()} | {
        r"^[a-z]+=\d+(,[a-z]+=\d+)*$": "days by severity, such as critical=7,high=30",
    }
