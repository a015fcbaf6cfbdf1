"""What is read from a Gatekeeper constraint, case by case."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.model.violation import Malformed, ObjectRef, ParsedReport, SourceKey, Subject, Violation, below
from policyhub.sources import constraints, reader
from policyhub.sources.wire import MALFORMED_MEMBER, MALFORMED_RESULT

AUDITED = 1_795_569_908
STAMP = "2026-11-25T01:25:08Z"
LATEST = AUDITED + 300


def entry(**members: Any) -> dict[str, Any]:
    made = {"group": "", "version": "v1", "kind": "Pod", "namespace": "shop", "name": "cart", "message": "m", **members}
    return {name: value for name, value in made.items() if value is not None}


def document(*violations: Any, spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "K8sLimits",
        "metadata": {"name": "must-have-limits", "creationTimestamp": STAMP, **metadata},
        "spec": {"enforcementAction": "deny"} if spec is None else spec,
        "status": {
            "auditTimestamp": STAMP,
            "totalViolations": len(violations),
            "violations": list(violations),
            "byPod": None,
        }
        if status is None
        else status,
    }


def read(made: dict[str, Any], *, latest: int = LATEST) -> ParsedReport:
    return constraints.read("k8slimits", json.dumps(made).encode(), latest=latest)


def only(parsed: ParsedReport) -> Violation:
    (violation,) = parsed.plain_violations
    return violation


@pytest.mark.parametrize(
    ("points", "complete"),
    [
        (["audit.gatekeeper.sh"], True),
        (["validation.gatekeeper.sh", "*"], True),
        (["validation.gatekeeper.sh"], False),
        ([], False),
    ],
    ids=["audit", "all", "admission only", "none"],
)
def test_scoped_constraint_is_audited_only_where_it_says_so(points: list[str], *, complete: bool) -> None:
    """A scoped constraint without the audit among its enforcement points lists nothing, which is no evidence."""
    scoped = [{"action": "deny", "enforcementPoints": [{"name": name} for name in points]}]
    made = document(spec={"enforcementAction": "scoped", "scopedEnforcementActions": scoped})
    assert read(made).complete == complete


def test_a_listed_violation() -> None:
    """The policy is the template's kind, the rule the constraint's name, the time the audit's."""
    assert read(document(entry())) == ParsedReport(
        key=SourceKey("constraints.gatekeeper.sh", "k8slimits", "", "must-have-limits"),
        violations=(
            (
                Violation(
                    source="gatekeeper",
                    policy="K8sLimits",
                    rule="must-have-limits",
                    subject=Subject("", "Pod", "shop", "cart"),
                    discriminator="",
                    result="fail",
                    severity=None,
                    enforcement="deny",
                    category="",
                    message="m",
                    properties=(("enforcementAction", "deny"),),
                    api_version="v1",
                ),
                AUDITED,
            ),
        ),
        created=AUDITED,
        complete=True,
        newest=AUDITED,
        audited=AUDITED,
        newest_by=(("gatekeeper", AUDITED),),
    )


@pytest.mark.parametrize(
    ("kind", "groups", "counts"),
    [
        ("Event", ["v1", "events.k8s.io/v1"], ""),
        ("Ingress", ["extensions/v1beta1", "networking.k8s.io/v1"], "networking.k8s.io"),
        ("Deployment", ["apps/v1", "extensions/v1beta1"], "apps"),
    ],
)
def test_an_object_of_two_groups_is_one(kind: str, groups: list[str], counts: str) -> None:
    """An audit of all groups lists what is served in two of them twice (kubernetes/kubernetes v1.34.4,
    pkg/registry/events/rest: Events of both are stored once). It is one violation, whichever comes first, and no list
    that names it so is in an order that tells.
    """
    listed = [
        entry(kind=kind, group=group, version=version)
        for group, _, version in (written.rpartition("/") for written in groups)
    ]
    both = read(document(*listed))
    assert only(both).subject == Subject(counts, kind, "shop", "cart")
    assert read(document(*reversed(listed))).plain_violations == both.plain_violations
    assert {only(read(document(one))).identity for one in listed} == {only(both).identity}


