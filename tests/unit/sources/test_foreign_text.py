"""Reports and constraints that mean harm by what they say: nothing is lost, nothing pretends, nothing grows."""

import json
import time
from typing import Any

import pytest

from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.findings.digest import digest
from policyhub.findings.text import title, unnamed_subject
from policyhub.model.text import LIMIT, NAME
from policyhub.model.violation import Malformed, ParsedReport, SourceKey, Subject, Violation
from policyhub.sources import constraints, reports
from policyhub.sources.problems import INVALID_OBJECT, TEXT_TOO_LONG, UNPRINTABLE_TEXT
from tests.unit.findings.mapping import CLUSTER

LATEST = 2_000_000_000
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}


def result(**members: Any) -> dict[str, Any]:
    return {"policy": "p", "rule": "r", "result": "fail", "source": "kyverno", "resources": [CONFIG], **members}


def read(*results: dict[str, Any], namespace: str | None = "team-a", **members: Any) -> ParsedReport:
    metadata = {"name": "report", **({"namespace": namespace} if namespace else {})}
    body = {"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport", "metadata": metadata, "results": results}
    return reports.read("wgpolicyk8s.io", "policyreports", json.dumps({**body, **members}).encode(), latest=LATEST)


def only(parsed: ParsedReport) -> Violation:
    (violation,) = parsed.plain_violations
    return violation


@pytest.mark.parametrize("member", ["source", "policy", "rule"])
def test_long_parts_of_an_identity_are_cut_and_stay_apart(member: str) -> None:
    """Two texts that differ at their end only are two findings, each of bounded size; nothing counts as incomplete."""
    parsed = read(result(**{member: "x" * 50_000 + "1"}), result(**{member: "x" * 50_000 + "2"}))
    assert {len(getattr(violation, member)) for violation in parsed.plain_violations} == {LIMIT}
    assert len({violation.identity for violation in parsed.plain_violations}) == 2
    assert (parsed.problems, parsed.complete) == ((TEXT_TOO_LONG,) * 2, True)


@pytest.mark.parametrize("part", ["name", "namespace"])
def test_names_that_no_api_server_takes_are_cut_and_stay_apart(part: str) -> None:
    """A hostile API server may name an object as it likes: its key is bounded, its own, the same however it is read and
    counted; a name of the greatest length is none of that.
    """
    api = ("wgpolicyk8s.io", "policyreports")
    keys, kept = set(), {"name": "report", "namespace": "team-a"}
    for text in ("x" * 100_000 + "1", "x" * 100_000 + "2"):
        raw = json.dumps({"metadata": {**kept, part: text}, "results": [result(policy="p" if text[-1] == "1" else 7)]})
        parsed = reports.read(*api, raw.encode(), latest=LATEST)
        assert TEXT_TOO_LONG in parsed.problems
        assert parsed.key == SourceKey.named(*api, **{**kept, part: text})
        assert len(getattr(parsed.key, part)) == NAME
        keys.add(parsed.key)
    assert len(keys) == 2
    longest = json.dumps({"metadata": {**kept, part: "x" * NAME}}).encode()
    parsed = reports.read(*api, longest, latest=LATEST)
    assert (getattr(parsed.key, part), parsed.problems) == ("x" * NAME, ())


def test_a_constraint_s_name_is_cut_too() -> None:
    raw = json.dumps({"kind": "K8sRequiredLabels", "metadata": {"name": "x" * 100_000}}).encode()
    parsed = constraints.read("k8srequiredlabels", raw, latest=LATEST)
    assert len(parsed.key.name) == NAME
    assert TEXT_TOO_LONG in parsed.problems


@pytest.mark.parametrize("member", ["source", "policy", "rule"])
@pytest.mark.parametrize("extra", ["\u200b", "\x1b", "\u202e", "\U000e0041", "\x00"])
def test_parts_that_cannot_be_told_apart_stay_apart(member: str, extra: str) -> None:
    """`kyv<zero-width space>erno` is not kyverno, and does not read like it."""
    parsed = read(result(**{member: "kyverno"}), result(**{member: f"kyv{extra}erno"}))
    plain, other = sorted(getattr(violation, member) for violation in parsed.plain_violations)
    assert plain == "kyverno"
    assert other.startswith("kyverno~")
    assert (parsed.problems, parsed.complete) == ((UNPRINTABLE_TEXT,), True)


