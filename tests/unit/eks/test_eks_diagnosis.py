"""Reasons and messages for answers of DescribeCluster, the API server and the network."""

from typing import Any

import pytest

from policyhub.api.reason import Cause, Reason
from policyhub.eks import description, diagnosis
from policyhub.eks.description import Arn, Description, read
from policyhub.eks.diagnosis import CallerIdentity

ARN = Arn.parse("arn:aws:eks:eu-west-1:444455556666:cluster/prod-eu")
ROLE = "arn:aws:iam::444455556666:role/team/policyhub"
TROUBLE = Cause(Reason.CREDENTIALS_EXPIRED, "Signature expired", remedy="sign in again")
ANSWER: dict[str, Any] = {
    "arn": ARN.text,
    "status": "ACTIVE",
    "endpoint": "https://abc.gr7.eu-west-1.eks.amazonaws.com",
    "certificateAuthority": {"data": "LS0="},
    "accessConfig": {"authenticationMode": "API"},
    "resourcesVpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": ["0.0.0.0/0"]},
    "health": {"issues": []},
}


def described(**changes: Any) -> Description:
    return read({"cluster": {**ANSWER, **changes}})


def test_arn_parts() -> None:
    """In every partition."""
    arn = Arn.parse("arn:aws-us-gov:eks:us-gov-west-1:111122223333:cluster/A_b-c")
    assert (arn.partition, arn.region, arn.account, arn.name) == (
        "aws-us-gov",
        "us-gov-west-1",
        "111122223333",
        "A_b-c",
    )