def test_the_end_of_a_list_tells_nothing_of_an_object_of_two_groups() -> None:
    """An Event may have been left out under its other name, which comes later in the order."""
    boundary = ObjectRef("apps", "v1", "Deployment", "shop", "cart")
    assert below(ObjectRef("", "v1", "ConfigMap", "shop", "cart"), boundary)
    assert not below(ObjectRef("", "v1", "Event", "shop", "cart"), boundary)


def test_the_reader_is_chosen_by_the_group() -> None:
    """A constraint never proves that an object passes: it names only what fails."""
    raw = json.dumps(document(entry())).encode()
    group = "constraints.gatekeeper.sh"
    assert reader.read(group, "k8slimits", raw, latest=LATEST) == read(document(entry()))
    assert reader.passed(group, "k8slimits", raw) == frozenset()
    report = b'{"metadata": {"name": "r"}, "results": [{"policy": "p", "source": "s", "result": "pass"}]}'
    assert reader.read("wgpolicyk8s.io", "clusterpolicyreports", report, latest=LATEST).plain_violations == ()
    assert len(reader.passed("wgpolicyk8s.io", "clusterpolicyreports", report)) == 1


@pytest.mark.parametrize(
    ("listed", "subject", "api_version"),
    [
        (entry(group="apps", kind="Deployment"), Subject("apps", "Deployment", "shop", "cart"), "apps/v1"),
        (entry(group=None, version=None, kind="Deployment"), Subject("apps", "Deployment", "shop", "cart"), ""),
        (entry(group=None, version=None), Subject("", "Pod", "shop", "cart"), ""),
        (entry(kind="Namespace", namespace=None), Subject("", "Namespace", "", "cart"), "v1"),
        (entry(kind="Namespace", namespace="cart"), Subject("", "Namespace", "", "cart"), "v1"),
    ],
)
def test_the_object(listed: dict[str, Any], subject: Subject, api_version: str) -> None:
    """Old entries without group or version name the same object as new ones."""
    violation = only(read(document(listed)))
    assert (violation.subject, violation.api_version) == (subject, api_version)


def test_several_violations_of_one_object_are_one() -> None:
    """One for each container: the finding lists their messages, in whatever order the audit wrote them."""
    one, two = entry(message="container b"), entry(message="container a")
    parsed = read(document(one, two, one, entry(name="other")))
    assert [v.message for v in parsed.plain_violations] == ["container a • container b", "m"]
    assert parsed.plain_violations == read(document(entry(name="other"), two, one, one)).plain_violations
    assert (parsed.complete, parsed.unlisted) == (True, 0)


@pytest.mark.parametrize(
    ("spec", "members", "action", "stated"),
    [
        ({}, {}, "deny", False),
        ({"enforcementAction": "deny"}, {}, "deny", True),
        ({"enforcementAction": "warn"}, {}, "warn", True),
        ({"enforcementAction": "dryrun"}, {}, "dryrun", True),
        ({"enforcementAction": "deny"}, {"enforcementAction": "dryrun"}, "dryrun", True),
        ({"enforcementAction": "shout"}, {}, "shout", True),
        (
            {
                "enforcementAction": "scoped",
                "scopedEnforcementActions": [{"action": "warn"}, {"action": "dryrun"}, None, {}],
            },
            {},
            "dryrun, warn",
            True,
        ),
        (
            {"enforcementAction": "scoped", "scopedEnforcementActions": []},
            {"enforcementAction": "scoped", "enforcementActions": ["warn", "deny"]},
            "deny, warn",
            True,
        ),
        ({"enforcementAction": "scoped"}, {}, "scoped", True),
    ],
)
def test_what_admission_would_do_is_no_severity(
    spec: dict[str, Any], members: dict[str, Any], action: str, *, stated: bool
) -> None:
    """Every violation is a `fail`, as bad as its policy is; what is done about it is kept as it was written."""
    violation = only(read(document(entry(**members), spec=spec)))
    assert (violation.result, violation.severity) == ("fail", None)
    assert violation.properties == (("enforcementAction", action),)
    assert violation.enforcement == (action if stated else "")