def test_what_only_describes_is_cut() -> None:
    """Category, keys, values, message: of one violation no more than 40 kB are kept, whatever is written."""
    properties = {f"{number}{'k' * 5_000}": "v" * 5_000 for number in range(200)}
    parsed = read(result(category="c" * 300_000, message="m" * 300_000, properties=properties))
    violation = only(parsed)
    assert len(violation.category) == LIMIT
    assert sum(len(key) + len(value) for key, value in violation.properties) <= 16_384
    assert sum(map(len, violation.identity.parts)) + len(violation.message) <= 4 * LIMIT + 2_048
    assert parsed.complete
    assert set(parsed.problems) == {TEXT_TOO_LONG}


def test_line_breaks_of_a_message_stay() -> None:
    """Digests of real messages hang on them."""
    assert only(read(result(message="one\ntwo\tthree\x1b[0m"))).message == "one\ntwo\tthree[0m"


@pytest.mark.parametrize(
    "reference",
    [
        {"kind": "Pod team-b/web", "name": "x"},
        {"kind": "K" * 64, "name": "x"},
        {"kind": "Pod", "name": "a b"},
        {"kind": "Pod", "name": "team-b/web/x"},
        {"kind": "Pod", "name": ".."},
        {"kind": "Pod", "name": "a%2fb"},
        {"kind": "Pod", "name": "n" * 254},
        {"kind": "Pod", "name": "web\u202e"},
        {"kind": "Pod", "name": "web\n"},
        {"apiVersion": "a b/v1", "kind": "Pod", "name": "x"},
        {"apiVersion": f"{'a' * 300}/v1", "kind": "Pod", "name": "x"},
    ],
)
@pytest.mark.parametrize("where", ["resources", "scope"])
def test_what_is_no_object_is_none(reference: dict[str, str], where: str) -> None:
    """The violation counts for the report, so none is lost and nothing pretends; absence stays evidence."""
    bare = result(resources=[])
    parsed = read(result(resources=[reference])) if where == "resources" else read(bare, scope=reference)
    assert only(parsed).subject == Subject("wgpolicyk8s.io", "PolicyReport", "team-a", "report")
    assert (parsed.problems, parsed.complete) == ((INVALID_OBJECT,), True)


def test_the_objects_beside_it_stand() -> None:
    """And the report counts once, however many are none."""
    bad = [{"kind": "Pod", "name": f"a b{number}"} for number in range(1_000)]
    parsed = read(result(resources=[CONFIG, *bad]))
    assert {violation.subject.kind for violation in parsed.plain_violations} == {"ConfigMap", "PolicyReport"}
    assert parsed.problems == (INVALID_OBJECT,) * 1_000


