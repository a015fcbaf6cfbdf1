"""Which requests a policy document allows, and which tokens the local hub accepts."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dev.hub import bearer
from dev.hub.bearer import BearerError, Keys
from dev.hub.policy import Document

HUB = "arn:aws:securityhub:eu-west-1:111122223333:hub/default"


def document(**statement: Any) -> Document:
    given = {"Effect": "Allow", "Action": ["securityhub:GetFindings"], "Resource": [HUB], **statement}
    return msgspec.convert({"Version": "2012-10-17", "Statement": [given]}, Document)


@pytest.mark.parametrize(
    ("statement", "context", "permitted"),
    [
        ({}, {}, True),
        ({"Action": "securityhub:GetFindings", "Resource": HUB}, {}, True),
        ({"Action": ["securityhub:DescribeHub"]}, {}, False),
        ({"Resource": [HUB.replace("eu-west-1", "us-east-1")]}, {}, False),
        ({"Condition": {"StringEquals": {"k": "a"}}}, {"k": "a"}, True),
        ({"Condition": {"StringEquals": {"k": ["a", "b"]}}}, {"k": "b"}, True),
        ({"Condition": {"StringEquals": {"k": ["a"]}}}, {"k": "b"}, False),
        ({"Condition": {"StringEquals": {"k": ["a"]}}}, {}, False),
    ],
    ids=["fits", "single values", "action", "resource", "condition", "one of", "other value", "key absent"],
)
def test_a_statement_permits_what_it_names(
    statement: dict[str, Any], context: dict[str, str], *, permitted: bool
) -> None:
    """Action, resource and each condition must match; a key that the request lacks matches no value."""
    assert document(**statement).permits("securityhub:GetFindings", HUB, context) is permitted


def test_a_trust_policy_names_its_principal() -> None:
    """A principal of another kind or name is not trusted."""
    trust = document(Action=["sts:AssumeRole"], Resource=None, Principal={"AWS": ["arn:one", "arn:two"]})
    assert trust.trusts("sts:AssumeRole", ("AWS", "arn:two"), {})
    assert not trust.trusts("sts:AssumeRole", ("AWS", "arn:three"), {})
    assert not trust.trusts("sts:AssumeRole", ("Service", "arn:two"), {})
    assert not document(Action=["sts:AssumeRole"]).trusts("sts:AssumeRole", ("AWS", "arn:two"), {})


@pytest.mark.parametrize(
    ("action", "given", "asked", "permitted"),
    [
        ("eks:DescribeCluster", "arn:eks:a:cluster/*", "arn:eks:a:cluster/b", True),
        ("eks:DescribeCluster", "arn:eks:a:cluster/*", "arn:eks:b:cluster/b", False),
        ("eks:DescribeCluster", "*", "arn:eks:b:cluster/b", True),
        ("eks:ListClusters", "*", "arn:eks:a:cluster/clusters", True),
        ("eks:ListClusters", "arn:eks:a:cluster/*", "arn:eks:a:cluster/clusters", False),
    ],
)
def test_a_resource_may_be_named_by_its_beginning(action: str, given: str, asked: str, *, permitted: bool) -> None:
    """A star at the end matches the rest. An action without a resource is allowed on `*` only."""
    assert document(Action=[action], Resource=[given]).permits(action, asked) is permitted


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny"},
        {"NotAction": ["a"]},
        {"Action": ["securityhub:*"]},
        {"Resource": "arn:*:hub"},
        {"Resource": "arn:?"},
        {"Condition": {"StringLike": {"k": "a*"}}},
    ],
    ids=lambda statement: next(iter(statement)),
)
def test_unsupported_documents_are_rejected(statement: dict[str, Any]) -> None:
    """A document with unsupported elements is an error, never applied partly."""
    with pytest.raises(msgspec.ValidationError):
        document(**statement)


def test_a_token_is_verified_with_its_key() -> None:
    """A signed token is read back; a changed claim, another key and an invalid token are distinguished."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    token = bearer.issue(key, iss="https://issuer.example", sub="system:serviceaccount:a:b", aud="x", exp=1)
    keys = [{"kty": "RSA"}, *bearer.published(other)["keys"], *bearer.published(key)["keys"]]
    claims = bearer.read(token, Keys(keys))
    assert (claims.sub, claims.audiences, claims.exp) == ("system:serviceaccount:a:b", frozenset({"x"}), 1)
    with pytest.raises(BearerError, match="none of the issuer's keys"):
        bearer.read(token, Keys(keys[:2]))
    head, payload, signature = token.split(".")
    forged = bearer.issue(other, iss="https://issuer.example", sub="root", exp=1).split(".")[1]
    assert payload != forged
    with pytest.raises(BearerError, match="none of the issuer's keys"):
        bearer.read(f"{head}.{forged}.{signature}", Keys(keys))
    for text in ("", "a.b", "a.b.c", "a.!.c"):
        with pytest.raises(BearerError, match="this is no token"):
            bearer.read(text, Keys(keys))