@pytest.mark.parametrize(
    ("annotations", "labels", "severity"),
    [
        ({"severity": "CRITICAL"}, {"severity": "info"}, "CRITICAL"),
        ({"policyhub.dev/severity": "low", "severity": "CRITICAL"}, None, "LOW"),
        (None, {"severity": "info"}, "INFORMATIONAL"),
        ({}, {"severity": "error"}, "HIGH"),
        ({}, {"severity": "warning"}, "MEDIUM"),
        ({}, {"severity": "debug"}, "INFORMATIONAL"),
        ({"severity": "whatever"}, {"severity": "low"}, "LOW"),
        ({"severity": "whatever"}, {}, None),
        ({"policycontroller.gke.io/constraintData": "\"{ severity: 'CRITICAL', id: 'x' }\""}, {}, "CRITICAL"),
        ({"policycontroller.gke.io/constraintData": '{"severity":"LOW"}'}, {}, "LOW"),
        ({"policycontroller.gke.io/constraintData": "{severity: 'UNSPECIFIED'}"}, {}, None),
        ({"policycontroller.gke.io/constraintData": "{severity: 'LOW'}", "severity": "info"}, {}, "INFORMATIONAL"),
    ],
)
def test_a_constraint_may_name_its_severity(
    annotations: dict[str, str] | None, labels: dict[str, str] | None, severity: str | None
) -> None:
    """Annotations, then labels; words that mean nothing leave it to the enforcement action."""
    assert only(read(document(entry(), annotations=annotations, labels=labels))).severity == severity


@pytest.mark.parametrize(
    ("status", "complete", "unlisted", "violations"),
    [
        pytest.param({"auditTimestamp": STAMP, "totalViolations": 0}, True, 0, 0, id="none"),
        pytest.param({"auditTimestamp": STAMP, "totalViolations": 3, "violations": [entry()]}, False, 2, 1, id="cut"),
        pytest.param({"auditTimestamp": STAMP, "totalViolations": 9}, False, 9, 0, id="limit 0: totals only"),
        pytest.param({"auditTimestamp": STAMP, "violations": [entry()], "enforced": True}, True, 0, 1, id="old shape"),
        pytest.param({"totalViolations": 1, "violations": [entry()]}, False, 0, 1, id="no audit time"),
        pytest.param({"byPod": []}, False, 0, 0, id="not audited yet"),
        pytest.param({}, False, 0, 0, id="empty status"),
        pytest.param([], False, 0, 0, id="status of another type"),
        pytest.param(
            {"auditTimestamp": STAMP, "totalViolations": 2, "violations": [entry(), 7]}, False, 0, 1, id="odd entry"
        ),
        pytest.param({"auditTimestamp": STAMP, "violations": "many"}, False, 0, 0, id="odd list"),
        pytest.param({"auditTimestamp": 7, "violations": [entry()]}, False, 0, 1, id="odd time"),
        pytest.param(
            {"auditTimestamp": STAMP, "totalViolations": "2", "violations": [None, entry()]},
            False,
            0,
            1,
            id="odd total",
        ),
    ],
)
def test_when_absence_says_something(*, status: Any, complete: bool, unlisted: int, violations: int) -> None:
    """Only a whole list of an audit that has run tells that what it lacks is gone."""
    parsed = read(document(status=status))
    assert (parsed.complete, parsed.unlisted, len(parsed.plain_violations)) == (complete, unlisted, violations)


def test_a_constraint_without_a_status_is_unknown() -> None:
    """A fresh constraint has not been audited: nothing is known, not nothing is wrong."""
    made = document()
    del made["status"]
    assert not read(made).complete


def test_an_odd_constraint_without_a_status_is_unknown_too() -> None:
    """What cannot be read elsewhere makes no audit of what has not been audited."""
    made = document(spec="deny")
    del made["status"]
    parsed = read(made)
    assert (parsed.complete, parsed.problems) == (False, (MALFORMED_MEMBER,))


def test_an_implausible_audit_time_is_no_time_but_an_audit() -> None:
    """A clock that runs ahead gives no time to show; the list is an audit's all the same."""
    parsed = read(document(entry()), latest=AUDITED - 1)
    assert (parsed.violations[0][1], parsed.newest, parsed.newest_by) == (None, None, ())
    assert (parsed.complete, parsed.audited) == (True, AUDITED)


