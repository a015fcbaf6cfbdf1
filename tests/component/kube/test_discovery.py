import json
from collections.abc import AsyncIterator

import pytest

from policyhub.kube.connection import Connection
from policyhub.kube.discovery import Discovery, discover, discover_policies
from policyhub.kube.kubeconfig import Access
from policyhub.model.policy_apis import POLICY_APIS
from policyhub.model.source_apis import CONSTRAINTS, OPEN_REPORTS, POLICY_REPORTS, SOURCE_GROUPS
from tests.component.kube.apiserver import Answer, ApiServer, refusal

KYVERNO, KYVERNO_CEL, KUBEWARDEN, ADMISSION, TEMPLATES = (api.group for api in POLICY_APIS)
VERBS = ["delete", "get", "list", "patch", "watch"]


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with ApiServer().serve() as server:
        yield server


def serve(api: ApiServer, group: str, versions: dict[str, list[str] | Answer]) -> None:
    """The group's own document, and one per version: its resources, or another answer."""
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    document = {"kind": "APIGroup", "name": group, "versions": entries, "preferredVersion": entries[:1]}
    api.documents[f"/apis/{group}"] = Answer(200, json.dumps(document).encode())
    for version, content in versions.items():
        api.documents[f"/apis/{group}/{version}"] = content if isinstance(content, Answer) else resources(content)


def resources(names: list[str], verbs: list[str] = VERBS) -> Answer:
    entries = [
        {"name": name, "kind": name.split("/")[0].title(), "namespaced": not name.startswith("cluster"), "verbs": verbs}
        for name in names
    ]
    return Answer(200, json.dumps({"kind": "APIResourceList", "resources": entries}).encode())


async def found(api: ApiServer) -> Discovery:
    async with Connection(Access(server=api.url)) as connection:
        return await discover(connection, SOURCE_GROUPS)


def paths(discovery: Discovery) -> list[str]:
    return [resource.path.removeprefix("/apis/") for resource in discovery.served]


async def test_no_api_is_served(api: ApiServer) -> None:
    """404 of each group: it is certain that nothing is served."""
    assert await found(api) == Discovery(served=(), unknown={})


async def test_every_api_is_served(api: ApiServer) -> None:
    """Each resource once, without subresources, with its kind and scope."""
    serve(api, POLICY_REPORTS, {"v1alpha2": ["policyreports", "clusterpolicyreports"]})
    serve(api, OPEN_REPORTS, {"v1alpha1": ["reports", "clusterreports", "reports/status", "somethingelse"]})
    serve(api, CONSTRAINTS, {"v1beta1": ["k8srequired", "k8srequired/status", "k8sallowed", "k8sallowed"]})
    discovery = await found(api)
    assert discovery.unknown == {}
    assert paths(discovery) == [
        "constraints.gatekeeper.sh/v1beta1/k8sallowed",
        "constraints.gatekeeper.sh/v1beta1/k8srequired",
        "openreports.io/v1alpha1/clusterreports",
        "openreports.io/v1alpha1/reports",
        "wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
        "wgpolicyk8s.io/v1alpha2/policyreports",
    ]
    assert [(r.kind, r.namespaced) for r in discovery.served if r.group == OPEN_REPORTS] == [
        ("Clusterreports", False),
        ("Reports", True),
    ]


@pytest.mark.parametrize(
    ("versions", "read"),
    [
        (["v1alpha2", "v1beta1", "v1alpha1"], "v1alpha2"),
        (["v1beta1", "v1alpha2"], "v1alpha2"),
        (["v1beta1"], "v1beta1"),
        (["v1beta1", "v1beta2"], "v1beta1"),
    ],
)
async def test_one_version_of_each_resource(api: ApiServer, versions: list[str], read: str) -> None:
    """The same object is served in every version; only the preferred one is read."""
    serve(api, POLICY_REPORTS, {version: ["policyreports", "clusterpolicyreports"] for version in versions})
    discovery = await found(api)
    assert paths(discovery) == [f"wgpolicyk8s.io/{read}/clusterpolicyreports", f"wgpolicyk8s.io/{read}/policyreports"]


async def test_resources_of_one_group_in_different_versions(api: ApiServer) -> None:
    """If two producers installed one CRD each, both are read, each once."""
    serve(api, POLICY_REPORTS, {"v1alpha2": ["policyreports"], "v1beta1": ["policyreports", "clusterpolicyreports"]})
    discovery = await found(api)
    assert paths(discovery) == ["wgpolicyk8s.io/v1alpha2/policyreports", "wgpolicyk8s.io/v1beta1/clusterpolicyreports"]


