"""The ClusterDiscovery controller without an API server or AWS: who waits for whom, and what is written."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.reason import Reason
from policyhub.clusterdiscovery.controller import Discoveries
from policyhub.clusterdiscovery.plan import arn_of
from policyhub.eks.connector import EksClusters
from policyhub.eks.description import Arn, Description
from policyhub.eks.diagnosis import CallerIdentity
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import NotTried
from policyhub.metrics.definitions import Metrics
from policyhub.settings import Settings

FIRST, SECOND, REGION = "111111111111", "222222222222", "eu-west-1"
DISCOVERIES = "/apis/policyhub.dev/v1alpha1/clusterdiscoveries"
CLUSTERS = "/apis/policyhub.dev/v1alpha1/monitoredclusters"


class Home:
    """The parts of the operator's own API server that discovery uses."""

    def __init__(self) -> None:
        self.discoveries: dict[str, dict[str, Any]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.refuses: Exception | None = None
        self.hold: tuple[str, asyncio.Event] | None = None
        """POSTs of MonitoredClusters whose name has this prefix wait for this event."""
        self.posts: list[str] = []
        self.lists = 0
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.changed = asyncio.Event()

    def discover(self, name: str, *accounts: str, generation: int = 1, **spec: Any) -> None:
        given = {
            "accounts": [{"accountId": one, "roleArn": role(one)} for one in accounts],
            "regions": [REGION],
            **spec,
        }
        metadata = {"name": name, "uid": f"uid-{name}", "generation": generation, "labels": {"shard": "a"}}
        self.discoveries[name] = {"metadata": metadata, "spec": given}

    async def get(self, path: str, params: object = None, *, limit: int = 0) -> bytes:
        items = self.discoveries if path == DISCOVERIES else self.clusters
        self.lists += path == CLUSTERS
        return json.dumps({"items": [*items.values()]}).encode()

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        if path == CLUSTERS:
            name = body["metadata"]["name"]
            self.posts.append(name)
            if self.hold is not None and name.startswith(self.hold[0]):
                await self.hold[1].wait()
            if self.refuses is not None:
                raise self.refuses
            if name in self.clusters:
                raise Refused(409, "AlreadyExists", f"{name} already exists")
            self.clusters[name] = {**body, "metadata": {**body["metadata"], "uid": f"uid-{name}"}}
            self.changed.set()
        return b"{}"

    async def patch(self, path: str, body: Mapping[str, Any]) -> bytes:
        name = path.removeprefix(f"{DISCOVERIES}/").removesuffix("/status")
        self.statuses.setdefault(name, []).append(body["status"])
        self.changed.set()
        return b"{}"

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        latest = self.statuses.get(name, [{"conditions": ()}])[-1]
        return next((one for one in latest["conditions"] if one["type"] == type_), {"reason": "", "message": ""})


def role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/policyhub"


class Account:
    """In the form of `Identity`; its lists wait for `holds`."""

    def __init__(self, number: str, *names: str) -> None:
        self.number = number
        self.clusters = frozenset(names)
        self.holds: asyncio.Event | None = None
        self.asked = 0
        self.tags: dict[str, str] = {}
        self.denies = False

    async def names(self, _: Arn) -> frozenset[str]:
        self.asked += 1
        if self.denies:
            raise NotTried(Reason.ACCESS_DENIED, "AssumeRole: no")
        if self.holds is not None:
            await self.holds.wait()
        return self.clusters

    async def describe(self, arn: Arn) -> Description:
        return Description(arn=arn.text, status="ACTIVE", endpoint="https://a", authority="LS0t", tags=self.tags)

    async def caller(self, _: Arn) -> CallerIdentity:
        return CallerIdentity(account=self.number)


class Eks:
    def __init__(self, *accounts: Account) -> None:
        self.accounts = {role(one.number): one for one in accounts}

    def identity(self, region: str, role_arn: str, external_id: str) -> Account:
        return self.accounts[role_arn]


class Work:
    """A running controller; `beat` lets all timed waits continue once."""

    def __init__(self, home: Home, *accounts: Account, **settings: Any) -> None:
        self._sleepers: list[asyncio.Event] = []
        self.controller = Discoveries(
            home=cast("Connection", home),
            eks=cast("EksClusters", Eks(*accounts)),
            settings=Settings(cluster_discovery=True, **settings),
            metrics=Metrics(CollectorRegistry()),
            clock=lambda: 0.0,
            sleep=self._sleep,
        )
        self.task = asyncio.create_task(self.controller.run())

    async def _sleep(self, seconds: float) -> None:
        if seconds < 1:  # a pause between calls
            return
        event = asyncio.Event()
        self._sleepers.append(event)
        await event.wait()

    def beat(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for event in sleepers:
            event.set()

    async def looks(self, times: int = 1) -> None:
        """Run this many discoveries of all accounts, as far as they answer, and everything that follows."""
        for _ in range(times):
            self.beat()
            await quiet()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def quiet() -> None:
    """Wait until no task can continue: no fake takes longer than a few turns of the loop."""
    for _ in range(500):
        await asyncio.sleep(0)


@pytest.fixture
def home() -> Home:
    return Home()


async def test_an_unresponsive_account_delays_no_other(home: Home) -> None:
    """Clusters of the other accounts get their MonitoredClusters while it hangs, and the status names it."""
    away, well = Account(FIRST, "a"), Account(SECOND, "b")
    away.holds = asyncio.Event()
    home.discover("fleet", FIRST, SECOND)
    work = Work(home, away, well)
    await home.until(lambda: home.condition("fleet", "ClustersMade")["reason"] == "AllMade")
    assert [*home.clusters] == [f"b-{REGION}-{SECOND}"]
    assert home.condition("fleet", "Listed")["reason"] == "Listing"
    away.holds.set()
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    assert len(home.clusters) == 2
    await work.end()


async def test_two_discoveries_create_one_monitored_cluster(home: Home) -> None:
    """Both find the same cluster at the same time: one creates it, for the other it is monitored already."""
    home.discover("one", FIRST, namePattern="one-{name}")
    home.discover("two", FIRST, namePattern="two-{name}")
    work = Work(home, Account(FIRST, "a"))
    await home.until(lambda: all(home.condition(name, "Ready")["reason"] == "AllWell" for name in ("one", "two")))
    assert len(home.clusters) == 1
    await work.end()


@pytest.mark.parametrize("by", ["another discovery", "a person"])
async def test_what_is_made_while_a_post_waits_is_not_made_again(home: Home, by: str) -> None:
    """A search has decided to make several, and waits in the POST of the first. Meanwhile somebody makes another one,
    and a later search lists it: it is monitored already.
    """
    home.hold = "one-a", asyncio.Event()
    home.discover("one", FIRST, namePattern="one-{name}")
    account = Account(FIRST, "a", "b")
    work = Work(home, account, Account(SECOND))
    await quiet()
    if by == "a person":
        home.clusters["two-b"] = {
            "metadata": {"name": "two-b", "uid": "uid-two-b"},
            "spec": {"clusterArn": arn_of(FIRST, REGION, "b")},
        }
        home.discover("two", SECOND, namePattern="two-{name}")
    else:
        home.discover("two", FIRST, namePattern="two-{name}", tagSelector={"matchTags": {"name": "b"}})
        account.tags = {"name": "b"}
        account.clusters = frozenset({"b"})
    await work.looks(3)
    assert "two-b" in home.clusters
    home.hold[1].set()
    await quiet()
    made = [one["spec"]["clusterArn"] for one in home.clusters.values()]
    assert made.count(arn_of(FIRST, REGION, "b")) == 1
    await work.end()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused(422, "Invalid", "spec.x: no"), "TemplateRefused"),
        (Refused(403, "Forbidden", "denied by policy"), "TemplateRefused"),
        (
            Refused(403, "Forbidden", 'User "x" cannot create resource "monitoredclusters" in API group'),
            "CreateForbidden",
        ),
        (Refused(500, "InternalError", "etcd"), "NotCreated"),
        (Unreachable("no answer"), "NotCreated"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "status", "none")),
)
async def test_a_rejected_monitored_cluster(home: Home, error: Refused | Unreachable, reason: str) -> None:
    """The status says why and what to do; after it is accepted, the condition is good."""
    home.discover("fleet", FIRST)
    home.refuses = error
    work = Work(home, Account(FIRST, "a"))
    await home.until(lambda: home.condition("fleet", "ClustersMade")["reason"] == reason)
    assert str(error) in home.condition("fleet", "ClustersMade")["message"]
    home.refuses = None
    work.beat()
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    await work.end()