@pytest.mark.parametrize(
    "answer", [{}, {"cluster": None}, {"cluster": {"health": [], "resourcesVpcConfig": None, "endpoint": 1}}]
)
def test_an_empty_answer_is_a_cluster_without_an_endpoint(answer: dict[str, Any]) -> None:
    """A proxy or a mock can answer anything: that is not a crash, and not an endpoint."""
    fault = description.blocking_fault(ARN, read(answer))
    assert fault is not None
    assert fault.reason == "ClusterCreating"


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING", "A_NEW_ONE"])
def test_a_cluster_with_an_endpoint_is_used(status: str) -> None:
    """Also during an update, and in a status that AWS adds later."""
    assert description.blocking_fault(ARN, described(status=status)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "CREATING", "endpoint": None}, "ClusterCreating"),
        ({"status": "PENDING", "endpoint": None}, "ClusterCreating"),
        ({"endpoint": None}, "ClusterCreating"),
        ({"certificateAuthority": {}}, "ClusterCreating"),
        ({"status": "DELETING"}, "ClusterDeleting"),
        ({"status": "FAILED", "health": {"issues": [{"code": "InsufficientFreeAddresses"}]}}, "ClusterFailed"),
        ({"connectorConfig": {"provider": "GKE"}, "endpoint": None}, "ClusterExternal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cluster_without_an_endpoint(changes: dict[str, Any], reason: str) -> None:
    """Each state is a separate reason that names cluster, account and Region, and says what to do."""
    fault = description.blocking_fault(ARN, described(**changes))
    assert fault is not None
    assert fault.reason == reason
    assert "the EKS cluster prod-eu in account 444455556666, eu-west-1" in fault.message
    assert fault.remedy
    if reason == "ClusterFailed":
        assert "InsufficientFreeAddresses" in fault.message


def test_a_local_cluster_on_outposts_uses_its_id() -> None:
    """Only there: authenticators of other clusters expect the name."""
    assert described(id="0f1e", outpostConfig={"outpostArns": []}).local_id == "0f1e"
    assert described(id="0f1e").local_id == ""


@pytest.mark.parametrize(
    ("caller", "changes", "reason", "reported"),
    [
        (
            CallerIdentity(principal=ROLE),
            {},
            "AccessEntryMissing",
            f"--principal-arn {ROLE} --kubernetes-groups policyhub",
        ),
        (CallerIdentity(), None, "AccessEntryMissing", "--principal-arn ROLE_ARN"),
        (
            CallerIdentity(principal=ROLE),
            {"accessConfig": {"authenticationMode": "CONFIG_MAP"}},
            "ConfigMapOnly",
            "aws-auth",
        ),
        (CallerIdentity(principal=ROLE, clock_skewed=True, fault=TROUBLE), {}, "ClockSkew", "Amazon Time Sync"),
        (
            CallerIdentity(principal=ROLE, credentials_rejected=True, fault=TROUBLE),
            {},
            "CredentialsExpired",
            "sign in again",
        ),
        (CallerIdentity(principal=ROLE, fault=TROUBLE), {}, "AccessEntryMissing", "create-access-entry"),
        (
            CallerIdentity(principal=ROLE),
            {"health": {"issues": [{"code": "StsRegionalEndpointDisabled"}]}},
            "AccessEntryMissing",
            "EKS reports for this cluster: StsRegionalEndpointDisabled. STS is disabled",
        ),
    ],
    ids=["no entry", "unknown caller", "aws-auth", "clock", "credentials that ended", "STS away", "STS off"],
)
def test_causes_of_a_401(caller: CallerIdentity, changes: dict[str, Any] | None, reason: str, reported: str) -> None:
    """A rejected token has different causes: the clock, the authentication mode, a missing access entry."""
    found = None if changes is None else described(**changes)
    fault = diagnosis.unauthorized(ARN, caller, found, detail="401 Unauthorized")
    assert fault.reason == reason
    assert reported in f"{fault.message}. {fault.remedy}"
    assert fault.remedy


def test_no_entry_is_deleted_that_may_be_right() -> None:
    """The first command creates one; only for a recreated role is one deleted."""
    remedy = diagnosis.unauthorized(ARN, CallerIdentity(principal=ROLE), None, detail="401").remedy
    before, _, after = remedy.partition("aws eks delete-access-entry")
    assert "aws eks create-access-entry" in before
    assert "If it does, and the role was deleted and created again" in before
    assert "keep the entry" in after


@pytest.mark.parametrize(
    ("network", "reason", "reported"),
    [
        ({"endpointPublicAccess": False, "publicAccessCidrs": []}, "EndpointPrivate", "security group"),
        ({"publicAccessCidrs": ["203.0.113.0/24"]}, "EndpointRestricted", "admits only 203.0.113.0/24"),
        ({"publicAccessCidrs": ["203.0.113.0/24", "0.0.0.0/0"]}, "Unreachable", "does not answer: timeout"),
        ({}, "Unreachable", "does not answer: timeout"),
    ],
    ids=["private", "ranges", "all ranges", "public"],
)
def test_timeouts_by_the_kind_of_endpoint(network: dict[str, Any], reason: str, reported: str) -> None:
    """Public DNS returns a private endpoint's addresses to everybody: the route or the security group fails."""
    fault = diagnosis.unreachable(described(resourcesVpcConfig=network), server="https://abc", detail="timeout")
    assert fault.reason == reason
    assert reported in f"{fault.message}. {fault.remedy}"
    assert fault.remedy
    assert "DNS" not in fault.message


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        (CallerIdentity(account="444455556666"), "ClusterGone"),
        (CallerIdentity(account="111122223333"), "ClusterNotFound"),
        (CallerIdentity(fault=TROUBLE), "ClusterNotFound"),
    ],
    ids=["its own account", "another account", "unknown account"],
)
def test_only_the_clusters_own_account_can_say_that_it_is_gone(caller: CallerIdentity, reason: str) -> None:
    """The answer in another or unverified account is no evidence."""
    fault = diagnosis.gone(ARN, caller, name="prod eu")
    assert fault.reason == reason
    assert ("policyhub retire 'prod eu' counts its findings" in fault.remedy) == (reason == "ClusterGone")


@pytest.mark.parametrize(
    ("arn", "role", "principal"),
    [
        ("arn:aws:sts::111122223333:assumed-role/policyhub/session", "", "arn:aws:iam::111122223333:role/policyhub"),
        ("arn:aws-cn:sts::111122223333:assumed-role/p/s", "", "arn:aws-cn:iam::111122223333:role/p"),
        ("arn:aws:sts::444455556666:assumed-role/policyhub/session", ROLE, ROLE),
        ("arn:aws:iam::111122223333:user/path/ann", "", "arn:aws:iam::111122223333:user/path/ann"),
        ("nothing", "", "nothing"),
    ],
)
def test_an_access_entry_names_the_role_of_a_session(arn: str, role: str, principal: str) -> None:
    """STS returns the session, without the role's path; the entry needs the role with its path."""
    assert diagnosis.principal(arn, role_arn=role) == principal
