"""What Security Hub is told of a list that is not whole, and when another number is news."""

from collections.abc import Callable
from typing import Any

import pytest

from policyhub.clock import WallMs
from policyhub.findings.asff import Cluster, render
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.truncation import GUIDE_URL, same_content
from policyhub.model.violation import Subject, Violation
from policyhub.sources.truncation import Truncation

Objections = Callable[[dict[str, Any]], list[str]]

LIMITS = Truncation(
    Subject("constraints.gatekeeper.sh", "K8sLimits", "", "must-have-limits"),
    source="gatekeeper",
    policy="K8sLimits",
    rule="must-have-limits",
)
POLR = Truncation(Subject("wgpolicyk8s.io", "PolicyReport", "shop", "polr-web"), source="kyverno")
HOSTILE = Truncation(
    Subject("constraints.gatekeeper.sh", "K" * 253, "", "n" * 253),
    source="gatekeeper",
    policy="K" * 253,
    rule="n" * 253,
)
CLUSTER = Cluster(
    id="prod-eu",
    name="prod-eu",
    arn=None,
    uid="u",
    account="111122223333",
    region="eu-west-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
)


def sent(notice: Violation, *, archived: bool = False) -> dict[str, Any]:
    return render(
        notice,
        cluster=CLUSTER,
        finding_id=finding_id(CLUSTER.id, notice.identity),
        digest=digest(notice),
        source_api="k8slimits.constraints.gatekeeper.sh",
        created_at=WallMs(1_790_000_000_000),
        observed_at=WallMs(1_790_000_000_000),
        updated_at=WallMs(1_790_000_000_000),
        archived=archived,
    )


def test_a_constraint_reads_as_something_to_act_on() -> None:
    """How many of how many, what follows, what to do; INFORMATIONAL, and rated by nobody else."""
    finding = sent(LIMITS.notice(listed=20, total=57))
    assert finding["Title"] == "Not all violations are listed: K8sLimits must-have-limits (prod-eu)"
    assert finding["GeneratorId"] == "policyhub/gatekeeper/K8sLimits/must-have-limits/truncated-list"
    assert finding["FindingProviderFields"]["Severity"] == {"Label": "INFORMATIONAL"}
    assert finding["Compliance"] == {"Status": "NOT_AVAILABLE"}
    assert finding["Description"].startswith(
        "Gatekeeper's constraint K8sLimits must-have-limits in prod-eu lists 20 of 57 violations. The other 37 are not"
        " known: objects that are not listed have no finding, and no finding is archived because its object is missing"
        " from the list."
    )
    remedy = finding["Remediation"]["Recommendation"]
    assert "--constraint-violations-limit=100" in remedy["Text"]
    assert "spec.sources.truncatedLists: false" in remedy["Text"]
    assert remedy["Url"] == GUIDE_URL
    fields = finding["ProductFields"]
    assert (fields["policyhub/property/listed"], fields["policyhub/property/total"]) == ("20", "57")


def test_more_than_gatekeeper_recommends_is_not_advised() -> None:
    """A list of thousands does not fit into its object."""
    text = sent(LIMITS.notice(listed=20, total=4_000))["Remediation"]["Recommendation"]["Text"]
    assert "narrow the constraint" in text
    assert "limit=" not in text


@pytest.mark.parametrize("name", ["--kubeconfig=x", "a'b", "a`reboot`", "a b"])
def test_no_command_is_made_of_what_is_no_name(name: str) -> None:
    """As for the policy of a violation: what an API server says is copied into nobody's shell."""
    of = Subject("constraints.gatekeeper.sh", "K8sLimits", "", name)
    notice = Truncation(of, source="gatekeeper", policy="K8sLimits", rule=name).notice(listed=1, total=3)
    assert "kubectl" not in sent(notice)["Remediation"]["Recommendation"]["Text"]
    shown = sent(LIMITS.notice(listed=20, total=57))["Remediation"]["Recommendation"]["Text"]
    assert "kubectl get k8slimits.constraints.gatekeeper.sh must-have-limits -o yaml." in shown