async def test_a_status_is_written_when_it_changes(home: Home) -> None:
    """A second discovery with the same result writes nothing."""
    account = Account(FIRST, "a")
    home.discover("fleet", FIRST)
    work = Work(home, account)
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    written = len(home.statuses["fleet"])
    while account.asked < 4:
        work.beat()
        await asyncio.sleep(0)
    account.clusters = frozenset({"a", "b"})
    work.beat()
    await home.until(lambda: home.statuses["fleet"][-1]["made"] == 2)
    assert len(home.statuses["fleet"]) == written + 1
    await work.end()


async def test_an_unreadable_spec(home: Home) -> None:
    """It is reported, no account is called, and other discoveries continue."""
    home.discover("broken", FIRST, namePattern="no-placeholder")
    home.discover("fleet", SECOND)
    first = Account(FIRST, "a")
    work = Work(home, first, Account(SECOND, "b"))
    await home.until(lambda: home.condition("broken", "Ready")["reason"] == "InvalidSpec")
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    assert first.asked == 0
    await work.end()


async def test_an_internal_error_is_retried(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to edit the ClusterDiscovery, and the others continue; an orderly end is not restarted."""
    begun: list[str] = []
    rightly = Discoveries._work

    async def work_on(self: Discoveries, body: Mapping[str, Any]) -> None:
        begun.append(name := body["metadata"]["name"])
        if begun.count(name) <= 2 and name == "fleet":
            raise RuntimeError("something that nobody expected")
        await rightly(self, body)

    monkeypatch.setattr(Discoveries, "_work", work_on)
    home.discover("fleet", FIRST)
    home.discover("other", SECOND)
    home.discover("broken", FIRST, namePattern="no-placeholder")
    work = Work(home, Account(FIRST, "a"), Account(SECOND, "b"))
    await work.looks(4)
    assert home.condition("fleet", "Ready")["reason"] == "AllWell"
    assert Counter(begun) == {"fleet": 3, "other": 1, "broken": 1}
    await work.end()


async def test_only_discoveries_with_the_operators_labels(home: Home) -> None:
    """Operators that divide a fleet by labels each handle their own ClusterDiscoveries."""
    home.discover("fleet", FIRST, template={"metadata": {"labels": {"shard": "a"}}})
    home.discover("other", SECOND)
    home.discoveries["other"]["metadata"]["labels"] = {"shard": "b"}
    second = Account(SECOND, "b")
    work = Work(home, Account(FIRST, "a"), second, watch_selector="shard=a")
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    assert second.asked == 0
    await work.end()


async def test_an_edit_applies_to_future_clusters(home: Home) -> None:
    """A new generation starts again; existing MonitoredClusters stay unchanged."""
    account = Account(FIRST, "a")
    home.discover("fleet", FIRST)
    work = Work(home, account)
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    before = dict(home.clusters)
    home.discover("fleet", FIRST, generation=2, namePattern="new-{name}", template={"spec": {"mode": "DryRun"}})
    work.beat()
    await home.until(lambda: home.statuses["fleet"][-1]["observedGeneration"] == 2)
    account.clusters = frozenset({"a", "b"})
    work.beat()
    await home.until(lambda: "new-b" in home.clusters)
    assert home.clusters["new-b"]["spec"]["mode"] == "DryRun"
    assert {name: home.clusters[name] for name in before} == before
    assert arn_of(FIRST, REGION, "a") in {one["spec"]["clusterArn"] for one in before.values()}
    await work.end()


SELECTED = {"policyhub": "yes"}


async def selecting(home: Home, *accounts: Account, **spec: Any) -> Work:
    """Both are selected by their tag, and all is well."""
    home.discover("fleet", *(one.number for one in accounts), tagSelector={"matchTags": SELECTED}, **spec)
    for one in accounts:
        one.tags = SELECTED
    work = Work(home, *accounts)
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    return work


SHOP = f"shop-{REGION}-{FIRST}"


@pytest.mark.parametrize("looks_before", [0, 3])
async def test_a_deleted_monitored_cluster_is_not_recreated_on_old_evidence(home: Home, looks_before: int) -> None:
    """The tag was removed, and the MonitoredCluster deleted: neither another account's discovery recreates it, nor the
    next one of its own.
    """
    first, second = Account(FIRST, "shop"), Account(SECOND, "bank")
    work = await selecting(home, first, second)
    await work.looks(looks_before)
    first.tags, first.holds = {}, asyncio.Event()
    del home.clusters[SHOP]
    asked = second.asked
    await work.looks(2)
    assert second.asked == asked + 2
    assert SHOP not in home.clusters
    first.holds.set()
    await work.looks(2)
    assert SHOP not in home.clusters
    output = {one["monitoredCluster"] or one["reason"] for one in home.statuses["fleet"][-1]["clusters"]}
    assert output == {"TagsDiffer", f"bank-{REGION}-{SECOND}"}
    await work.end()


async def test_a_denied_account_is_no_evidence(home: Home) -> None:
    """Its earlier answer creates nothing, however often a person deletes the MonitoredCluster."""
    first, second = Account(FIRST, "shop"), Account(SECOND, "bank")
    work = await selecting(home, first, second)
    first.denies = True
    await work.looks(3)
    del home.clusters[SHOP]
    await work.looks(12)
    assert SHOP not in home.clusters
    assert home.condition("fleet", "Listed")["reason"] == "AccessDenied"
    await work.end()


async def test_a_cluster_that_is_still_selected_is_recreated(home: Home) -> None:
    """At the next discovery of its account, however many others were skipped there; EKS is called for it first."""
    first = Account(FIRST, "shop")
    work = await selecting(home, first, template={"metadata": {"labels": {"team": "shop"}}})
    first.tags = {}
    first.clusters = frozenset({"shop", *(f"a{number:02}" for number in range(25))})
    await work.looks(2)
    first.tags = SELECTED
    del home.clusters[SHOP]
    await work.looks()
    assert SHOP in home.clusters
    await work.end()


async def test_a_rejected_cluster_is_retried_at_its_own_discoveries_only(home: Home) -> None:
    """Discoveries of other accounts do not POST it, and keep reporting the reason."""
    first, second = Account(FIRST, "shop"), Account(SECOND, "bank")
    home.refuses = Refused(403, "Forbidden", "denied by policy")
    home.discover("fleet", FIRST, SECOND)
    work = Work(home, first, second)
    await quiet()
    first.holds = asyncio.Event()
    home.posts.clear()
    await work.looks(3)
    assert {*home.posts} == {f"bank-{REGION}-{SECOND}"}
    assert [one["reason"] for one in home.statuses["fleet"][-1]["clusters"]] == ["TemplateRefused"] * 2
    await work.end()


@pytest.mark.parametrize(
    "error",
    [Unreachable("no answer"), Refused(500, "InternalError", "webhook")],
    ids=lambda error: type(error).__name__,
)
async def test_a_failing_api_server_is_not_called_repeatedly(home: Home, error: Exception) -> None:
    """After three failed POSTs in a row the others wait for the next discovery; all are reported."""
    home.refuses = error
    home.discover("fleet", FIRST)
    work = Work(home, Account(FIRST, *"abcdefgh"))
    await quiet()
    assert len(home.posts) == 3
    assert [one["reason"] for one in home.statuses["fleet"][-1]["clusters"]] == ["NotCreated"] * 8
    home.refuses = None
    await work.looks()
    assert len(home.clusters) == 8
    assert home.condition("fleet", "Ready")["reason"] == "AllWell"
    await work.end()


async def test_a_slow_api_server_delays_no_other(home: Home) -> None:
    """While a MonitoredCluster waits for its admission, those of others are created and reported; one with the same ARN
    finds it.
    """
    home.hold = "slow", asyncio.Event()
    home.discover("slow", FIRST, namePattern="slow-{name}")
    work = Work(home, Account(FIRST, "a"), Account(SECOND, "b"))
    await quiet()
    home.discover("same", FIRST, namePattern="same-{name}")
    home.discover("fleet", SECOND)
    await work.looks()
    assert home.condition("fleet", "Ready")["reason"] == "AllWell"
    home.hold[1].set()
    await quiet()
    assert {*home.clusters} == {"slow-a", f"b-{REGION}-{SECOND}"}
    assert home.condition("same", "Ready")["reason"] == "AllWell"
    await work.end()


async def test_monitored_clusters_are_listed_once_a_discovery(home: Home) -> None:
    """If nothing is to be created; before a creation, once more."""
    first = Account(FIRST, "shop")
    work = await selecting(home, first)
    await quiet()
    before = home.lists, first.asked
    await work.looks(3)
    assert (home.lists - before[0], first.asked - before[1]) == (3, 3)
    await work.end()


async def test_an_unreadable_status(home: Home) -> None:
    """A newer version wrote it: it is written again, and the work continues."""
    home.discover("fleet", FIRST)
    cluster = {"arn": "arn:aws:eks:xx-new-1:1:cluster/x", "state": "Kept", "reason": "no word"}
    home.discoveries["fleet"]["status"] = {"clusters": [cluster], "conditions": [{"type": "Ready"}], "made": "many"}
    work = Work(home, Account(FIRST, "shop"))
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "AllWell")
    assert [*home.clusters] == [SHOP]
    await work.end()


async def test_an_unsupported_region(home: Home) -> None:
    """It is rejected with the spec, because the status could not name its clusters."""
    home.discover("fleet", FIRST, regions=["us-iso-east-1"])
    work = Work(home, Account(FIRST, "shop"))
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "InvalidSpec")
    assert "aws-us-gov" in home.condition("fleet", "Ready")["message"]
    await work.end()


async def test_a_template_that_no_operator_selects(home: Home) -> None:
    """No MonitoredCluster is created that the operator does not watch, and the condition says how to fix it."""
    home.discover("fleet", FIRST, template={"metadata": {"labels": {"shard": "b"}}})
    work = Work(home, Account(FIRST, "shop"), watch_selector="shard=a")
    await home.until(lambda: home.condition("fleet", "Ready")["reason"] == "NotSelected")
    assert "spec.template.metadata.labels" in home.condition("fleet", "ClustersMade")["message"]
    assert home.posts == []
    await work.end()
