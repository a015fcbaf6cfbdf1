"""What DescribeCluster's, the API server's and the network's answers are told as."""

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


def test_an_arn_is_taken_apart() -> None:
    """Whatever the partition."""
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
def test_an_answer_that_lacks_everything_is_a_cluster_without_an_endpoint(answer: dict[str, Any]) -> None:
    """A proxy or a mock can answer anything: it is no crash, and no endpoint."""
    fault = description.blocking_fault(ARN, read(answer))
    assert fault is not None
    assert fault.reason == "ClusterCreating"


@pytest.mark.parametrize("status", ["ACTIVE", "UPDATING", "A_NEW_ONE"])
def test_a_cluster_with_an_endpoint_serves(status: str) -> None:
    """Also while it is updated, and in a status that AWS adds later."""
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
def test_a_cluster_that_does_not_serve(changes: dict[str, Any], reason: str) -> None:
    """Each state is a reason of its own that names cluster, account and Region, and says what to do."""
    fault = description.blocking_fault(ARN, described(**changes))
    assert fault is not None
    assert fault.reason == reason
    assert "the EKS cluster prod-eu in account 444455556666, eu-west-1" in fault.message
    assert fault.remedy
    if reason == "ClusterFailed":
        assert "InsufficientFreeAddresses" in fault.message


def test_a_local_cluster_on_outposts_is_signed_for_by_its_id() -> None:
    """An id counts only there: other clusters' names are what their authenticators know."""
    assert described(id="0f1e", outpostConfig={"outpostArns": []}).local_id == "0f1e"
    assert described(id="0f1e").local_id == ""


@pytest.mark.parametrize(
    ("caller", "changes", "reason", "said"),
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
def test_a_401_is_told_by_what_is_known(
    caller: CallerIdentity, changes: dict[str, Any] | None, reason: str, said: str
) -> None:
    """A token that the API server does not take is not the same as one that its clock, its mode or its missing entry
    make useless.
    """
    found = None if changes is None else described(**changes)
    fault = diagnosis.unauthorized(ARN, caller, found, detail="401 Unauthorized")
    assert fault.reason == reason
    assert said in f"{fault.message}. {fault.remedy}"
    assert fault.remedy


def test_no_entry_is_deleted_that_may_be_right() -> None:
    """The first command makes one; one is deleted only for a role that was made again."""
    remedy = diagnosis.unauthorized(ARN, CallerIdentity(principal=ROLE), None, detail="401").remedy
    before, _, after = remedy.partition("aws eks delete-access-entry")
    assert "aws eks create-access-entry" in before
    assert "If it does, and the role was deleted and created again" in before
    assert "keep the entry" in after


@pytest.mark.parametrize(
    ("network", "reason", "said"),
    [
        ({"endpointPublicAccess": False, "publicAccessCidrs": []}, "EndpointPrivate", "security group"),
        ({"publicAccessCidrs": ["203.0.113.0/24"]}, "EndpointRestricted", "admits only 203.0.113.0/24"),
        ({"publicAccessCidrs": ["203.0.113.0/24", "0.0.0.0/0"]}, "Unreachable", "does not answer: timeout"),
        ({}, "Unreachable", "does not answer: timeout"),
    ],
    ids=["private", "ranges", "all ranges", "public"],
)
def test_silence_is_told_by_the_kind_of_endpoint(network: dict[str, Any], reason: str, said: str) -> None:
    """Public DNS gives a private endpoint's addresses to everybody: what fails is the route or the security group."""
    fault = diagnosis.unreachable(described(resourcesVpcConfig=network), server="https://abc", detail="timeout")
    assert fault.reason == reason
    assert said in f"{fault.message}. {fault.remedy}"
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
    """What another account does not know, or one that nobody has verified, is no evidence."""
    fault = diagnosis.gone(ARN, caller, name="prod eu")
    assert fault.reason == reason
    assert ("policyhub retire 'prod eu': it counts" in fault.remedy) == (reason == "ClusterGone")


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
    """STS names the session, without the role's path; the entry needs the role, with it."""
    assert diagnosis.principal(arn, role_arn=role) == principal
