"""The part of IAM that the operator's roles need: what a policy document allows.

Supported: statements with Allow, actions by name, resources by name or prefix, the condition StringEquals. Anything
else is rejected when the document is read, never ignored. Actions without a resource can only be granted on `*`, as in
IAM. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

Texts = list[str] | str
Name = Annotated[str, msgspec.Meta(pattern=r"^[^*?]+$")]
Names = list[Name] | Name
Pattern = Annotated[str, msgspec.Meta(pattern=r"^(\*|[^*?]+\*?)$")]
"""A name, or a prefix and `*`."""
ON_ANYTHING = frozenset({"eks:ListClusters"})
"""Actions without a resource."""
Context = Mapping[str, str]
"""Condition key → the request's value."""


class Statement(msgspec.Struct, forbid_unknown_fields=True, rename="pascal"):
    effect: Literal["Allow"]
    action: Names
    sid: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]*$")] = ""
    resource: list[Pattern] | Pattern | None = None
    principal: dict[str, Texts] | None = None
    condition: dict[Literal["StringEquals"], dict[str, Texts]] = {}

    def fits(self, action: str, *, resource: str, principal: tuple[str, str], context: Context) -> bool:
        if action not in _each(self.action):
            return False
        patterns = _each(self.resource or [])
        if resource and not any(_covers(pattern, action, resource) for pattern in patterns):
            return False
        if principal[0] and principal[1] not in _each((self.principal or {}).get(principal[0], [])):
            return False
        wanted = self.condition.get("StringEquals", {})
        return all(key in context and context[key] in _each(values) for key, values in wanted.items())


class Document(msgspec.Struct, forbid_unknown_fields=True, rename="pascal"):
    version: Literal["2012-10-17"]
    statement: list[Statement]

    def permits(self, action: str, resource: str, context: Context | None = None) -> bool:
        """As an identity policy of the caller."""
        return any(s.fits(action, resource=resource, principal=("", ""), context=context or {}) for s in self.statement)

    def trusts(self, action: str, principal: tuple[str, str], context: Context) -> bool:
        """As a role's trust policy: `principal` is its kind (AWS, Federated, Service) and name."""
        return any(s.fits(action, resource="", principal=principal, context=context) for s in self.statement)


class Role(msgspec.Struct, forbid_unknown_fields=True):
    """A role with its documents, as `policyhub iam-policy` prints it."""

    role: str
    trust: Document
    permissions: Document


def _covers(pattern: str, action: str, resource: str) -> bool:
    if pattern == "*" or action in ON_ANYTHING:
        return pattern == "*"
    return resource.startswith(pattern[:-1]) if pattern.endswith("*") else resource == pattern


def _each(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else texts