@pytest.mark.parametrize("member", [{"labels": {"a": 1}}, {"annotations": []}, {"creationTimestamp": "once"}])
def test_odd_metadata_loses_nothing_else(member: dict[str, Any]) -> None:
    """Labels, annotations and times only describe."""
    parsed = read(document(entry(), **member))
    assert (len(parsed.plain_violations), parsed.problems, parsed.complete) == (1, (MALFORMED_MEMBER,), True)


def test_an_odd_spec_loses_nothing_else() -> None:
    """The default action stands in for one that cannot be read."""
    parsed = read(document(entry(), spec=[7]))
    assert (only(parsed).severity, parsed.problems) == (None, (MALFORMED_MEMBER,))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not-json"),
        (b"7", "not-an-object"),
        (b'{"kind": "K"}', "no-metadata"),
        (b'{"kind": "K", "metadata": {"name": ""}}', "no-name"),
        (b'{"metadata": {"name": "x"}}', "no-kind"),
    ],
)
def test_what_has_no_name_or_kind_is_malformed(raw: bytes, reason: str) -> None:
    """The kind is the policy: without it no violation has an identity."""
    with pytest.raises(Malformed) as caught:
        constraints.read("k", raw, latest=LATEST)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("members", "problems", "violations", "complete"),
    [
        pytest.param({"message": 7}, (MALFORMED_MEMBER,), 1, True, id="message"),
        pytest.param({"version": 7}, (MALFORMED_MEMBER,), 1, True, id="version"),
        pytest.param({"enforcementAction": []}, (MALFORMED_MEMBER,), 1, True, id="action"),
        pytest.param({"enforcementActions": "deny"}, (MALFORMED_MEMBER,), 1, True, id="actions"),
        pytest.param({"enforcementActions": [None, ""], "message": "m"}, (), 1, True, id="null among the actions"),
        pytest.param({"group": 7}, (MALFORMED_RESULT,), 0, False, id="group"),
        pytest.param({"namespace": []}, (MALFORMED_RESULT,), 0, False, id="namespace"),
        pytest.param({"name": None}, (MALFORMED_RESULT,), 0, False, id="no name"),
        pytest.param({"kind": 7}, (MALFORMED_RESULT,), 0, False, id="kind"),
    ],
)
def test_an_odd_entry_is_read_as_far_as_it_names_its_object(
    members: dict[str, Any], problems: tuple[str, ...], violations: int, *, complete: bool
) -> None:
    """What only describes may be lost; which object is meant is never guessed."""
    parsed = read(document(entry(**members)))
    assert (parsed.problems, len(parsed.plain_violations), parsed.complete) == (problems, violations, complete)
    assert all(violation.severity is None for violation in parsed.plain_violations)


def test_a_message_that_gatekeeper_cut_is_harmless() -> None:
    """It cuts at 256 bytes, also within a character, which then reads U+FFFD; the identity does not see it."""
    whole, cut = only(read(document(entry(message="Größe")))), only(read(document(entry(message="Gr\ufffd..."))))
    assert whole.identity == cut.identity


def test_an_audit_without_news_reads_the_same() -> None:
    """Every audit rewrites every constraint; nothing that a finding shows has changed."""
    before, after = document(entry()), document(entry())
    after["status"] |= {"auditTimestamp": "2026-11-25T01:25:18Z", "byPod": [{"id": "x"}]}
    after["metadata"] |= {"resourceVersion": "2", "generation": 7}
    assert read(before).plain_violations == read(after).plain_violations


def cut(*violations: Any, total: int | None = None, **status: Any) -> ParsedReport:
    """What is read of a list that lacks one violation, or as many as `total` says."""
    members = {
        "auditTimestamp": STAMP,
        "totalViolations": len(violations) + 1 if total is None else total,
        "violations": list(violations),
        **status,
    }
    return read(document(status={name: value for name, value in members.items() if value is not None}))


WEB, CART, API = entry(namespace="web"), entry(), entry(namespace="api")
DEPLOYMENT = entry(group="apps", kind="Deployment")
NODE = entry(kind="Node", namespace=None)