async def test_only_unsupported_versions(api: ApiServer) -> None:
    """v1alpha1 alone is not absence: reports exist, in a form that is not read."""
    serve(api, POLICY_REPORTS, {"v1alpha1": ["policyreports"]})
    discovery = await found(api)
    assert discovery.served == ()
    assert discovery.unknown == {POLICY_REPORTS: "serves only v1alpha1; v1alpha2 or v1beta1 is needed"}


async def test_a_resource_that_cannot_be_watched(api: ApiServer) -> None:
    """Without the verbs list and watch it is not a source."""
    serve(api, OPEN_REPORTS, {"v1alpha1": resources(["reports"], ["get", "list"])})
    assert await found(api) == Discovery(served=(), unknown={})


@pytest.mark.parametrize(
    "answer",
    [
        refusal(503, "ServiceUnavailable"),
        refusal(403, "Forbidden"),
        refusal(404, "NotFound"),
        Answer(200, b"<html>"),
        Answer(0),
    ],
    ids=["503", "403", "404", "html", "cut"],
)
async def test_an_unreadable_version_makes_its_group_unknown(api: ApiServer, answer: Answer) -> None:
    """It proves nothing, and another version is not used instead."""
    serve(api, POLICY_REPORTS, {"v1alpha2": answer, "v1beta1": ["policyreports", "clusterpolicyreports"]})
    serve(api, OPEN_REPORTS, {"v1alpha1": ["reports"]})
    discovery = await found(api)
    assert list(discovery.unknown) == [POLICY_REPORTS]
    assert paths(discovery) == ["openreports.io/v1alpha1/reports"]


@pytest.mark.parametrize(
    "answer",
    [refusal(500, "InternalError"), refusal(403, "Forbidden"), Answer(200, b"[]"), Answer(302, b"", {"Location": "/"})],
    ids=["500", "403", "not a group", "redirect"],
)
async def test_an_unreadable_group_is_unknown(api: ApiServer, answer: Answer) -> None:
    """Its failure is no evidence, and does not hide other groups."""
    api.documents[f"/apis/{CONSTRAINTS}"] = answer
    serve(api, OPEN_REPORTS, {"v1alpha1": ["reports", "clusterreports"]})
    discovery = await found(api)
    assert list(discovery.unknown) == [CONSTRAINTS]
    assert len(discovery.served) == 2


async def test_unreachable() -> None:
    """An unreachable server makes every group unknown; nothing is raised."""
    async with Connection(Access(server="http://127.0.0.1:1")) as connection:
        discovery = await discover(connection, {POLICY_REPORTS, CONSTRAINTS})
    assert sorted(discovery.unknown) == [CONSTRAINTS, POLICY_REPORTS]


async def test_only_requested_groups(api: ApiServer) -> None:
    """Disabled groups are neither read nor reported."""
    serve(api, OPEN_REPORTS, {"v1alpha1": ["reports"]})
    async with Connection(Access(server=api.url)) as connection:
        discovery = await discover(connection, {POLICY_REPORTS})
    assert discovery == Discovery(served=(), unknown={})
    assert len(api.requests) == 1


async def test_policy_kinds(api: ApiServer) -> None:
    """Each in the first version that serves it; other kinds of the group, and unknown versions, are ignored; a group
    with an error is unknown.
    """
    serve(api, KYVERNO, {"v2": ["cleanuppolicies"], "v1": ["clusterpolicies", "policies", "updaterequests"]})
    serve(api, KYVERNO_CEL, {"v1beta1": ["namespacedvalidatingpolicies"], "v1": ["validatingpolicies"]})
    serve(api, KUBEWARDEN, {"v1alpha2": ["admissionpolicies"]})
    api.documents[f"/apis/{ADMISSION}"] = Answer(403, b"{}")
    serve(api, TEMPLATES, {"v1": ["constrainttemplates"]})
    async with Connection(Access(server=api.url)) as connection:
        found = await discover_policies(connection, SOURCE_GROUPS)
        templates = await discover_policies(connection, {CONSTRAINTS})
    assert paths(found) == [
        "kyverno.io/v1/clusterpolicies",
        "kyverno.io/v1/policies",
        "policies.kyverno.io/v1/validatingpolicies",
        "policies.kyverno.io/v1beta1/namespacedvalidatingpolicies",
        "templates.gatekeeper.sh/v1/constrainttemplates",
    ]
    assert list(found.unknown) == [ADMISSION]
    assert paths(templates) == ["templates.gatekeeper.sh/v1/constrainttemplates"]
