"""How a violation reads in Security Hub."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.findings.asff import Cluster, Relapse, render
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Severity, Subject, Violation

Objections = Callable[[dict[str, Any]], list[str]]

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
EKS = Cluster(
    id=ARN,
    name="prod-eu",
    arn=ARN,
    uid="5b2d7f1c-0000-4000-8000-000000000000",
    account="444455556666",
    region="eu-central-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-central-1:444455556666:product/444455556666/default",
)
HOME = msgspec.structs.replace(EKS, id="home", name="home", arn=None)

VIOLATION = Violation(
    source="kyverno",
    policy="disallow-capabilities-strict",
    rule="autogen-require-drop-all",
    subject=Subject("apps", "Deployment", "analytics", "job-runner-05"),
    discriminator="",
    result="fail",
    severity="HIGH",
    category="Pod Security Standards (Restricted)",
    message="validation failure: Containers must drop `ALL` capabilities.",
    properties=(("controls", "capabilities_restricted"),),
    api_version="apps/v1",
)


def rendered(violation: Violation = VIOLATION, *, cluster: Cluster = EKS, **arguments: Any) -> dict[str, Any]:
    given_arguments: dict[str, Any] = {
        "finding_id": finding_id(cluster.id, violation.identity),
        "digest": digest(violation),
        "source_api": "policyreports.wgpolicyk8s.io",
        "created_at": 1_795_570_260_000,
        "observed_at": 1_795_570_300_000,
        "updated_at": 1_795_570_300_007,
        "archived": False,
        **arguments,
    }
    return render(violation, cluster=cluster, **given_arguments)


def test_a_whole_finding(objections: Objections) -> None:
    """Every member, as it is sent."""
    finding = rendered()
    assert objections(finding) == []
    assert finding == {
        "SchemaVersion": "2018-10-08",
        "Id": f"policyhub/{ARN}/766b92ec2dc5743272fe6c700030c614",
        "ProductArn": "arn:aws:securityhub:eu-central-1:444455556666:product/444455556666/default",
        "ProductName": "policyhub",
        "CompanyName": "policyhub",
        "GeneratorId": "policyhub/kyverno/disallow-capabilities-strict/autogen-require-drop-all",
        "AwsAccountId": "444455556666",
        "CreatedAt": "2026-11-25T01:31:00.000Z",
        "FirstObservedAt": "2026-11-25T01:31:00.000Z",
        "LastObservedAt": "2026-11-25T01:31:40.000Z",
        "UpdatedAt": "2026-11-25T01:31:40.007Z",
        "Title": "Disallow capabilities strict: Deployment analytics/job-runner-05 (prod-eu)",
        "Description": "Deployment analytics/job-runner-05 in prod-eu fails disallow-capabilities-strict (kyverno,"
        " rule autogen-require-drop-all). Containers must drop `ALL` capabilities.",
        "FindingProviderFields": {
            "Severity": {"Label": "HIGH", "Original": "high"},
            "Types": ["Software and Configuration Checks/Kubernetes Policy Violations/kyverno"],
        },
        "Compliance": {
            "Status": "FAILED",
            "SecurityControlId": "disallow-capabilities-strict",
            "RelatedRequirements": ["Pod Security Standards (Restricted) capabilities"],
            "AssociatedStandards": [{"StandardsId": "Pod Security Standards (Restricted)"}],
        },
        "Remediation": {
            "Recommendation": {
                "Text": "Change Deployment analytics/job-runner-05 so that it meets the rule. Read the rule in prod-eu"
                " with `kubectl get clusterpolicies.kyverno.io disallow-capabilities-strict -o yaml`. To accept it, add"
                " a PolicyException, or set the workflow status SUPPRESSED with a note. Once it passes, this finding"
                " archives itself.",
                "Url": "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
            }
        },
        "Resources": [
            {
                "Type": "Other",
                "Id": f"kubernetes/{ARN}/apps/Deployment/analytics/job-runner-05",
                "Partition": "aws",
                "Region": "eu-west-1",
                "Details": {
                    "Other": {
                        "Kind": "Deployment",
                        "ApiVersion": "apps/v1",
                        "Namespace": "analytics",
                        "Name": "job-runner-05",
                        "Cluster": "prod-eu",
                        "ClusterId": ARN,
                    }
                },
            },
            {
                "Type": "AwsEksCluster",
                "Id": ARN,
                "Partition": "aws",
                "Region": "eu-west-1",
                "Details": {"AwsEksCluster": {"Arn": ARN, "Name": "prod-eu"}},
            },
        ],
        "ProductFields": {
            "policyhub/cluster": ARN,
            "policyhub/cluster-uid": "5b2d7f1c-0000-4000-8000-000000000000",
            "policyhub/digest": digest(VIOLATION),
            "policyhub/renderer": "4",
            "policyhub/origin": "policyreports.wgpolicyk8s.io",
            "policyhub/source": "kyverno",
            "policyhub/policy": "disallow-capabilities-strict",
            "policyhub/rule": "autogen-require-drop-all",
            "policyhub/namespace": "analytics",
            "policyhub/category": "Pod Security Standards (Restricted)",
            "policyhub/result": "fail",
            "policyhub/property/controls": "capabilities_restricted",
        },
        "RecordState": "ACTIVE",
    }


def test_archived_is_the_same_finding_in_another_state() -> None:
    """The whole finding is sent again: whether omitted members are kept is not known."""
    assert rendered(archived=True) == {**rendered(), "RecordState": "ARCHIVED"}


@pytest.mark.parametrize(("result", "status"), [("fail", "FAILED"), ("warn", "WARNING"), ("error", "NOT_AVAILABLE")])
def test_results(result: str, status: str) -> None:
    """A result is a compliance status; none of ours ever reads PASSED."""
    assert rendered(msgspec.structs.replace(VIOLATION, result=result))["Compliance"]["Status"] == status


def test_the_default_severity() -> None:
    """Where the engine names none, the label is the default's and nothing is said to be original."""
    unnamed = msgspec.structs.replace(VIOLATION, severity=None)
    assert rendered(unnamed)["FindingProviderFields"]["Severity"] == {"Label": "MEDIUM"}
    severity = rendered(unnamed, default_severity="LOW")["FindingProviderFields"]["Severity"]
    assert severity == {"Label": "LOW"}


