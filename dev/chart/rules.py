"""The rules of the charts' roles that give the operator what it reads, by the tables of source and policy APIs."""

from collections.abc import Iterable, Iterator

from policyhub.model.policy_apis import POLICY_APIS, PolicyApi
from policyhub.model.source_apis import SOURCE_APIS, Shape, SourceApi

WIDTH = 120
_HEAD = """{{/*
The APIs that are read, of operator/policyhub/model/source_apis.py and policy_apis.py. Made by `make generate`.
*/}}
"""
_ANY_KIND = "Each kind of constraint is a resource of its own, and they come and go with their templates."


def render() -> str:
    """The template file that both charts have."""
    asked = (api for api in POLICY_APIS if api.behind is Shape.REPORT)
    return _HEAD + "\n".join(
        (
            *_defined("sourceRules", SOURCE_APIS, "[list, watch]"),
            *_defined("policyRules", POLICY_APIS, "[list, watch]"),
            *_defined("policyExistenceRules", asked, "[list]"),
            "",
        )
    )


def _defined(name: str, apis: Iterable[SourceApi | PolicyApi], verbs: str) -> Iterator[str]:
    yield f'{{{{- define "policyhub.{name}" -}}}}'
    for api in apis:
        if not api.kinds:
            yield f"# {_ANY_KIND}"
        yield f"- apiGroups: [{api.group}]"
        yield from _listed(api.resources)
        yield f"  verbs: {verbs}"
    yield "{{- end }}"


def _listed(resources: tuple[str, ...]) -> Iterator[str]:
    names = ['"*"' if name == "*" else name for name in resources]
    line = f"  resources: [{', '.join(names)}]"
    if len(line) <= WIDTH:
        yield line
    else:
        yield "  resources:"
        yield from (f"    - {name}" for name in names)
