"""What is read from a policy report, case by case."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.model.violation import Identity, Malformed, ParsedReport, SourceKey, Subject, Violation
from policyhub.sources import reports
from policyhub.sources.problems import FOREIGN_NAMESPACE, NO_POLICY, UNKNOWN_RESULT, UNNAMED_OBJECT
from policyhub.sources.wire import MALFORMED_MEMBER, MALFORMED_RESULT

NOW = 1_800_000_000
LATEST = NOW + 300

SCOPE = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "cart"}
CART = Subject("apps", "Deployment", "shop", "cart")


def document(*results: Any, **members: Any) -> dict[str, Any]:
    """A namespaced report on a Deployment; `members` replace what it has, None leaves a member out."""
    made: dict[str, Any] = {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": "r", "namespace": "shop", "creationTimestamp": "2026-11-25T01:21:16Z"},
        "scope": SCOPE,
        "results": list(results),
        **members,
    }
    return {name: value for name, value in made.items() if value is not None}


def result(**members: Any) -> dict[str, Any]:
    made = {"policy": "p", "rule": "r", "source": "kyverno", "result": "fail", "message": "m", **members}
    return {name: value for name, value in made.items() if value is not None}


def read(made: dict[str, Any], *, group: str = "wgpolicyk8s.io", resource: str = "policyreports") -> ParsedReport:
    return reports.read(group, resource, json.dumps(made).encode(), latest=LATEST)


def passed(made: dict[str, Any]) -> list[Identity]:
    return sorted(reports.passed("wgpolicyk8s.io", "policyreports", json.dumps(made).encode()))


def only(parsed: ParsedReport) -> Violation:
    (violation,) = parsed.plain_violations
    return violation


def test_a_failing_result_becomes_a_violation() -> None:
    """Every part that a finding is made of comes from where the report has it."""
    parsed = read(
        document(
            result(
                severity="high",
                category=" Pod Security ",
                message="not good\n",
                properties={"controls": "c", "process": "background scan", "empty": " "},
                timestamp={"seconds": NOW, "nanos": -5},
            )
        )
    )
    assert parsed == ParsedReport(
        key=SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r"),
        violations=(
            (
                Violation(
                    source="kyverno",
                    policy="p",
                    rule="r",
                    subject=CART,
                    discriminator="",
                    result="fail",
                    severity="HIGH",
                    category="Pod Security",
                    message="not good",
                    properties=(("controls", "c"),),
                    api_version="apps/v1",
                ),
                NOW,
            ),
        ),
        created=1795569676,
        complete=True,
        newest=NOW,
        newest_by=(("kyverno", NOW),),
        scanned=((Subject("apps", "Deployment", "shop", "cart"), "kyverno"),),
    )
    assert parsed.key.source_api == "policyreports.wgpolicyk8s.io"


def test_a_raw_slice_of_a_listing_reads_like_bytes() -> None:
    """The reflector hands over undecoded slices of a page."""
    whole = json.dumps({"items": [document(result())]}).encode()
    raw = msgspec.json.decode(whole, type=dict[str, list[msgspec.Raw]])["items"][0]
    assert reports.read("wgpolicyk8s.io", "policyreports", raw, latest=LATEST) == read(document(result()))
    assert reports.passed("wgpolicyk8s.io", "policyreports", raw) == frozenset()


@pytest.mark.parametrize("word", ["pass", "skip"])
def test_passing_results_are_no_violations_but_evidence(word: str) -> None:
    """`pass` and `skip` say that there is no violation, and only `passed` tells of them."""
    made = document(result(result=word), result(rule="bad"))
    assert [v.rule for v in read(made).plain_violations] == ["bad"]
    assert passed(made) == [Identity("kyverno", "p", "r", Subject("apps", "Deployment", "shop", "cart"), "")]


@pytest.mark.parametrize("word", ["fail", "warn", "error", "info", None, 7])
def test_what_also_fails_has_not_passed(word: object) -> None:
    """A pass is no evidence where another result of the same identity says otherwise, or nothing that is known."""
    assert passed(document(result(result="pass"), result(result=word))) == []


@pytest.mark.parametrize("unreadable", [{"policy": 7}, {"resources": [7]}, {"properties": []}])
def test_nothing_has_passed_beside_what_cannot_be_read(unreadable: dict[str, Any]) -> None:
    """It may be another result of the same identity, which fails."""
    assert passed(document(result(result="pass"), result(**unreadable))) == []


@pytest.mark.parametrize("word", ["info", "FAIL", "", None])
def test_an_unknown_result_is_counted_and_proves_nothing(word: object) -> None:
    """A word outside the API's enum makes no violation, and its absence from the violations is no evidence."""
    parsed = read(document(result(result=word), result(rule="other")))
    assert [v.rule for v in parsed.plain_violations] == ["other"]
    assert (parsed.problems, parsed.complete) == ((UNKNOWN_RESULT,), False)


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", "CRITICAL"),
        ("high", "HIGH"),
        ("medium", "MEDIUM"),
        ("Medium", "MEDIUM"),
        (" low ", "LOW"),
        ("info", "INFORMATIONAL"),
        ("", None),
        (None, None),
        ("terrible", None),
    ],
)
def test_severities_map_without_regard_to_case(word: str | None, severity: str | None) -> None:
    """A severity that is missing or unknown stays None, so that the default applies."""
    assert only(read(document(result(severity=word)))).severity == severity


OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "u"}
REPLICASET = Subject("apps", "ReplicaSet", "shop", "cart-1")
ITSELF = Subject("wgpolicyk8s.io", "PolicyReport", "shop", "r")


@pytest.mark.parametrize(
    ("members", "scope", "owners", "subjects"),
    [
        pytest.param({}, SCOPE, [OWNER], [CART], id="scope"),
        pytest.param({}, None, [OWNER], [REPLICASET], id="first owner"),
        pytest.param({}, {}, [OWNER], [REPLICASET], id="empty scope"),
        pytest.param({}, None, [], [ITSELF], id="report itself"),
        pytest.param({"resourceSelector": {}}, SCOPE, [], [CART], id="Kubewarden's empty selector"),
        pytest.param(
            {"resourceSelector": {"matchLabels": {"a": "b"}}}, SCOPE, [], [CART], id="a selector names nobody"
        ),
        pytest.param({"resources": None}, SCOPE, [], [CART], id="null resources"),
        pytest.param({"resources": []}, SCOPE, [], [CART], id="no resources"),
        pytest.param({"resources": [None]}, SCOPE, [], [CART], id="a null resource"),
        pytest.param({"resources": [{"kind": "Secrets"}]}, None, [], [ITSELF], id="Falco's nameless resource"),
        pytest.param(
            {"resources": [{"apiVersion": "v1", "kind": "Pod", "name": "b"}, {"kind": "Job", "name": "a"}]},
            SCOPE,
            [],
            [Subject("", "Pod", "shop", "b"), Subject("batch", "Job", "shop", "a")],
            id="each resource",
        ),
        pytest.param(
            {"resources": [{"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "ReplicaSet", "name": "cart-1"}]},
            SCOPE,
            [],
            [REPLICASET],
            id="Trivy's own apiVersion on a workload",
        ),
        pytest.param(
            {"resources": [{"apiVersion": "v1", "kind": "Namespace", "name": "shop"}]},
            SCOPE,
            [],
            [Subject("", "Namespace", "", "shop")],
            id="the report's own Namespace",
        ),
        pytest.param(
            {"resources": [{"apiVersion": "v1", "kind": "Namespace", "name": "bank"}]},
            SCOPE,
            [],
            [Subject("", "Namespace", "shop", "bank")],
            id="another Namespace stays a statement of this one",
        ),
        pytest.param(
            {"resources": [{"apiVersion": "v1", "kind": "Node", "name": "n"}]},
            SCOPE,
            [],
            [Subject("", "Node", "shop", "n")],
            id="a Node stays a statement of this namespace",
        ),
    ],
)
def test_the_object_of_a_result(
    members: dict[str, Any], scope: dict[str, Any] | None, owners: list[dict[str, Any]], subjects: list[Subject]
) -> None:
    """Resources, then the scope, then the first owner, then the report itself; a selector names no object."""
    made = document(result(**members), scope=scope)
    made["metadata"]["ownerReferences"] = owners
    assert [v.subject for v in read(made).plain_violations] == sorted(subjects)
    made["results"][0]["result"] = "pass"
    assert [identity.subject for identity in passed(made)] == sorted(subjects)


def test_a_cluster_report_speaks_for_every_namespace() -> None:
    """Who may write cluster reports is trusted with the whole cluster."""
    refs = [
        {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "p"},
        {"apiVersion": "v1", "kind": "Node", "name": "n"},
        {"name": "kube-system/pod-kube-apiserver"},
    ]
    made = document(result(resources=refs), metadata={"name": "r"}, scope=None)
    assert [v.subject for v in read(made).plain_violations] == [
        Subject("", "", "", "kube-system/pod-kube-apiserver"),
        Subject("", "Node", "", "n"),
        Subject("", "Pod", "shop", "p"),
    ]
    alone = read(document(result(), metadata={"name": "r"}, scope=None))
    assert only(alone).subject == Subject("wgpolicyk8s.io", "ClusterPolicyReport", "", "r")


@pytest.mark.parametrize("place", ["resources", "scope"])
def test_a_namespaced_report_says_nothing_about_another_namespace(place: str) -> None:
    """Neither its failures nor its passes reach an object of another namespace; they are counted."""
    foreign = {"apiVersion": "v1", "kind": "Pod", "namespace": "bank", "name": "vault"}
    members = {"resources": [foreign]} if place == "resources" else {}
    made = document(result(**members), result(rule="q", result="pass", **members), scope=foreign)
    parsed = read(made)
    assert parsed.plain_violations == ()
    assert parsed.problems == (FOREIGN_NAMESPACE,)
    assert parsed.complete, "what this report may not say is no gap in what it says"
    assert passed(made) == []


def test_the_same_statement_through_the_other_api_is_the_same_violation() -> None:
    """Neither the group nor the version nor the report's name is part of a violation."""
    wg = document(result(), result(rule="self"))
    other = {**wg, "apiVersion": "openreports.io/v1alpha1", "kind": "Report", "source": "whatever"}
    assert read(wg).plain_violations == read(other, group="openreports.io", resource="reports").plain_violations
    wg.pop("scope"), other.pop("scope")
    assert read(wg).plain_violations == read(other, group="openreports.io", resource="reports").plain_violations


@pytest.mark.parametrize(
    ("own", "report_source", "labels", "properties", "source"),
    [
        ("kyverno", "x", {"app.kubernetes.io/managed-by": "y"}, {}, "kyverno"),
        (" ", "openreports", {"app.kubernetes.io/managed-by": "y"}, {}, "openreports"),
        (None, None, {"app.kubernetes.io/managed-by": "kubewarden"}, {}, "kubewarden"),
        (None, "", {"wgpolicyk8s.io/engine": "kube-cis"}, {}, "kube-cis"),
        (None, None, {"policy.kubernetes.io/engine": "falco-agent"}, {}, "Falco"),
        (None, None, {}, {"index": "1.1.1", "audit": "a", "test_info": "t"}, "Kube Bench"),
        (None, None, {}, {"index": "1.1.1"}, "unknown"),
        (None, None, None, None, "unknown"),
    ],
)
def test_the_source(
    own: str | None,
    report_source: str | None,
    labels: dict[str, str] | None,
    properties: dict[str, str] | None,
    source: str,
) -> None:
    """The result's own source, else the report's, else the engine's label, else its marks; never empty."""
    made = document(result(source=own, properties=properties), source=report_source)
    made["metadata"]["labels"] = labels
    assert only(read(made)).source == source


def test_packages_with_one_vulnerability_are_apart() -> None:
    """Trivy reports a CVE once for each package; the package is part of the identity, its version is not."""
    packages = [
        result(source="Trivy Vulnerability", rule=None, properties={"resource": name, "installedVersion": "1"})
        for name in ("apt", "libapt")
    ]
    assert [v.discriminator for v in read(document(*packages)).plain_violations] == ["apt", "libapt"]


def test_trivys_result_id_is_no_part_of_an_identity() -> None:
    """The adapter hashes the result and the owner's uid into it: a pass could never end its own failure."""
    failing = result(source="Trivy RbacAssessment", properties={"resultID": "of-the-failure"})
    passing = result(source="Trivy RbacAssessment", result="pass", properties={"resultID": "of-the-pass"})
    violation = only(read(document(failing)))
    assert passed(document(passing)) == [violation.identity]
    assert violation.properties == ()


def test_a_compliance_report_names_its_benchmark() -> None:
    """Trivy's adapter makes the benchmark the report's owner; no other source's report gets one."""
    owner = {"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "ClusterComplianceReport", "name": "nsa"}
    for source, properties in (("Trivy Compliance", (("benchmark", "nsa"), ("id", "x"))), ("other", (("id", "x"),))):
        made = document(result(source=source, properties={"id": "x"}), metadata={"name": "r"}, scope=None)
        made["metadata"]["ownerReferences"] = [owner]
        assert only(read(made)).properties == properties
        assert read(made).key.name == "r"


def test_kube_bench_checks_are_apart_by_their_index() -> None:
    """Old kube-bench adapters give one policy and one rule to a whole section."""
    checks = [
        result(source=None, properties={"index": index, "audit": "a", "test_info": "t"}) for index in ("1.1.1", "1.1.2")
    ]
    assert [v.discriminator for v in read(document(*checks)).plain_violations] == ["1.1.1", "1.1.2"]


@pytest.mark.parametrize(
    ("stamp", "second"),
    [
        ({"seconds": NOW, "nanos": 0}, NOW),
        ({"seconds": LATEST}, LATEST),
        ({"seconds": LATEST + 1}, None),
        ({"seconds": 0, "nanos": 0}, None),
        ({"seconds": 59}, None),
        ({"seconds": -1}, None),
        ({"seconds": 10**30}, None),
        ({"seconds": 1420070400}, 1420070400),
        ({}, None),
        (None, None),
        ("2026-11-25T01:21:16Z", 1795569676),
        ("2026-11-25T02:21:16.5+01:00", 1795569676),
        ("1970-01-01T00:00:59Z", None),
        ("2026-11-25", None),
        ("yesterday", None),
    ],
)
def test_only_plausible_times_are_believed(stamp: object, second: int | None) -> None:
    """Seconds of the minute, zero, the far future and words are no times, RFC 3339 (Kubescape) is one; the violation
    stands without one.
    """
    parsed = read(document(result(timestamp=stamp)))
    assert [observed for _, observed in parsed.violations] == [second]
    assert parsed.newest == second


def test_the_newest_time_counts_passes_too() -> None:
    """It tells how fresh the engine's view is, whatever the engine saw."""
    parsed = read(document(result(result="pass", timestamp={"seconds": NOW}), result(timestamp={"seconds": NOW - 9})))
    assert parsed.newest == NOW


KUBE_BENCH = {"index": "1", "audit": "a", "test_info": "t"}


@pytest.mark.parametrize(
    ("results", "newest_by"),
    [
        pytest.param([("kyverno", "fail", NOW - 1), ("kyverno", "pass", NOW)], {"kyverno": NOW}, id="a pass"),
        pytest.param([("kyverno", "skip", NOW), ("kyverno", "fail", NOW - 1)], {"kyverno": NOW}, id="a skip"),
        pytest.param([(" kyverno", "pass", NOW), ("kyverno", "fail", 7)], {"kyverno": NOW}, id="spelt otherwise"),
        pytest.param(
            [("b", "fail", NOW), ("a", "pass", NOW - 2), ("b", "fail", NOW - 1), ("a", "fail", None)],
            {"a": NOW - 2, "b": NOW},
            id="two, sorted",
        ),
        pytest.param([("a", "fail", None), ("b", "fail", 7), ("c", "pass", LATEST + 1)], {}, id="no plausible time"),
    ],
)
def test_the_newest_time_by_source(results: list[tuple[str, str, int | None]], newest_by: dict[str, int]) -> None:
    """Each source that gave any result with a plausible time; the newest of all is the object's."""
    parsed = read(
        document(
            *(
                result(source=source, rule=str(number), result=word, timestamp={"seconds": second, "nanos": 0})
                for number, (source, word, second) in enumerate(results)
            )
        )
    )
    assert parsed.newest_by == tuple(sorted(newest_by.items()))
    assert parsed.newest == max(newest_by.values(), default=None)
    assert (parsed.audited, parsed.boundary) == (None, None)


@pytest.mark.parametrize(
    ("members", "labels", "named"),
    [
        pytest.param({}, {}, [("unknown", NOW - 1), ("kyverno", NOW)], id="nothing"),
        pytest.param({"source": "r"}, {}, [("r", NOW - 1), ("kyverno", NOW)], id="the report's source"),
        pytest.param({}, {"wgpolicyk8s.io/engine": "e"}, [("e", NOW - 1), ("kyverno", NOW)], id="the engine's label"),
    ],
)
@pytest.mark.parametrize("own", [None, "", " "])
def test_a_source_is_named_as_its_violations_name_it(
    own: str | None, members: dict[str, Any], labels: dict[str, str], named: list[tuple[str, int]]
) -> None:
    """Where a result names no source, what stands in for it in the violation stands in for it here."""
    made = document(
        result(source=own, timestamp={"seconds": NOW - 1}), result(rule="other", timestamp={"seconds": NOW}), **members
    )
    made["metadata"]["labels"] = labels
    parsed = read(made)
    assert parsed.newest_by == tuple(sorted(named))
    assert {violation.source for violation in parsed.plain_violations} == {source for source, _ in named}


def test_marks_of_one_result_name_no_other() -> None:
    """Properties tell the source of their own result alone, whatever the order."""
    bench = result(source=None, properties=KUBE_BENCH, timestamp={"seconds": NOW - 1})
    plain = result(source=None, rule="other", result="pass", timestamp={"seconds": NOW})
    for results in ([bench, plain], [plain, bench]):
        assert read(document(*results)).newest_by == (("Kube Bench", NOW - 1), ("unknown", NOW))


MERGED = [
    result(message="b", severity="low", result="fail", timestamp={"seconds": NOW}),
    result(message="a", severity="critical", result="warn", timestamp={"seconds": NOW - 5}),
    result(message="c", severity="critical", result="error"),
    result(message="d", severity="high", result="fail"),
    result(message="d", severity="high", result="fail"),
]


@pytest.mark.parametrize("seed", range(6))
def test_results_of_one_identity_are_one_violation(seed: int) -> None:
    """The worst result speaks, then the worst severity; the messages of all are listed, in whatever order they came."""
    shuffled = random.Random(seed).sample(MERGED, len(MERGED))  # noqa: S311 - an order, no secret
    parsed = read(document(*shuffled))
    violation = only(parsed)
    assert (violation.result, violation.severity, violation.message) == ("fail", "HIGH", "a • b • c • d")
    assert parsed.violations[0][1] == NOW - 5


def test_the_list_of_messages_is_bounded() -> None:
    """A rule that fails in a thousand places makes one finding, of which nobody reads a thousand messages."""
    message = only(read(document(*(result(message=f"{n:04}") for n in range(1000))))).message
    assert message.startswith("0000 • 0001")
    assert message.endswith(" • and 984 more")
    assert len(only(read(document(*(result(message=str(n) * 3000) for n in range(10))))).message) == 2048


def test_a_rewrite_without_news_reads_the_same() -> None:
    """New times, resourceVersion, labels, order and uids: nothing that a finding shows has changed."""
    before = document(
        result(timestamp={"seconds": NOW}, properties={"process": "background scan", "policy-resource-version": "1"}),
        result(rule="z", timestamp={"seconds": NOW}),
    )
    after = document(
        result(rule="z", timestamp={"seconds": NOW + 60}),
        result(timestamp={"seconds": NOW + 60}, properties={"process": "admission review", "policy-uid": "2"}),
        summary={"fail": 7},
    )
    after["metadata"] |= {"resourceVersion": "9", "generation": 4, "uid": "new", "labels": {"run-uid": "x"}}
    assert read(before).plain_violations == read(after).plain_violations


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        pytest.param({"message": 7}, MALFORMED_MEMBER, id="message"),
        pytest.param({"severity": ["high"]}, MALFORMED_MEMBER, id="severity"),
        pytest.param({"timestamp": "yesterday"}, MALFORMED_MEMBER, id="time as text"),
        pytest.param({"timestamp": {"seconds": "7"}}, MALFORMED_MEMBER, id="seconds as text"),
        pytest.param({"policy": 7}, MALFORMED_RESULT, id="policy"),
        pytest.param({"rule": True}, MALFORMED_RESULT, id="rule"),
        pytest.param({"source": {}}, MALFORMED_RESULT, id="source"),
        pytest.param({"resources": "x"}, MALFORMED_RESULT, id="resources"),
        pytest.param({"resources": [{"name": 7}]}, MALFORMED_RESULT, id="a resource's name"),
        pytest.param({"resources": ["pod"]}, MALFORMED_RESULT, id="a resource"),
        pytest.param({"properties": ["a"]}, MALFORMED_RESULT, id="properties"),
        pytest.param({"policy": None, "rule": ""}, NO_POLICY, id="neither policy nor rule"),
    ],
)
def test_one_bad_member_does_not_lose_the_others(broken: dict[str, Any], problem: str) -> None:
    """What describes is left out, what identifies is never guessed, and the other results stand either way."""
    parsed = read(document(result(rule="before"), result(**broken), result(rule="after")))
    rules = [v.rule for v in parsed.plain_violations]
    assert rules == (["after", "before", "r"] if problem == MALFORMED_MEMBER else ["after", "before"])
    assert parsed.problems == (problem,)
    assert parsed.complete == (problem == MALFORMED_MEMBER)


def test_property_values_that_are_no_text_are_written_as_json() -> None:
    """Numbers and booleans are readable; nested values are left out."""
    odd = result(properties={"n": 1.5, "b": True, "s": "x", "deep": {}, "none": None})
    assert only(read(document(odd))).properties == (("b", "true"), ("n", "1.5"), ("s", "x"))


@pytest.mark.parametrize(
    ("members", "results", "problems"),
    [
        pytest.param({"results": None}, 0, (), id="no results"),
        pytest.param({"results": "none"}, 0, (MALFORMED_RESULT,), id="results as text"),
        pytest.param({"results": [None, result()]}, 1, (), id="null result"),
        pytest.param({"results": [7, result()]}, 1, (MALFORMED_RESULT,), id="number as result"),
        pytest.param({"source": 7}, 1, (MALFORMED_MEMBER,), id="source"),
        pytest.param({"configuration": []}, 1, (MALFORMED_MEMBER,), id="configuration"),
        pytest.param({"summary": {"error": "many"}}, 1, (MALFORMED_MEMBER,), id="summary"),
        pytest.param({"scope": "cart"}, 0, (MALFORMED_RESULT,), id="scope as text"),
        pytest.param({"scope": {"kind": 7}}, 0, (MALFORMED_RESULT,), id="a scope's kind"),
    ],
)
def test_odd_reports_are_read_as_far_as_they_go(
    members: dict[str, Any], results: int, problems: tuple[str, ...]
) -> None:
    """No member but the name is required, and a scope that cannot be read is not replaced by another object."""
    parsed = read(document(**{"results": [result()], **members}))
    assert (len(parsed.plain_violations), parsed.problems) == (results, problems)


def test_metadata_is_read_as_far_as_it_goes() -> None:
    """An odd label or time loses neither the key nor the results; odd owners blame nobody."""
    made = document(result())
    made["metadata"] |= {"labels": {"a": 1}, "creationTimestamp": "yesterday", "ownerReferences": "x"}
    parsed = read(made)
    assert (parsed.key.name, parsed.created, len(parsed.plain_violations)) == ("r", None, 1)
    del made["scope"]
    assert read(made).plain_violations == ()


def test_a_null_creation_time_is_none() -> None:
    """Go writes null for the zero time."""
    assert read(document(metadata={"name": "r", "creationTimestamp": None})).created is None


def test_a_report_that_lists_its_fill_may_hide_more() -> None:
    """configuration.limits.maxResults cuts the list, so an absent result proves nothing."""
    limited = {"limits": {"maxResults": 1}}
    assert not read(document(result(), configuration=limited)).complete
    assert read(document(configuration=limited)).complete
    assert read(document(result(), configuration={"limits": {}})).complete


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"\xff", "not-json"),
        (b"[]", "not-an-object"),
        (b"null", "not-an-object"),
        (b"{}", "no-metadata"),
        (b'{"metadata": []}', "no-metadata"),
        (b'{"metadata": {}}', "no-name"),
        (b'{"metadata": {"name": ""}}', "no-name"),
        (b'{"metadata": {"name": 1}}', "no-name"),
        (b'{"kind": "PolicyReport", "metadata": {"name": "x", "namespace": 1}}', "no-name"),
    ],
)
def test_what_has_no_name_is_malformed(raw: bytes, reason: str) -> None:
    """There is no source object to say anything about; the error carries a fixed word for the metric."""
    with pytest.raises(Malformed) as caught:
        reports.read("wgpolicyk8s.io", "policyreports", raw, latest=LATEST)
    assert caught.value.reason == reason