@pytest.mark.parametrize(
    ("namespace", "members", "expected"),
    [
        pytest.param("team-a", {"source": "Kube Bench", "resources": []}, "report", id="a tenant's Kube Bench"),
        pytest.param(
            "team-a",
            {"resources": [{"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "ClusterPolicyReport", "name": "all"}]},
            "",
            id="a tenant that names a ClusterPolicyReport",
        ),
        pytest.param("team-a", {"resources": []}, "report", id="a tenant's report"),
        pytest.param(None, {"source": "Kube Bench", "resources": []}, "cluster", id="the cluster's Kube Bench"),
        pytest.param(None, {"resources": []}, "cluster", id="the cluster's report"),
    ],
)
def test_who_speaks_for_the_cluster(namespace: str | None, members: dict[str, Any], expected: str) -> None:
    """No report that lies in a namespace."""
    violation = only(read(result(**members), namespace=namespace))
    assert unnamed_subject(violation) == expected
    assert ("cluster prod" in title(violation, cluster="prod")) == (expected == "cluster")


def test_one_result_of_hostile_texts_is_rendered_at_once() -> None:
    """What took minutes: blanks in the category, in the message, in every property."""
    blanks = "a" + " " * 300_000 + "b"
    began = time.thread_time()
    for source in ("kyverno", "Kube Bench", "Trivy Compliance", "gatekeeper"):
        filled = {"index": blanks, "controls": blanks, "benchmark": blanks, "standard": blanks, "id": blanks}
        violation = only(
            read(result(source=source, category=blanks, message="\ufffd" * 300_000 + "x", properties=filled))
        )
        asff.render(
            violation,
            cluster=CLUSTER,
            finding_id="policyhub/prod/0",
            digest=digest(violation),
            source_api="o",
            created_at=WallMs(1),
            observed_at=WallMs(1),
            updated_at=WallMs(1),
            archived=False,
        )
    assert time.thread_time() - began < 2


NUMBERS = ["9" * 4_300, "9" * 5_000, "1e999", "-1e999", "1.5", '"' + "9" * 5_000 + '"', "NaN", "-0", "true", "null"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "member", ["timestamp.seconds", "configuration.limits.maxResults", "summary.error", "severity", "properties.score"]
)
def test_a_number_is_that_results_or_that_objects(member: str, number: str) -> None:
    """Whatever stands for a number: a reading, or Malformed; never another error."""
    first, *rest = member.split(".")
    inner = number
    for name in reversed(rest):
        inner = f'{{"{name}": {inner}}}'
    of_result = first in {"timestamp", "severity", "properties"}
    text = f'"{first}": {inner}'
    raw = (
        '{"apiVersion": "wgpolicyk8s.io/v1alpha2", "metadata": {"name": "n", "namespace": "a"}'
        f'{"" if of_result else ", " + text}, "results": [{{"policy": "p", "result": "fail"'
        f"{', ' + text if of_result else ''}}}]}}"
    ).encode()
    try:
        parsed = reports.read("wgpolicyk8s.io", "policyreports", raw, latest=LATEST)
    except Malformed:
        return
    assert len(parsed.plain_violations) == 1


@pytest.mark.parametrize("number", NUMBERS)
def test_a_constraints_total_is_a_number_that_can_be_shown(number: str) -> None:
    """Or it is malformed."""
    raw = (
        '{"kind": "K", "metadata": {"name": "n"}, "status": {"auditTimestamp": "2026-01-01T00:00:00Z",'
        f' "totalViolations": {number}, "violations": [{{"kind": "Pod", "name": "x"}}]}}}}'
    ).encode()
    try:
        parsed = constraints.read("k", raw, latest=LATEST)
    except Malformed:
        return
    assert 0 <= float(parsed.unlisted) <= 2**53


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0000-00-00T00:00:00Z",
        "x" * 9_000,
    ],
)
def test_times_at_the_ends_of_time(moment: str) -> None:
    """Of the object, of a result, of an audit."""
    parsed = read(result(timestamp=moment), metadata={"name": "n", "creationTimestamp": moment})
    assert len(parsed.plain_violations) == 1
    status = {"auditTimestamp": moment, "violations": [{"kind": "Pod", "name": "x"}]}
    raw = json.dumps({"kind": "K", "metadata": {"name": "n", "creationTimestamp": moment}, "status": status}).encode()
    assert len(constraints.read("k", raw, latest=LATEST).plain_violations) == 1


def test_an_entry_that_is_no_object_counts_for_its_constraint() -> None:
    """As Gatekeeper lists it: the violation is not lost, and the list shows no order any more."""
    entries = [{"kind": "Pod web", "name": "x", "version": "v1"}, {"kind": "Pod", "name": "a b", "version": "v1"}]
    status = {"auditTimestamp": "2026-01-01T00:00:00Z", "totalViolations": 9, "violations": entries}
    raw = json.dumps({"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}).encode()
    parsed = constraints.read("k8slimits", raw, latest=LATEST)
    assert only(parsed).subject == Subject("constraints.gatekeeper.sh", "K8sLimits", "", "limits")
    assert (parsed.boundary, parsed.problems) == (None, (INVALID_OBJECT,) * 2)


def test_a_constraint_of_long_names_is_bounded() -> None:
    """Kind, name, actions, message: of each what is read is short."""
    entry = {
        "kind": "Pod",
        "name": "x",
        "message": "m" * 99_999,
        "enforcementActions": [f"{n}{'a' * 9_999}" for n in range(99)],
    }
    status = {"auditTimestamp": "2026-01-01T00:00:00Z", "violations": [entry]}
    raw = json.dumps({"kind": "K" * 99_999, "metadata": {"name": "n" * 99_999}, "status": status}).encode()
    violation = only(constraints.read("k", raw, latest=LATEST))
    assert sum(map(len, violation.identity.parts)) + len(violation.message) + len(str(violation.properties)) < 16_384


@pytest.mark.parametrize(
    "raw",
    [
        b'{"kind": "' + b"K" * 90_000 + b'"}',
        b'{"metadata": {"name": 1, "namespace": "' + b"n" * 90_000 + b'"}}',
        b'{"kind": "\\u001b[2J", "metadata": {"namespace": {"a": [' + b"[" * 500 + b"]" * 500 + b"]}}}",
    ],
)
def test_what_an_error_repeats_is_short(raw: bytes) -> None:
    """It ends up in a log and on a terminal."""
    with pytest.raises(Malformed) as caught:
        reports.read("wgpolicyk8s.io", "policyreports", raw, latest=LATEST)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