@pytest.mark.parametrize(
    ("listed", "boundary"),
    [
        pytest.param([WEB, CART, API], ObjectRef("", "v1", "Pod", "web", "cart"), id="namespaces"),
        pytest.param(
            [WEB, WEB | {"message": "l"}, API], ObjectRef("", "v1", "Pod", "web", "cart"), id="two of one object"
        ),
        pytest.param([WEB, WEB, API], ObjectRef("", "v1", "Pod", "web", "cart"), id="two alike"),
        pytest.param([DEPLOYMENT, WEB], ObjectRef("apps", "v1", "Deployment", "shop", "cart"), id="groups"),
        pytest.param(
            [entry(version="v2"), WEB], ObjectRef("", "v2", "Pod", "shop", "cart"), id="versions before kinds"
        ),
        pytest.param(
            [entry(kind="Service"), WEB], ObjectRef("", "v1", "Service", "shop", "cart"), id="kinds before namespaces"
        ),
        pytest.param([CART, NODE], ObjectRef("", "v1", "Pod", "shop", "cart"), id="kinds, one in no namespace"),
        pytest.param(
            [entry(kind="Namespace", namespace=None, name=name) for name in "ba"],
            ObjectRef("", "v1", "Namespace", "", "b"),
            id="Namespaces",
        ),
        pytest.param(
            [entry(name="😀"), entry(name="￮"), entry(name="Z")],
            ObjectRef("", "v1", "Pod", "shop", "😀"),
            id="by code points",
        ),
    ],
)
def test_a_list_in_gatekeepers_order_has_a_boundary(listed: list[dict[str, Any]], boundary: ObjectRef) -> None:
    """The smallest are listed, the greatest first: what is below that and not listed is no violation."""
    parsed = cut(*listed)
    assert (parsed.boundary, parsed.complete) == (boundary, False)
    assert max(violation.object_ref for violation in parsed.plain_violations) == boundary


@pytest.mark.parametrize(
    "parsed",
    [
        pytest.param(cut(API, CART, WEB), id="ascending, as before 3.16"),
        pytest.param(cut(WEB, API, CART), id="no order"),
        pytest.param(cut(WEB | {"message": "a"}, WEB | {"message": "b"}, API), id="messages ascend"),
        pytest.param(cut(), id="totals only"),
        pytest.param(cut(WEB), id="one entry"),
        pytest.param(cut(WEB | {"message": "b"}, WEB | {"message": "a"}), id="one object"),
        pytest.param(cut(WEB, CART, total=2), id="not truncated"),
        pytest.param(cut(WEB, CART, total=None, totalViolations=None), id="no total"),
        pytest.param(cut(WEB, CART, auditTimestamp=None), id="no audit"),
        pytest.param(cut(WEB, CART, 7, total=9), id="an odd entry"),
        pytest.param(cut(WEB, CART, None, total=9), id="an entry that is null"),
        pytest.param(cut(WEB, entry(version=None)), id="no version"),
        pytest.param(cut(entry(kind="Role", group=None), WEB), id="group filled in"),
        pytest.param(cut(entry(kind="Namespace", namespace="x"), NODE), id="a Namespace in a namespace"),
    ],
)
def test_any_other_list_has_none(parsed: ParsedReport) -> None:
    """Where the list need not be the smallest ones in order, absence says nothing anywhere."""
    assert parsed.boundary is None


def test_a_constraint_that_is_not_audited_has_no_boundary() -> None:
    """What lies in the status of a constraint that leaves the audit out is of some time before."""
    made = document(
        WEB, CART, spec={"enforcementAction": "scoped", "scopedEnforcementActions": [{"enforcementPoints": []}]}
    )
    made["status"]["totalViolations"] = 9
    assert read(made).boundary is None


NAMES = st.text("a-.0ZäøΩ￮😀", min_size=1, max_size=3)
VIOLATIONS = st.builds(
    entry,
    group=st.sampled_from(["", "apps"]),
    version=st.sampled_from(["v1", "v1beta1"]),
    kind=st.sampled_from(["CronTab", "Namespace", "Thing"]),
    namespace=st.none() | st.text("a-0", min_size=1, max_size=3),
    name=NAMES.filter(lambda name: name not in {".", ".."}),
    message=NAMES,
)