def test_the_error_names_the_object_as_far_as_known() -> None:
    """Somebody must find it."""
    with pytest.raises(Malformed, match="'PolicyReport' named 'x' in namespace int"):
        read({"kind": "PolicyReport", "metadata": {"name": "x", "namespace": 1}})


def test_the_oldest_version_names_two_members_otherwise() -> None:
    """wgpolicyk8s.io/v1alpha1 has `status` and `data`, in files at least; no later version means anything by them."""
    old = {"policy": "p", "rule": "r", "status": "fail", "data": {"index": "1.1"}}
    read_old = read(document(old, {**old, "status": "pass"}, apiVersion="wgpolicyk8s.io/v1alpha1"))
    assert (only(read_old).properties, read_old.problems) == ((("index", "1.1"),), ())
    assert read(document(old)).problems == (UNKNOWN_RESULT,)
    odd = read(document({**old, "message": 1}, apiVersion="wgpolicyk8s.io/v1alpha1"))
    assert (only(odd).result, odd.problems) == ("fail", (MALFORMED_MEMBER,))


def test_an_object_without_a_name_among_others_is_counted() -> None:
    """Nothing can be said about it, and the others are told all the same."""
    parsed = read(document(result(resources=[SCOPE, {"kind": "Secrets"}])))
    assert (only(parsed).subject, parsed.problems, parsed.complete) == (CART, (UNNAMED_OBJECT,), True)
    alone = read(document(result(resources=[{"kind": "Secrets"}])))
    assert (only(alone).subject, alone.problems) == (CART, ())