def test_it_was_last_observed_no_earlier_than_first() -> None:
    """A clock that was set back makes no finding that ends before it begins."""
    assert rendered(observed_at=0)["LastObservedAt"] == rendered()["FirstObservedAt"]


@pytest.mark.parametrize(
    ("policy", "rule", "name", "title"),
    [
        ("p", "r", "cart", "p, r: Deployment analytics/cart (prod-eu)"),
        ("p", "", "cart", "p: Deployment analytics/cart (prod-eu)"),
        ("", "r", "cart", "r: Deployment analytics/cart (prod-eu)"),
        (
            "Sysctls can disable security mechanisms or affect all containers on a host",
            "KSV026",
            "cart",
            "Sysctls can disable security mechanisms or…: Deployment analytics/cart (prod-eu)",
        ),
        (
            "disallow-capabilities-strictly",
            "r",
            "n" * 70,
            f"Disallow capabilities strictly: Deployment analytics/{'n' * 4}…{'n' * 12} (prod-eu)",
        ),
    ],
)
def test_titles(policy: str, rule: str, name: str, title: str) -> None:
    """What, where, which cluster: in the first 80 characters, however long the names are."""
    subject = Subject("apps", "Deployment", "analytics", name)
    violation = msgspec.structs.replace(VIOLATION, policy=policy, rule=rule, subject=subject)
    assert rendered(violation)["Title"] == title
    assert title.index("prod-eu") + len("prod-eu") <= 80


def test_a_long_message_is_cut_and_its_context_is_not() -> None:
    """Which object, cluster, policy, source and rule stands first: the end of the message is what is lost."""
    description = rendered(msgspec.structs.replace(VIOLATION, message="l" * 2000))["Description"]
    assert len(description) == 1024
    lead = "Deployment analytics/job-runner-05 in prod-eu fails disallow-capabilities-strict (kyverno, rule"
    assert description.startswith(lead)
    assert description.endswith(" " + "l" * 900 + "…")


