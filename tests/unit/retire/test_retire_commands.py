"""The commands that messages tell people to run: the parser takes them, and they mean what the message says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import policyhub
from policyhub.api.reason import Cause, Reason
from policyhub.cluster import conflict
from policyhub.cluster.formatting import retire_command
from policyhub.cluster.snapshot import Aliases, Snapshot, Twin
from policyhub.clusterdiscovery.plan import Answer, existing, plan
from policyhub.control.deletion import writer
from policyhub.eks import diagnosis
from policyhub.eks.description import Arn
from policyhub.eks.diagnosis import CallerIdentity
from policyhub.retire.target import target
from policyhub.settings import Settings
from tests.unit.clusterdiscovery.test_discovery_plan import ACCOUNT, REGION, arn, spec
from tests.unit.retire.commands import parameters, parsed_command, printed

HUB = ("999988887777", "us-east-1")
ROLE = "arn:aws:iam::999988887777:role/hub"
ODD = "it's; $(odd)"
SEEN = Snapshot(name="prod", identity=arn("shop"), account=HUB[0], region=HUB[1], cluster_uid="8e5c")


def monitored(*, status: dict[str, Any], **securityhub: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "shop", "uid": "1", "labels": {"policyhub.dev/discovered-by": "fleet"}},
        "spec": {"clusterArn": arn("shop"), "connection": {"eks": {}}, "securityHub": securityhub},
        "status": status,
    }


@pytest.mark.parametrize(
    ("body", "uid", "hub"),
    [
        pytest.param(
            monitored(status={"clusterUid": "8e5c", "hub": {"accountId": HUB[0], "region": HUB[1]}}, roleArn=ROLE),
            {"8e5c"},
            (*HUB, ROLE, ""),
            id="the settings named the hub",
        ),
        pytest.param(
            monitored(
                status={"clusterUid": "8e5c"}, accountId=HUB[0], region=HUB[1], roleArn=ROLE, externalId="a:b/c=1"
            ),
            {"8e5c"},
            (*HUB, ROLE, "a:b/c=1"),
            id="the spec named the hub",
        ),
        pytest.param(monitored(status={}), set(), (ACCOUNT, REGION, "", ""), id="never connected: it only counts"),
    ],
)
def test_a_cluster_that_discovery_misses(body: dict[str, Any], uid: set[str], hub: tuple[str, ...]) -> None:
    """First the MonitoredCluster is deleted, since `retire` refuses while it sends; then its findings are archived, by
    a command that needs nothing of the object.
    """
    (gone,) = plan("fleet", spec(), [Answer(ACCOUNT, REGION, {}, frozenset({"shop"}))], [existing(body)])
    assert gone.state == "Gone"
    remedy = gone.why.remedy
    command = printed(remedy)
    assert "kubectl delete monitoredcluster shop;" in remedy[: remedy.index(command)]
    settings = Settings(account_id=ACCOUNT, region=REGION)
    found = target(parsed_command(command), (), settings=settings)
    assert (found.identity, set(found.uids), tuple(found.hub)) == (arn("shop"), uid, hub)
    assert parameters(command)["yes"] == bool(uid)
    if uid:  # as it is before the deletion
        refused = writer([body], identity=found.identity, hub=found.hub.place, uids=uid, settings=settings)
        assert refused == "shop"


@pytest.mark.parametrize("name", ["prod", ODD])
@pytest.mark.parametrize(
    ("shown", "identity"),
    [
        ({"twins": (Twin("other", "legacy"),)}, "legacy"),
        ({"twins": (Twin("other", ODD),)}, ODD),
        ({"aliases": Aliases(numbers={"old": 8}, more=False)}, "old"),
    ],
    ids=["TwoIdentities", "odd", "OtherIdentity"],
)
def test_a_second_identity(name: str, shown: dict[str, Any], identity: str) -> None:
    """The MonitoredCluster exists, so only the other identity has to be named."""
    told = conflict.shared(replace(SEEN, name=name, **shown))
    assert told is not None
    command = retire_command(name, identity=identity)
    assert command in told.message
    options = parsed_command(command)
    assert (options.cluster, options.identity, parameters(command)["yes"]) == (name, identity, False)


@pytest.mark.parametrize("name", ["prod", ODD])
def test_a_cluster_that_eks_misses(name: str) -> None:
    """It counts by the name of the MonitoredCluster, which exists."""
    told = diagnosis.gone(Arn.parse(arn("shop")), CallerIdentity(account=ACCOUNT), name=name)
    assert isinstance(told, Cause)
    assert told.reason is Reason.CLUSTER_GONE
    assert parsed_command(printed(told.remedy) if name == "prod" else retire_command(name)).cluster == name
    assert retire_command(name) in told.remedy


def test_every_option_reaches_the_parser() -> None:
    """Whatever the values are, quoted for a shell."""
    options = {"identity": ODD, "account": "1", "region": "r", "role_arn": "a r", "external_id": "'"}
    command = retire_command("x y", uids=("none", "8e5c"), yes=True, **options)
    read = parsed_command(command)
    assert (read.cluster, set(read.uids)) == ("x y", {"", "8e5c"})
    assert {name: getattr(read, name) for name in options} == options
    assert parameters(command)["yes"] is True


def test_nobody_else_writes_such_a_command() -> None:
    """One function builds the command line, so that all of them are quoted and taken by the parser."""
    root = Path(policyhub.__file__).parent
    wrote = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for text in path.read_text().splitlines()
        if "policyhub retire {" in text or '"policyhub", "retire"' in text
    }
    assert wrote == {"cluster/formatting.py"}