@pytest.mark.parametrize(
    ("errors", "results", "complete"),
    [
        pytest.param(0, [], True, id="none"),
        pytest.param(None, [], True, id="not told"),
        pytest.param(1, ["error", "fail"], True, id="all listed"),
        pytest.param(2, ["error", "fail"], False, id="one not listed"),
        pytest.param(3, [], False, id="no result"),
    ],
)
def test_policies_that_could_not_be_evaluated_prove_nothing(
    errors: object, results: list[str], *, complete: bool
) -> None:
    """Kubewarden counts them and lists no result of them: what is missing may be theirs, what is there stands."""
    listed = [result(rule=word, result=word) for word in results]
    parsed = read(document(*listed, summary={"fail": results.count("fail"), "error": errors}))
    assert (parsed.complete, len(parsed.plain_violations)) == (complete, len(results))


@pytest.mark.parametrize(("words", "complete"), [(["pass"], False), (["fail"], True), ([], True), (None, True)])
def test_a_report_that_was_told_to_hide_failures_proves_nothing(words: object, *, complete: bool) -> None:
    """configuration.limits.statusFilter says which results are listed at all."""
    assert read(document(configuration={"limits": {"statusFilter": words}})).complete is complete


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["fail", "pass", "shop"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ("policy", "rule", "source", "category", "severity", "result", "message", "resources", "timestamp")
ODD = st.dictionaries(st.sampled_from([*MEMBERS, "properties"]), JSON)


@given(st.lists(ODD | JSON, max_size=4), JSON, JSON)
def test_whatever_a_report_holds_its_good_results_are_read(results: list[Any], scope: Any, owners: Any) -> None:
    """No content of a report with a name raises, and a result that names its object is never lost."""
    good = result(policy="good", resources=[SCOPE])
    made = document(*results, good, scope=scope)
    made["metadata"]["ownerReferences"] = owners
    parsed = read(made)
    assert [v.subject for v in parsed.plain_violations if v.policy == "good"] == [CART]
    assert all(v.source and v.subject.name for v in parsed.plain_violations)
    assert len({v.identity for v in parsed.plain_violations}) == len(parsed.plain_violations)
    passed(made)