def test_a_blank_message_leaves_the_context() -> None:
    """A description is required, and never blank."""
    description = rendered(msgspec.structs.replace(VIOLATION, message=" \n"))["Description"]
    assert description == (
        "Deployment analytics/job-runner-05 in prod-eu fails disallow-capabilities-strict (kyverno,"
        " rule autogen-require-drop-all)."
    )


@pytest.mark.parametrize(
    ("subject", "path", "where"),
    [
        (Subject("", "Pod", "shop", "cart"), "core/Pod/shop/cart", "Pod shop/cart"),
        (Subject("", "Node", "", "n"), "core/Node/-/n", "Node n"),
        (Subject("", "", "", "kube-system/pod-x"), "core/-/-/kube-system/pod-x", "Pod kube-system/x"),
        (Subject("", "", "shop", "kube-system/pod-x"), "core/-/shop/kube-system/pod-x", "shop/kube-system/pod-x"),
        (Subject("", "", "", ""), "core/-/-/-", "an unnamed object"),
    ],
)
def test_objects(subject: Subject, path: str, where: str, objections: Objections) -> None:
    """A resource's id tells its object from every other one of every cluster; absent parts are left out of details."""
    finding = rendered(msgspec.structs.replace(VIOLATION, subject=subject, api_version=""))
    assert finding["Resources"][0]["Id"] == f"kubernetes/{ARN}/{path}"
    assert f": {where} (prod-eu)" in finding["Title"]
    assert objections(finding) == []


def test_an_object_named_in_one_word_is_shown_as_what_it_is() -> None:
    """Trivy Compliance names no kind and no namespace; insights and filters need them (sources/target.py)."""
    finding = rendered(
        msgspec.structs.replace(VIOLATION, subject=Subject("", "", "", "shop/daemonset-x"), api_version="")
    )
    assert finding["Resources"][0]["Details"]["Other"].items() >= {
        ("Kind", "DaemonSet"),
        ("ApiVersion", "apps"),
        ("Namespace", "shop"),
        ("Name", "x"),
    }
    assert finding["ProductFields"]["policyhub/namespace"] == "shop"


def test_a_cluster_without_an_arn(objections: Objections) -> None:
    """Then the cluster is a resource of our own making, and lies where its hub is."""
    finding = rendered(cluster=HOME)
    assert finding["Resources"][1] == {
        "Type": "Other",
        "Id": "kubernetes/home",
        "Partition": "aws",
        "Region": "eu-central-1",
        "Details": {"Other": {"Kind": "Cluster", "Name": "home"}},
    }
    assert objections(finding) == []


@pytest.mark.parametrize(
    ("partition", "region", "place"),
    [
        ("aws", "eu-west-1", {"Partition": "aws", "Region": "eu-west-1"}),
        ("aws-cn", "cn-north-1", {"Partition": "aws-cn", "Region": "cn-north-1"}),
        ("aws-us-gov", "us-gov-west-1", {"Partition": "aws-us-gov", "Region": "us-gov-west-1"}),
        ("aws-eusc", "eusc-de-east-1", {"Region": "eusc-de-east-1"}),
    ],
)
def test_partitions(partition: str, region: str, place: dict[str, str], objections: Objections) -> None:
    """ASFF can name three partitions; in the others the member is left out."""
    arn = f"arn:{partition}:eks:{region}:111122223333:cluster/c"
    finding = rendered(cluster=msgspec.structs.replace(EKS, id=arn, arn=arn))
    for resource in finding["Resources"]:
        assert {key: resource[key] for key in ("Partition", "Region") if key in resource} == place
    assert objections(finding) == []


