"""Which policies a report shows at work."""

import json
from typing import Any

import pytest

from policyhub.model.violation import ParsedReport, Subject
from policyhub.sources import reader
from policyhub.sources.coverage import POLICIES

POD = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def read(*results: dict[str, Any], namespace: str = "shop", scope: dict[str, Any] | None = None) -> ParsedReport:
    document = {"metadata": {"name": "r", "namespace": namespace}, "results": results}
    if scope is not None:
        document["scope"] = scope
    resource = "policyreports" if namespace else "clusterpolicyreports"
    return reader.read("wgpolicyk8s.io", resource, json.dumps(document).encode(), latest=1_900_000_000)


def result(word: str, policy: str = "a", *resources: dict[str, Any], source: str = "kyverno") -> dict[str, Any]:
    return {"source": source, "policy": policy, "rule": "r", "result": word, "resources": list(resources)}


def pod(name: str = "p", namespace: str = "shop") -> Subject:
    return Subject("", "Pod", namespace, name)


@pytest.mark.parametrize("word", ["fail", "warn", "error", "pass", "skip", "what?"])
def test_any_result_shows_that_the_object_was_looked_at(word: str) -> None:
    """Whether the report is about the Pod, or the result names it."""
    for parsed in (read(result(word), scope=POD), read(result(word, "a", POD))):
        assert parsed.covered == ((pod(), frozenset({("kyverno", "a")})),)
        assert parsed.passing == ((("shop", frozenset({("kyverno", "a")})),) if word in {"pass", "skip"} else ())


def test_each_object_has_the_policies_that_spoke_of_it() -> None:
    """Of Pods, ReplicaSets and Jobs; what else passes shows only that its policy writes that."""
    other = {**POD, "name": "q"}
    parsed = read(
        result("pass", "a", POD, other), result("fail", "b", POD), result("pass", "c", WEB), result("fail", "d", WEB)
    )
    both = frozenset({("kyverno", "a"), ("kyverno", "b")})
    assert parsed.covered == ((pod(), both), (pod("q"), frozenset({("kyverno", "a")})))
    assert parsed.passing == (("shop", frozenset({("kyverno", "a"), ("kyverno", "c")})),)


def test_a_report_of_the_cluster_shows_it_where_its_objects_are() -> None:
    """Each namespace for itself; a namespaced report shows nothing of another namespace."""
    away = {**POD, "namespace": "team"}
    node = {"apiVersion": "v1", "kind": "Node", "name": "n"}
    parsed = read(result("pass", "a", away), result("pass", "b", node), result("skip", "c"), namespace="", scope=node)
    assert parsed.covered == ((pod(namespace="team"), frozenset({("kyverno", "a")})),)
    assert dict(parsed.passing) == {"": {("kyverno", "b"), ("kyverno", "c")}, "team": {("kyverno", "a")}}
    parsed = read(result("pass", "a", away))
    assert (parsed.covered, [namespace for namespace, _ in parsed.passing]) == ((), ["shop"])


@pytest.mark.parametrize("named", [True, False], ids=["results name it", "the report is about it"])
def test_a_report_of_any_number_of_policies_is_learned_from_up_to_a_bound(*, named: bool) -> None:
    """By whatever engines; the violations are taken all the same."""
    results = [
        result("pass" if n % 2 else "fail", f"p-{n}", *([POD] if named else []), source=f"engine-{n % 50}")
        for n in range(POLICIES + 500)
    ]
    parsed = read(*results, scope=POD)
    [(of, by)] = parsed.covered
    assert (of, len(by)) == (pod(), POLICIES)
    assert sum(len(passing) for _, passing in parsed.passing) == POLICIES // 2
    assert len(parsed.violations) == (POLICIES + 500) // 2


@pytest.mark.parametrize("about", [POD, WEB], ids=["a Pod", "a Deployment"])
@pytest.mark.parametrize("namespace", ["shop", ""], ids=["namespaced", "of the cluster"])
def test_a_report_shows_the_same_whether_its_results_name_the_object_or_it_does(
    about: dict[str, Any], namespace: str
) -> None:
    """Policies that pass, fail, do both, come from two sources, are too long; and no result at all."""
    about = {**about, "namespace": "shop"}
    plain = [
        result(word, policy, source=source)
        for word, policy in [("pass", "a"), ("fail", "a"), ("fail", "b"), ("skip", "c"), ("error", "p" * 2_000)]
        for source in ("kyverno", "kubewarden")
    ]
    named = [{**one, "resources": [about]} for one in plain]
    mixed = [*plain[:3], *named[3:]]
    expected = read(*named, namespace=namespace)
    assert expected.scanned
    assert expected.passing
    for results in (plain, mixed):
        parsed = read(*results, scope=about, namespace=namespace)
        assert (parsed.covered, parsed.scanned, parsed.passing) == (
            expected.covered,
            expected.scanned,
            expected.passing,
        )
    nothing = read(scope=about, namespace=namespace)
    assert (nothing.covered, nothing.scanned, nothing.passing) == ((), (), ())