@given(st.lists(VIOLATIONS, min_size=1, max_size=30), st.integers(1, 10))
def test_nothing_below_the_boundary_is_left_out(violations: list[dict[str, Any]], limit: int) -> None:
    """As Gatekeeper lists them, by bytes of UTF-8: what it left out is never below the boundary."""
    for violation in violations:
        if (violation["group"], violation["kind"]) == ("", "Namespace"):
            violation.pop("namespace", None)

    def order(violation: dict[str, Any]) -> tuple[bytes, ...]:
        members = ("group", "version", "kind", "namespace", "name", "message")
        return tuple(violation.get(member, "").encode() for member in members)

    ordered = sorted(violations, key=order)
    parsed = cut(*reversed(ordered[:limit]), total=len(ordered))
    objects = {order(violation)[:5] for violation in ordered[:limit]}
    assert (parsed.boundary is not None) == (len(ordered) > limit and len(objects) > 1)
    if parsed.boundary is not None:
        left = read(document(*ordered[limit:])).plain_violations
        assert not [violation for violation in left if below(violation.object_ref, parsed.boundary)]


@pytest.mark.parametrize(
    ("place", "is_below"),
    [
        (ObjectRef("apps", "v1", "Deployment", "shop", "cart"), False),
        (ObjectRef("apps", "v1", "Deployment", "shop", "caru"), False),
        (ObjectRef("apps", "v1", "Deployment", "shop", "car"), True),
        (ObjectRef("apps", "v1", "Deployment", "", "z"), True),
        (ObjectRef("apps", "v1", "DaemonSet", "web", "z"), True),
        (ObjectRef("apps", "v1", "ReplicaSet", "api", "a"), False),
        (ObjectRef("", "v1", "Pod", "web", "z"), True),
        (ObjectRef("", "", "Pod", "web", "z"), True),
        (ObjectRef("batch", "v1", "Job", "api", "a"), False),
        (ObjectRef("apps", "", "DaemonSet", "web", "z"), False),
        (ObjectRef("apps", "v0", "DaemonSet", "web", "z"), False),
    ],
)
def test_below_the_boundary(place: ObjectRef, *, is_below: bool) -> None:
    """An object of another version in the boundary's group, or of none, may have gone on in the listed version."""
    assert below(place, ObjectRef("apps", "v1", "Deployment", "shop", "cart")) == is_below


def test_what_a_constraint_tells_of_requirements_is_said_of_its_violations() -> None:
    """Annotations on controls, standards, remediation and what it is for; no other one, and none that is blank."""
    annotations = {
        "policies.example/cis-eks-control": " 4.2.1 ",
        "policycontroller.gke.io/constraintData": "{controlNumbers: '[1]'}",
        "remediation": "Set limits.",
        "x/standards": " ",
        "azure-policy-definition-id": "/providers/Microsoft.Authorization/policyDefinitions/d",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "description": "d",
    }
    assert only(read(document(entry(), annotations=annotations))).properties == (
        ("azure-policy-definition-id", "/providers/Microsoft.Authorization/policyDefinitions/d"),
        ("enforcementAction", "deny"),
        ("policies.example/cis-eks-control", "4.2.1"),
        ("policy-description", "d"),
        ("policycontroller.gke.io/constraintData", "{controlNumbers: '[1]'}"),
        ("remediation", "Set limits."),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = ("group", "version", "kind", "namespace", "name", "message", "enforcementAction", "enforcementActions")


@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), JSON) | JSON, max_size=4), JSON, JSON)
def test_whatever_a_constraint_holds_its_good_entries_are_read(listed: list[Any], spec: Any, total: Any) -> None:
    """No content of a constraint with a name and a kind raises, and none hides an entry that can be read."""
    status = {"auditTimestamp": STAMP, "totalViolations": total, "violations": [*listed, entry(name="good")]}
    parsed = read(document(spec=spec, status=status))
    assert [v.subject for v in parsed.plain_violations if v.subject.name == "good"] == [
        Subject("", "Pod", "shop", "good")
    ]
    assert parsed.complete or parsed.unlisted or MALFORMED_RESULT in parsed.problems