@pytest.mark.parametrize(
    ("properties", "first", "url"),
    [
        ((), "Change Deployment analytics/job-runner-05 so that it meets the rule. ", None),
        ((("remediation", " "),), "Change Deployment analytics/job-runner-05 so that it meets the rule. ", None),
        ((("remediation", "chmod 600\n/etc/x"),), "chmod 600 /etc/x. ", None),
        ((("primaryLink", "https://avd.example/cve"),), "Change ", "https://avd.example/cve"),
        ((("primaryLink", "javascript:alert(1)"),), "Change ", None),
        (
            (("primaryLink", "https://a b"), ("remediation", "r" * 600), ("remediation-docs", "http://docs.example")),
            "r" * 200,
            "http://docs.example",
        ),
    ],
)
def test_remediation(
    properties: tuple[tuple[str, str], ...], first: str, url: str | None, objections: Objections
) -> None:
    """There always is one, within its limit, and it ends with how to go on; a link must be one."""
    finding = rendered(msgspec.structs.replace(VIOLATION, properties=properties, category=""))
    recommendation = finding["Remediation"]["Recommendation"]
    assert recommendation["Text"].startswith(first)
    assert recommendation["Text"].endswith(
        " set the workflow status SUPPRESSED with a note. Once it passes, this finding archives itself."
    )
    assert recommendation.get("Url") == url
    assert objections(finding) == []


@pytest.mark.parametrize(
    ("severity", "risk", "enforcement", "stated"),
    [
        pytest.param("HIGH", None, "dryrun", {"Label": "HIGH", "Original": "high"}, id="stated"),
        pytest.param(None, "HIGH", "", {"Label": "HIGH"}, id="by risk: nobody has stated it"),
        pytest.param(None, "LOW", "deny", {"Label": "LOW", "Original": "deny"}, id="by risk: what it does"),
        pytest.param(None, None, "dryrun", {"Label": "MEDIUM", "Original": "dryrun"}, id="what it does"),
    ],
)
def test_the_original_severity_is_what_was_stated(
    severity: Severity | None, risk: Severity | None, enforcement: str, stated: dict[str, str]
) -> None:
    """Never a word that nobody wrote."""
    violation = msgspec.structs.replace(VIOLATION, severity=severity, risk=risk, enforcement=enforcement)
    assert rendered(violation)["FindingProviderFields"]["Severity"] == stated


def test_what_came_back_says_so_and_counts(objections: Objections) -> None:
    """When it was first seen stays; when it came back stands in words and in the product fields."""
    at = WallMs(1_795_570_260_999)
    once = rendered(relapse=Relapse(1, at))
    assert " It came back on 2026-11-25 after it had been resolved. " in once["Description"]
    fields = once["ProductFields"]
    assert (fields["policyhub/relapses"], fields["policyhub/relapsed-at"]) == ("1", asff.timestamp(at))
    assert once["CreatedAt"] == rendered()["CreatedAt"] == once["FirstObservedAt"]
    thrice = rendered(relapse=Relapse(3))
    assert " It came back after it had been resolved, for the 3. time. " in thrice["Description"]
    assert "policyhub/relapsed-at" not in thrice["ProductFields"]
    assert "policyhub/relapses" not in rendered()["ProductFields"]
    assert objections(once) == objections(thrice) == []


def test_a_benchmark_is_about_the_cluster_and_tells_its_check(objections: Objections) -> None:
    """A report is nothing that anybody can fix; what processes were called with stays in the cluster."""
    violation = msgspec.structs.replace(
        VIOLATION,
        source="Kube Bench",
        policy="4 Worker",
        rule="Kubelet",
        discriminator="4.2.1",
        subject=Subject("wgpolicyk8s.io", "ClusterPolicyReport", "", "kube-bench"),
        properties=(
            ("AuditConfig", "cat /secret"),
            ("actual_value", "kubelet --token=secret"),
            ("audit", "ps -ef"),
            ("audit_env", "cat /secret"),
            ("index", "4.2.1"),
        ),
    )
    finding = rendered(violation)
    assert [resource["Type"] for resource in finding["Resources"]] == ["AwsEksCluster"]
    assert finding["GeneratorId"] == "policyhub/Kube Bench/4 Worker/Kubelet/4.2.1"
    assert "secret" not in str(finding)
    assert finding["ProductFields"]["policyhub/property/index"] == "4.2.1"
    assert finding["ProductFields"]["policyhub/report"] == "kube-bench"
    assert finding["CompanyName"] == "policyhub"
    assert objections(finding) == []


