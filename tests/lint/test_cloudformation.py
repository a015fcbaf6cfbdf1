"""The CloudFormation templates of `policyhub iam-policy`, checked by cfn-lint. `make lint` installs it."""

from importlib import import_module

import pytest

from policyhub.iam import template
from policyhub.iam.policy import Plan
from policyhub.iam.stackset import stackset
from tests.unit.iam import test_iam_template as single
from tests.unit.iam.test_iam_stackset import PLANS


def problems(text: str) -> list[object]:
    """What cfn-lint reports."""
    found: list[object] = import_module("cfnlint.api").lint(text, regions=["eu-west-1"])
    return found


@pytest.mark.parametrize("sign_in", ["pod identity", "irsa"])
def test_cfn_lint_accepts_the_template_of_a_role(sign_in: str) -> None:
    """The operator's own role and those of other accounts."""
    issuer = ("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",)
    theirs = tuple(arn.replace(single.ACCOUNT, single.OTHER) for arn in single.CLUSTERS)
    who = {"clusters": single.CLUSTERS} if sign_in == "pod identity" else {"issuers": issuer}
    wanted = single.plan(eks_clusters=(*single.CLUSTERS, *theirs), **who)
    for role in wanted.roles():
        assert problems(template.cloudformation(wanted, role)) == []


@pytest.mark.parametrize("wanted", PLANS.values(), ids=PLANS)
def test_cfn_lint_accepts_the_template_of_a_fleet(wanted: Plan) -> None:
    """One template for all accounts."""
    assert problems(stackset(wanted)) == []
