"""The decision for each known cluster: a table of the facts from AWS and the API server, and the outcome."""

from typing import Any

import pytest

from policyhub.api.clusterdiscovery import Account, DiscoverySpec, TagSelector
from policyhub.api.reason import Cause, Reason
from policyhub.clusterdiscovery.plan import (
    UNDESCRIBED,
    Answer,
    Decision,
    Existing,
    document,
    existing,
    plan,
    rendered,
    selects,
)
from policyhub.eks.description import Arn, Description

ACCOUNT, REGION = "444455556666", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/policyhub"


def arn(name: str, *, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:eks:{region}:{account}:cluster/{name}"


def spec(**members: Any) -> DiscoverySpec:
    return DiscoverySpec.model_validate(
        {
            "accounts": [{"accountId": ACCOUNT, "roleArn": ROLE}],
            "regions": [REGION],
            "tagSelector": {"matchTags": {"policyhub": "yes"}},
            "namePattern": "{name}",
            **members,
        }
    )


def up(name: str, **reported: Any) -> Description:
    return Description(
        **{
            "arn": arn(name),
            "status": "ACTIVE",
            "endpoint": "https://a",
            "authority": "LS0t",
            "tags": {"policyhub": "yes"},
            **reported,
        }
    )


def answer(*listed: str, gone: tuple[str, ...] = (), **reported: Description | Cause) -> Answer:
    clusters = {**{name: up(name) for name in listed}, **reported}
    return Answer(ACCOUNT, REGION, clusters, frozenset(gone), fresh=frozenset(clusters))


OURS = Existing("shop", arn("shop"), "fleet")
HERS = Existing("by-hand", arn("shop"))
Row = tuple[list[Answer], list[Existing], dict[str, str]]

ROWS: dict[str, Row] = {
    "nothing is known": ([], [], {}),
    "a new cluster": ([answer("shop")], [], {"shop": "Make/Monitored shop"}),
    "one that was made": ([answer("shop")], [OURS], {"shop": "Made/Monitored shop"}),
    "made, and not described again": (
        [answer(shop=UNDESCRIBED)],
        [OURS],
        {"shop": "Made/Monitored shop"},
    ),
    "made under another name than the pattern would give now": (
        [answer("shop")],
        [Existing("old", arn("shop"), "fleet")],
        {"shop": "Made/Monitored old"},
    ),
    "made, and its tag is gone": (
        [answer(shop=up("shop", tags={}))],
        [OURS],
        {"shop": "Made/Monitored shop"},
    ),
    "monitored by hand": ([answer("shop")], [HERS], {"shop": "Skipped/AlreadyMonitored by-hand"}),
    "made by another discovery": (
        [answer("shop")],
        [Existing("other", arn("shop"), "another")],
        {"shop": "Skipped/AlreadyMonitored other"},
    ),
    "monitored by hand and made": ([answer("shop")], [HERS, OURS], {"shop": "Made/Monitored shop"}),
    "other tags": ([answer(shop=up("shop", tags={"policyhub": "no"}))], [], {"shop": "Skipped/TagsDiffer"}),
    "not described yet": ([answer(shop=UNDESCRIBED)], [], {"shop": "Skipped/Describing"}),
    "DescribeCluster denied": (
        [answer("well", shop=Cause(Reason.NOT_DESCRIBED, "denied"))],
        [],
        {"shop": "Skipped/NotDescribed", "well": "Make/Monitored well"},
    ),
    "EKS Connector": ([answer(shop=up("shop", external=True))], [], {"shop": "Skipped/ClusterExternal"}),
    "not up yet": (
        [answer(shop=up("shop", status="CREATING", endpoint=""))],
        [],
        {"shop": "Skipped/ClusterCreating"},
    ),
    "on its way out": ([answer(shop=up("shop", status="DELETING"))], [], {"shop": "Skipped/ClusterDeleting"}),
    "never came up": ([answer(shop=up("shop", status="FAILED"))], [], {"shop": "Skipped/ClusterFailed"}),
    "being updated": ([answer(shop=up("shop", status="UPDATING"))], [], {"shop": "Make/Monitored shop"}),
    "another cluster's description": (
        [answer(shop=up("shop", arn=arn("shop", account="999999999999")))],
        [],
        {"shop": "Skipped/OtherCluster"},
    ),
    "the name is another cluster's": (
        [answer("shop")],
        [Existing("shop", arn("bank"))],
        {"shop": "Skipped/NameClash"},
    ),
    "the name is a cluster's without ARN": ([answer("shop")], [Existing("shop")], {"shop": "Skipped/NameClash"}),
    "two that get one name": (
        [answer("Shop", "shop")],
        [],
        {"Shop": "Make/Monitored shop", "shop": "Skipped/NameClash"},
    ),
    "a name that no object can have": ([answer("shop_")], [], {"shop_": "Skipped/InvalidName"}),
    "made, and not listed": ([answer()], [OURS], {"shop": "Made/NotListed shop"}),
    "made, and gone": ([answer(gone=("shop",))], [OURS], {"shop": "Gone/ClusterGone shop"}),
    "monitored by hand, and not listed": ([answer()], [HERS], {}),
    "made, in an account that was never listed": ([], [OURS], {"shop": "Made/Monitored shop"}),
    "made, in a Region that is no longer searched": (
        [Answer(ACCOUNT, "us-east-1")],
        [OURS],
        {"shop": "Made/Monitored shop"},
    ),
    "selected some time ago": ([Answer(ACCOUNT, REGION, {"shop": up("shop")})], [], {"shop": "Skipped/Describing"}),
    "refused some time ago": (
        [Answer(ACCOUNT, REGION, {"shop": up("shop")}, unmade={"shop": Cause(Reason.TEMPLATE_REFUSED)})],
        [],
        {"shop": "Skipped/TemplateRefused"},
    ),
    "gone, and never made": ([answer(gone=("shop",))], [], {}),
}


def outcome_of(decision: Decision) -> str:
    return f"{decision.state}/{decision.why.reason} {decision.monitored}".strip()


@pytest.mark.parametrize(("answers", "monitored", "expected"), ROWS.values(), ids=ROWS)
def test_decisions(answers: list[Answer], monitored: list[Existing], expected: dict[str, str]) -> None:
    """Each state of a cluster has one outcome."""
    decisions = plan("fleet", spec(), answers, monitored)
    assert {one.arn: outcome_of(one) for one in decisions} == {arn(name): outcome for name, outcome in expected.items()}


def test_a_name_clash_names_both_clusters() -> None:
    """And how to end it; the first cluster by ARN gets the name, each time the same."""
    for listed in (("Shop", "shop"), ("shop", "Shop")):
        first, second = plan("fleet", spec(), [answer(*listed)], [])
        assert (first.arn, first.state) == (arn("Shop"), "Make")
        assert arn("Shop") in second.why.message
        assert "spec.namePattern" in second.why.remedy


@pytest.mark.parametrize(
    ("pattern", "cluster", "name"),
    [
        ("{name}-{region}-{account}", "shop", "shop-eu-west-1-444455556666"),
        ("eks.{account}.{name}", "Shop_EU", "eks.444455556666.shop-eu"),
        ("{name}{name}", "{region}", "{region}{region}"),
    ],
)
def test_names(pattern: str, cluster: str, name: str) -> None:
    """Placeholders are replaced, capitals and underscores become valid characters, and a cluster's name is never taken
    for a placeholder.
    """
    assert rendered(pattern, Arn.parse(arn(cluster))) == name


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchTags": {"team": "shop"}}, True),
        ({"matchTags": {"team": "Shop"}}, False),
        ({"matchTags": {"team": "shop", "tier": "1"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["bank", "shop"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["shop"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchTags": {"team": "shop"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
    ],
    ids=str,
)
def test_tags(selector: dict[str, Any], *, selected: bool) -> None:
    """All requirements on the tags must match, as with label selectors."""
    assert selects(TagSelector.model_validate(selector), {"team": "shop"}) is selected


def test_the_created_monitored_cluster() -> None:
    """The template with the ARN, the account's role and the discovery's label; read back, it belongs to this
    discovery.
    """
    account = Account(account_id=ACCOUNT, role_arn=ROLE, external_id="tell-nobody")
    template = {"metadata": {"labels": {"shard": "a"}}, "spec": {"mode": "DryRun", "securityHub": {"region": "x"}}}
    decision = Decision(arn("shop"), "Make", Cause(Reason.MONITORED), "shop")
    made = document("fleet", spec(template=template), account, decision)
    assert made["metadata"] == {"name": "shop", "labels": {"shard": "a", "policyhub.dev/discovered-by": "fleet"}}
    assert made["spec"] == {
        "mode": "DryRun",
        "securityHub": {"region": "x"},
        "clusterArn": arn("shop"),
        "connection": {"eks": {"roleArn": ROLE, "externalId": "tell-nobody"}},
    }
    assert existing(made) == Existing("shop", arn("shop"), "fleet")


def test_without_a_role_the_operators_identity_is_used() -> None:
    """An account without a role results in an empty connection.eks."""
    decision = Decision(arn("shop"), "Make", Cause(Reason.MONITORED), "shop")
    made = document("fleet", spec(), Account(account_id=ACCOUNT), decision)
    assert made["spec"]["connection"] == {"eks": {}}


def test_the_arn_of_the_connection_counts() -> None:
    """A MonitoredCluster whose identity is its name still monitors the cluster in its connection."""
    body = {"metadata": {"name": "shop"}, "spec": {"connection": {"eks": {"arn": arn("shop")}}}}
    assert existing(body) == Existing("shop", arn("shop"))