def test_a_report_reads_as_something_to_act_on() -> None:
    """Gatekeeper's flag is no help there."""
    finding = sent(POLR.notice(listed=2, total=3))
    assert finding["Title"] == "Not all violations are listed: PolicyReport shop/polr-web (prod-eu)"
    assert finding["GeneratorId"] == "policyhub/kyverno/truncated-list"
    assert "PolicyReport shop/polr-web of kyverno in prod-eu lists 2 of 3 failures" in finding["Description"]
    assert "The other 1 is not known" in finding["Description"]
    assert "configuration.limits.maxResults" in finding["Remediation"]["Recommendation"]["Text"]
    assert "constraint-violations-limit" not in str(finding)


def test_a_report_of_the_cluster_is_named_itself() -> None:
    """Else the cluster alone would stand there, for each of its reports."""
    report = Truncation(Subject("wgpolicyk8s.io", "ClusterPolicyReport", "", "cpolr-nodes"), source="kyverno")
    resources = sent(report.notice(listed=2, total=3))["Resources"]
    assert [resource["Details"]["Other"]["Name"] for resource in resources] == ["cpolr-nodes", "prod-eu"]


@pytest.mark.parametrize("cut_list", [LIMITS, POLR, HOSTILE], ids=["constraint", "report", "names as long as can be"])
@pytest.mark.parametrize("total", [1, 501, 2**53])
def test_security_hub_takes_it(cut_list: Truncation, total: int, objections: Objections) -> None:
    """Active and archived, whatever the names and numbers; the cluster is in each title."""
    for archived in (False, True):
        finding = sent(cut_list.notice(listed=0, total=total), archived=archived)
        assert objections(finding) == []
        assert finding["Title"].endswith("(prod-eu)")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ((20, 57), (20, 57), True),
        ((20, 57), (20, 58), True),
        ((20, 57), (20, 113), True),
        ((20, 57), (20, 114), False),
        ((20, 57), (20, 29), True),
        ((20, 57), (20, 28), False),
        ((2, 4), (1, 5), True),
        ((2, 4), (3, 4), True),
        ((20, 700), (500, 700), False),
        ((500, 700), (20, 700), False),
        ((20, 700), (30, 700), True),
        ((0, 700), (5, 700), True),
        ((0, 700), (20, 700), False),
    ],
)
def test_numbers_are_news_when_they_double_or_halve(
    before: tuple[int, int], after: tuple[int, int], *, same: bool
) -> None:
    """Against what was told last, either way; of the listed ones a handful more or less is none."""
    old, new = (digest(LIMITS.notice(listed=listed, total=total)) for listed, total in (before, after))
    assert same_content(old, new) is same
    assert same_content(new, old) is same


def test_many_small_steps_are_news_at_last() -> None:
    """What counts is what was told, not what was seen last."""
    sent_digest = digest(LIMITS.notice(listed=20, total=100))
    updates = [n for n in range(100, 300) if not same_content(sent_digest, digest(LIMITS.notice(listed=20, total=n)))]
    assert updates[0] == 200


def test_another_constraint_is_another_thing() -> None:
    """Its numbers may be the same."""
    assert not same_content(digest(LIMITS.notice(listed=1, total=2)), digest(POLR.notice(listed=1, total=2)))


@pytest.mark.parametrize(
    "stored", ["", "x", "..", "{}", "{}.1", "{}.a.b", "{}.1.2.3", "{}.-1.2", "{}.²." + "1", "{}.1." + "9" * 400]
)
def test_what_somebody_else_has_stored_is_not_alike(stored: str) -> None:
    """Who may import into the account may write anything; then the finding is sent."""
    mine = digest(LIMITS.notice(listed=1, total=2))
    assert not same_content(stored.replace("{}", mine.partition(".")[0]), mine)


def test_digests_of_violations_are_alike_where_they_are_equal() -> None:
    """They have no numbers."""
    assert same_content("9482ec82cd64d4dd6e879bf5e00a5ae9", "9482ec82cd64d4dd6e879bf5e00a5ae9")
    assert not same_content("9482ec82cd64d4dd6e879bf5e00a5ae9", "9482ec82cd64d4dd6e879bf5e00a5ae8")
