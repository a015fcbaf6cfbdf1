"""The tables of what is read: each row is whole, and no two say the same."""

import re

import pytest

from policyhub.api.monitoredcluster import Sources
from policyhub.model.policy_apis import (
    ASKED_POLICIES,
    POLICY_APIS,
    POLICY_KINDS,
    PolicyApi,
    kinds_of,
    name_in_reports,
    policy_groups,
)
from policyhub.model.source_apis import (
    CONSTRAINTS,
    POLICY_REPORTS,
    REPORT_GROUPS,
    SOURCE_APIS,
    SOURCE_GROUPS,
    Shape,
    SourceApi,
    disabled,
    enabled,
    is_constraint,
    plural_of,
)

ROWS: list[SourceApi | PolicyApi] = [*SOURCE_APIS, *POLICY_APIS]
VERSION = re.compile(r"v[1-9]\d*((alpha|beta)[1-9]\d*)?")


@pytest.mark.parametrize("api", ROWS, ids=lambda api: api.group)
def test_a_row_is_whole(api: SourceApi | PolicyApi) -> None:
    """A group that is no other row's, versions in order of preference, kinds by names that Kubernetes takes."""
    assert [row.group for row in ROWS].count(api.group) == 1
    assert api.versions
    assert len({*api.versions}) == len(api.versions)
    assert all(VERSION.fullmatch(version) for version in api.versions)
    assert all(kind.plural.islower() and kind.kind.isalnum() for kind in api.kinds)
    assert len({*api.resources}) == max(1, len(api.kinds))


def test_each_row_has_a_switch() -> None:
    """A field of `spec.sources` that is on unless it is set, and that turns off this row."""
    everything = Sources()
    assert enabled(everything) == SOURCE_GROUPS.keys()
    assert disabled(everything) == frozenset()
    for api in SOURCE_APIS:
        off = everything.model_copy(update={api.switch: False})
        assert api.group in disabled(off)
        assert all(SOURCE_GROUPS[group].switch == api.switch for group in disabled(off))


@pytest.mark.parametrize(
    ("group", "kind", "plural"),
    [
        *((api.group, kind.kind, kind.plural) for api in SOURCE_APIS for kind in api.kinds),
        (CONSTRAINTS, "K8sLimits", "k8slimits"),
        (POLICY_REPORTS, "Report", ""),
        ("apps", "Deployment", ""),
    ],
)
def test_a_kind_has_one_resource(group: str, kind: str, plural: str) -> None:
    """None where it is not read."""
    assert plural_of(group, kind) == plural


def test_constraints_are_no_reports() -> None:
    """A source API is one or the other."""
    assert is_constraint(f"k8slimits.{CONSTRAINTS}")
    assert CONSTRAINTS not in REPORT_GROUPS
    assert not any(is_constraint(f"{kind.plural}.{api.group}") for api in SOURCE_APIS for kind in api.kinds)


def test_policies_are_looked_for_behind_what_is_read() -> None:
    """Gatekeeper's templates behind constraints, all others behind reports of whichever API."""
    behind = {shape: {api.group for api in POLICY_APIS if api.behind is shape} for shape in Shape}
    assert policy_groups({CONSTRAINTS}) == behind[Shape.CONSTRAINT]
    assert all(policy_groups({group}) == behind[Shape.REPORT] for group in REPORT_GROUPS)
    assert policy_groups(()) == frozenset()


@pytest.mark.parametrize("resource", POLICY_KINDS)
def test_a_policy_is_found_by_its_name_in_reports(resource: str) -> None:
    """What its engine calls it leads back to its kind."""
    kind = POLICY_KINDS[resource]
    assert kind.namespaced == ("{namespace}" in kind.pattern)
    assert resource in kinds_of(kind.engine, name_in_reports(resource, name="p", namespace="shop"))
    asked = not resource.endswith(".templates.gatekeeper.sh")
    assert (resource in ASKED_POLICIES) == asked