def test_properties_share_what_room_there_is(objections: Objections) -> None:
    """At most 50 fields and a bounded whole; keys are made acceptable; which are kept does not depend on chance."""
    properties = tuple((f"k{n:02}/ü", "v" * 2000 if n < 3 else str(n)) for n in range(60))
    finding = rendered(msgspec.structs.replace(VIOLATION, properties=properties))
    fields = finding["ProductFields"]
    assert objections(finding) == []
    assert len(fields) == 50
    assert fields["policyhub/property/k00/_"] == "v" * 1023 + "…"
    assert fields["policyhub/property/k03/_"] == "3"
    greedy = tuple((f"k{n:02}", "v" * 2000) for n in range(60))
    fields = rendered(msgspec.structs.replace(VIOLATION, properties=greedy))["ProductFields"]
    assert sum(len(value) for key, value in fields.items() if "/property/" in key) == 6000


def test_two_keys_that_become_one() -> None:
    """The first in order is kept; a value is never half of one and half of the other."""
    finding = rendered(msgspec.structs.replace(VIOLATION, properties=(("ä", "1"), ("ö", "2"))))
    assert finding["ProductFields"]["policyhub/property/_"] == "1"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_795_570_260_999, "2026-11-25T01:31:00.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_timestamps(milliseconds: int, text: str) -> None:
    """Whole milliseconds, never rounded up into an `UpdatedAt` that lies ahead."""
    assert asff.timestamp(milliseconds) == text


TEXT = (
    st.text(st.characters(codec=None), max_size=40)
    | st.sampled_from(["", " ", "\n", "\ufeff", "/", "a/b", "\ud800", "😀" * 700, "ü" * 3000, "x" * 2000, "\x00"])
    | st.text("😀\u0301\u202e\x1b\x85 a", max_size=1500)
)
VIOLATIONS = st.builds(
    Violation,
    source=TEXT,
    policy=TEXT,
    rule=TEXT,
    subject=st.builds(Subject, TEXT, TEXT, TEXT, TEXT),
    discriminator=TEXT,
    result=st.sampled_from(["fail", "warn", "error"]),
    severity=st.sampled_from(["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", None]),
    category=TEXT,
    message=TEXT,
    properties=st.lists(st.tuples(TEXT, TEXT), max_size=70).map(lambda pairs: tuple(sorted(pairs))),
    api_version=TEXT,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=253)
CLUSTERS = st.builds(lambda name: msgspec.structs.replace(HOME, id=name, name=name), NAMES) | st.just(EKS)


@settings(max_examples=300, deadline=None)
@given(violation=VIOLATIONS, cluster=CLUSTERS, archived=st.booleans())
def test_whatever_a_violation_holds_security_hub_takes_it(
    objections: Objections, violation: Violation, cluster: Cluster, *, archived: bool
) -> None:
    """Blank, huge, or full of characters that nobody should write: no finding is ever refused for its form."""
    assert objections(rendered(violation, cluster=cluster, archived=archived)) == []


def test_the_validator_does_object(objections: Objections) -> None:
    """A validator that finds nothing wrong proves nothing: each of these is refused."""
    changes: list[dict[str, Any]] = [
        {"Title": "x" * 257},
        {"Title": "😀" * 129},
        {"Description": " "},
        {"Description": "two\nlines"},
        {"Workflow": {"Status": "NEW"}},
        {"CreatedAt": "2026-11-25 01:31:00Z"},
        {"ProductFields": {"aws/x": "y"}},
        {"ProductFields": {"ü": "y"}},
        {"Resources": []},
        {"Nonsense": "x"},
        {"AwsAccountId": "1"},
        {"Remediation": {"Recommendation": {"Text": "x" * 513}}},
    ]
    for change in changes:
        assert objections({**rendered(), **change}), change


def test_a_time_beyond_all_years_is_the_nearest_one() -> None:
    """A finding whose UpdatedAt somebody set to the end of the year 9999 can still be written."""
    assert asff.timestamp(253_402_300_800_000) == "9999-12-31T23:59:59.999Z"
    assert asff.timestamp(-62_135_600_400_000) == "0001-01-01T00:00:00.000Z", "the year 1 in a zone east of Greenwich"
