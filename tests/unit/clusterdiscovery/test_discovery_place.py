"""The calls to one account and Region, and the meaning of its answers, without AWS."""

from collections.abc import Iterable
from typing import cast

import pytest

from policyhub.api.clusterdiscovery import Account
from policyhub.api.reason import Cause, Reason
from policyhub.clusterdiscovery.place import AGAIN, Place
from policyhub.clusterdiscovery.plan import UNDESCRIBED, arn_of
from policyhub.eks.description import Arn, Description
from policyhub.eks.diagnosis import CallerIdentity
from policyhub.eks.identity import ClusterMissing, Identity
from policyhub.kube.errors import NotTried

OWN, REGION = "444455556666", "eu-west-1"
ROLE = f"arn:aws:iam::{OWN}:role/policyhub"
DENIED = NotTried(Reason.ACCESS_DENIED, "DescribeCluster in account 444455556666, eu-west-1: AccessDeniedException: no")
THROTTLED = NotTried(Reason.THROTTLED, "TooManyRequestsException", remedy="wait")


class Aws:
    """One account: its answers, and the calls to it."""

    def __init__(self, *names: str) -> None:
        self.names_: frozenset[str] | NotTried = frozenset(names)
        self.account = OWN
        self.fault: Cause | None = None
        self.fails: dict[str, Exception] = {}
        """By cluster; clusters that are neither listed nor here do not exist."""
        self.asked: list[str] = []
        self.pauses: list[float] = []

    async def names(self, _: Arn) -> frozenset[str]:
        if isinstance(self.names_, NotTried):
            raise self.names_
        return self.names_

    async def describe(self, arn: Arn) -> Description:
        self.asked.append(arn.name)
        if arn.name in self.fails:
            raise self.fails[arn.name]
        if isinstance(self.names_, frozenset) and arn.name not in self.names_:
            raise ClusterMissing
        return Description(arn=arn.text, status="CREATING" if arn.name.startswith("new") else "ACTIVE")

    async def caller(self, _: Arn) -> CallerIdentity:
        return CallerIdentity(account=self.account, fault=self.fault)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def place(self, role_arn: str | None = ROLE) -> Place:
        account = Account(account_id=OWN, role_arn=role_arn)
        return Place(lambda: cast("Identity", self), account, REGION, sleep=self.sleep)


async def search(place: Place, aws: Aws, *, monitored: Iterable[str] = (), made: Iterable[str] = ()) -> list[str]:
    """The clusters for which DescribeCluster was called."""
    before = len(aws.asked)
    made_arns = [arn_of(OWN, REGION, name) for name in made]
    all_ = {*(arn_of(OWN, REGION, name) for name in monitored), *made_arns}
    await place.search(monitored=all_, made=made_arns)
    return aws.asked[before:]


async def test_monitored_clusters_are_never_described() -> None:
    """Only new clusters are described, each after a pause: the operator needs the calls to connect."""
    aws = Aws("a", "b", "c")
    assert await search(aws.place(), aws, monitored=["a"], made=["b"]) == ["c"]
    assert len(aws.pauses) == 1


async def test_tags_of_known_clusters_are_read_rarely() -> None:
    """Some of the skipped clusters are described at each discovery, in turn; inactive ones always."""
    names = [f"c{number:02}" for number in range(25)]
    aws = Aws(*names, "new")
    place = aws.place()
    assert await search(place, aws) == [*names, "new"]
    second = await search(place, aws)
    assert second == ["new", *names[:AGAIN]]
    assert await search(place, aws) == ["new", *names[AGAIN : 2 * AGAIN]]


@pytest.mark.parametrize(
    "error", [THROTTLED, NotTried(Reason.UNAVAILABLE, "no answer")], ids=lambda error: error.reason
)
async def test_a_throttled_discovery_ends_and_the_next_continues(error: NotTried) -> None:
    """No call follows a throttled or unanswered one; known facts stay, and missing ones are read next."""
    aws = Aws("a", "b", "c")
    aws.fails["b"] = error
    place = aws.place()
    assert await search(place, aws) == ["a", "b"]
    assert place.answer.clusters["c"] is UNDESCRIBED
    found = place.answer.clusters["b"]
    assert isinstance(found, Cause)
    assert found.reason == "NotDescribed"
    aws.fails.clear()
    assert await search(place, aws) == ["c", "b", "a"]
    assert all(isinstance(found, Description) for found in place.answer.clusters.values())


async def test_a_forbidden_cluster_stops_no_other() -> None:
    """A permission may be for some clusters only."""
    aws = Aws("a", "b")
    aws.fails["a"] = DENIED
    place = aws.place()
    assert await search(place, aws) == ["a", "b"]
    assert isinstance(place.answer.clusters["b"], Description)
    found = place.answer.clusters["a"]
    assert isinstance(found, Cause)
    assert "eks:DescribeCluster" in found.remedy


