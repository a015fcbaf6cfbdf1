"""ExistenceClient on a real API server: whether objects and policies exist."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dev import crds
from dev.cluster import Cluster, ControlPlane
from policyhub.kube.kinds import EXPIRY_MS
from policyhub.model.violation import Subject
from policyhub.sync.existence import LIST_FROM, PolicyName, Presence, Referent
from policyhub.sync.existence_client import PAGE_SIZE
from tests.integration.kube.existence_rig import running_existence

Document = dict[str, Any]
COUNT = PAGE_SIZE + 20
ABSENT, PRESENT, UNKNOWN = Presence.ABSENT, Presence.PRESENT, Presence.UNKNOWN
VAP = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
POLICIES = "/apis/kyverno.io/v1/clusterpolicies"


def config_map(name: str, namespace: str = "shop") -> Document:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def of(kind: str, name: str, namespace: str = "shop", group: str = "") -> Subject:
    return Subject(group, kind, namespace, name)


@pytest.fixture(scope="module")
def alpha(plane: ControlPlane) -> Iterator[Cluster]:
    """A separate cluster, because one of its CRDs is deleted."""
    cluster = plane.cluster("asker")
    cluster.apply([namespace("shop"), namespace("bank"), *crds.policies()])
    cluster.apply(config_map(f"c{number:04}") for number in range(COUNT))
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "shop"}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "system:odd:name"},
                "rules": [],
            },
            {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "kept"}},
            {"apiVersion": "kyverno.io/v1", "kind": "Policy", "metadata": {"name": "kept", "namespace": "shop"}},
        ]
    )
    yield cluster
    cluster.stop()


async def in_thread(call: Callable[..., Document], *args: Any) -> Document:
    return await asyncio.to_thread(call, *args)


async def test_existing_and_deleted_objects(alpha: Cluster) -> None:
    """With uid and time of the last change, ignoring changes of the status; a new object of the same name is
    another.
    """
    async with running_existence(alpha.kubeconfig()) as stand:
        there, gone, role, space = await stand.answers(
            of("ConfigMap", "c0000"),
            of("ConfigMap", "never"),
            of("ClusterRole", "system:odd:name", "", "rbac.authorization.k8s.io"),
            of("Namespace", "shop", ""),
        )
        made = await in_thread(alpha.request, "GET", alpha.path(config_map("c0000")))
        assert (there.presence, there.uid) == (PRESENT, made["metadata"]["uid"])
        assert 0 < int(there.changed_at) <= time.time() * 1000 + 1_000
        assert [gone.presence, role.presence, space.presence] == [ABSENT, PRESENT, PRESENT]
        asked = stand.asker.requests
        await stand.answers(of("ConfigMap", "c0001"))
        assert stand.asker.requests == asked + 1

        await in_thread(alpha.request, "DELETE", alpha.path(config_map("c0000")))
        assert await stand.presence(of("ConfigMap", "c0000")) == [ABSENT]
        await in_thread(alpha.request, "POST", "/api/v1/namespaces/shop/configmaps", config_map("c0000"))
        (again,) = await stand.answers(of("ConfigMap", "c0000"))
        assert (again.presence, again.uid == there.uid) == (PRESENT, False)


async def test_objects_that_cannot_be_checked(alpha: Cluster) -> None:
    """Secrets cost no request; unserved groups and kinds, and namespaced kinds without a namespace, cost only
    discovery. A cluster-scoped object is checked as such, whichever report names it.
    """
    strange: tuple[Referent, ...] = (
        of("Unicorn", "a", group="fantasy.example"),
        of("Unicorn", "a"),
        of("Unicorn", "a", group="apps"),
        of("ConfigMap", "c0000", ""),
        of("PodExecOptions", "a"),
    )
    async with running_existence(alpha.kubeconfig()) as stand:
        assert await stand.presence(of("Secret", "token")) == [UNKNOWN]
        assert stand.asker.requests == 0
        assert await stand.until_refused(*strange, passes=EXPIRY_MS) == [UNKNOWN] * len(strange)
        assert stand.existence.forbidden == []
        assert await stand.presence(of("Namespace", "shop", "shop"), of("Namespace", "no", "shop")) == [PRESENT, ABSENT]


async def test_many_objects_cost_one_list(alpha: Cluster) -> None:
    """Some hundred objects of one kind cost two pages, including objects that do not exist."""
    async with running_existence(alpha.kubeconfig()) as stand:
        await stand.answers(of("ConfigMap", "c0001"))
        before = stand.asker.requests
        asked = [of("ConfigMap", f"c{number:04}") for number in range(COUNT + LIST_FROM)]
        assert await stand.presence(*asked) == [PRESENT] * COUNT + [ABSENT] * LIST_FROM
        assert stand.asker.requests - before == 2


async def test_a_terminating_namespace(alpha: Cluster) -> None:
    """Its objects exist until they are deleted; objects of a deleted namespace do not exist."""
    alpha.apply([namespace("ends"), *(config_map(f"e{number}", "ends") for number in range(LIST_FROM))])
    asked = [of("ConfigMap", f"e{number}", "ends") for number in range(LIST_FROM)]
    async with running_existence(alpha.kubeconfig()) as stand:
        await in_thread(alpha.request, "DELETE", "/api/v1/namespaces/ends")
        assert await stand.presence(*asked, of("Namespace", "ends", "")) == [PRESENT] * (LIST_FROM + 1)
        for number in range(LIST_FROM):  # as a controller manager does
            await in_thread(alpha.request, "DELETE", alpha.path(config_map(f"e{number}", "ends")))
        ending = await in_thread(alpha.request, "GET", "/api/v1/namespaces/ends")
        ending["spec"]["finalizers"] = []
        await in_thread(alpha.request, "PUT", "/api/v1/namespaces/ends/finalize", ending)
        assert await stand.presence(*asked, asked[0], of("Namespace", "ends", "")) == [ABSENT] * (LIST_FROM + 2)


async def test_forbidden_kinds(alpha: Cluster) -> None:
    """After two refusals some time apart the answer is UNKNOWN, and the missing permission is reported."""
    config = alpha.kubeconfig_for(namespace="default", service_account="nobody")
    async with running_existence(config) as stand:
        many = [of("Pod", f"p{number}") for number in range(LIST_FROM)]
        refused: tuple[Referent, ...] = (
            of("ConfigMap", "c0000"),
            of("ConfigMap", "never"),
            PolicyName("kyverno", "kept"),
            *many,
        )
        assert await stand.until_refused(*refused) == [UNKNOWN] * len(refused)
        assert stand.existence.forbidden == ["clusterpolicies.kyverno.io", "configmaps", "pods"]


async def test_policies(alpha: Cluster) -> None:
    """By the names that engines give them; policies of an uninstalled engine are unknown."""
    async with running_existence(alpha.kubeconfig()) as stand:
        asked = (
            PolicyName("kyverno", "kept"),
            PolicyName("kyverno", "lost"),
            PolicyName("kyverno", "shop/kept"),
            PolicyName("kyverno", "bank/kept"),
            PolicyName("ValidatingAdmissionPolicy", "never"),
            PolicyName("kubewarden", "namespaced-a-b-c"),
        )
        assert await stand.presence(*asked) == [PRESENT, ABSENT, PRESENT, ABSENT, ABSENT, ABSENT]
        assert await stand.presence(PolicyName("Trivy ConfigAudit", "a")) == [UNKNOWN]
        for plural in ("clusterpolicies", "policies"):
            await asyncio.to_thread(alpha.remove_crd, plural, "kyverno.io")
        assert await stand.until_refused(*asked[:4], passes=EXPIRY_MS) == [UNKNOWN] * 4