@pytest.mark.parametrize(
    ("failure", "account", "gone"),
    [
        pytest.param(None, OWN, True, id="EKS does not know it"),
        pytest.param(None, "999999999999", False, id="another account does not know it"),
        pytest.param(None, "", False, id="STS does not report the caller"),
        pytest.param(DENIED, OWN, False, id="AccessDenied"),
        pytest.param(THROTTLED, OWN, False, id="throttled"),
        pytest.param(NotTried(Reason.UNAVAILABLE, "no answer"), OWN, False, id="no answer"),
    ],
)
async def test_which_clusters_count_as_gone(failure: NotTried | None, account: str, *, gone: bool) -> None:
    """A list without the cluster is no evidence; only its own account can say that it is gone."""
    aws = Aws()
    aws.account = account
    aws.fails = {"shop": failure} if failure is not None else {}
    place = aws.place()
    assert await search(place, aws, made=["shop"]) == ["shop"]
    assert place.answer.gone == ({"shop"} if gone else set())


async def test_a_list_that_lacks_an_existing_cluster() -> None:
    """EKS may list late: DescribeCluster knows it."""
    aws = Aws()
    aws.describe = described  # type: ignore[method-assign]
    place = aws.place()
    await search(place, aws, made=["shop"])
    assert place.answer.gone == frozenset()


async def described(arn: Arn) -> Description:
    return Description(arn=arn.text, status="ACTIVE")


async def test_a_returning_cluster_is_not_gone() -> None:
    """A cluster that is listed again exists."""
    aws = Aws()
    place = aws.place()
    await search(place, aws, made=["shop"])
    assert place.answer.gone == {"shop"}
    aws.names_ = frozenset({"shop"})
    await search(place, aws, made=["shop"])
    assert place.answer.gone == frozenset()


async def test_a_failed_list_changes_nothing() -> None:
    """Known facts stay, and no cluster is described."""
    aws = Aws("a")
    place = aws.place()
    await search(place, aws)
    aws.names_ = DENIED
    assert await search(place, aws, made=["b"]) == []
    assert isinstance(place.answer.clusters["a"], Description)
    assert place.answer.gone == frozenset()
    assert place.fault is not None
    assert place.seen.clusters == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotTried(Reason.CREDENTIALS_REJECTED, "UnrecognizedClientException"), "RegionOff"),
        (NotTried(Reason.NOT_ENABLED, "OptInRequired"), "RegionOff"),
        (NotTried(Reason.ACCESS_DENIED, "no"), "AccessDenied"),
        (NotTried(Reason.CREDENTIALS_REJECTED, "InvalidClientTokenId"), "RegionOff"),
        (NotTried(Reason.CREDENTIALS_REJECTED, "InvalidSignatureException: not yet current"), "CredentialsRejected"),
    ],
    ids=str,
)
async def test_a_disabled_region(error: NotTried, reason: str) -> None:
    """Credentials that EKS rejects in one Region and STS accepts mean that the Region is disabled."""
    aws = Aws()
    aws.names_ = error
    place = aws.place()
    await search(place, aws)
    assert place.fault is not None
    assert place.fault.reason == reason


async def test_invalid_credentials_are_not_a_disabled_region() -> None:
    """If STS rejects them too, they are the cause."""
    aws = Aws()
    aws.names_ = NotTried(Reason.CREDENTIALS_REJECTED, "InvalidClientTokenId")
    aws.account = ""
    place = aws.place()
    await search(place, aws)
    assert place.fault is not None
    assert place.fault.reason == "CredentialsRejected"


async def test_the_operators_identity_must_be_of_the_account() -> None:
    """Without a role, another account than the named one would be listed."""
    aws = Aws("a")
    aws.account = "999999999999"
    place = aws.place(role_arn=None)
    assert await search(place, aws) == []
    assert place.fault is not None
    assert (place.fault.reason, place.listed) == ("AccountMismatch", False)
    assert "999999999999" in place.fault.message


@pytest.mark.parametrize(
    "error", [THROTTLED, NotTried(Reason.UNAVAILABLE, "no answer")], ids=lambda error: error.reason
)
async def test_a_cluster_that_never_answers_delays_no_other(error: NotTried) -> None:
    """A missing cluster that always ends the discovery: new ones are described, and other missing ones too."""
    aws = Aws("new")
    aws.fails["a"] = error
    place = aws.place()
    asked = [*await search(place, aws, made=["a", "b"]), *await search(place, aws, made=["a", "b"])]
    assert {"new", "b"} <= {*asked}
    assert place.answer.gone == {"b"}


async def test_a_known_cluster_that_never_answers_delays_no_other() -> None:
    """Its earlier state stays in effect, and the others have their turn."""
    aws = Aws("a", "b")
    place = aws.place()
    await search(place, aws)
    aws.fails["a"] = THROTTLED
    assert [*await search(place, aws), *await search(place, aws)] == ["a", "b", "a"]
    assert isinstance(place.answer.clusters["a"], Description)


async def test_the_state_of_an_unmonitored_cluster_is_dropped() -> None:
    """When nobody monitors it any more it counts as new."""
    aws = Aws("a")
    place = aws.place()
    await search(place, aws)
    await search(place, aws, monitored=["a"])
    assert place.answer.clusters["a"] is UNDESCRIBED
    assert await search(place, aws) == ["a"]
    assert place.answer.fresh == {"a"}
    aws.names_ = DENIED
    await search(place, aws)
    assert place.answer.fresh == frozenset()
