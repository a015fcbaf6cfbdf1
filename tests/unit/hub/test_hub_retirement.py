"""Archiving all findings of a cluster: which are changed, whatever Security Hub returns meanwhile."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from policyhub.clock import WallMs
from policyhub.findings.asff import timestamp
from policyhub.securityhub import retirement
from policyhub.securityhub.client import Filters, ImportResult, Page
from policyhub.securityhub.errors import Failure, Unavailable
from policyhub.securityhub.inventory import milliseconds
from policyhub.securityhub.retirement import Retirement, count_findings

WRITTEN = WallMs(1_790_000_000_000)
UID = "8e5c"
PAGE = 10


def finding(number: int, *, identity: str = "prod", uid: str = UID, **members: Any) -> dict[str, Any]:
    """As GetFindings returns it, with values of analysts and AWS."""
    fields = {"policyhub/cluster": identity, "policyhub/cluster-uid": uid, "aws/securityhub/ProductName": "Default"}
    return {
        "Id": f"policyhub/{identity}/{number:032x}",
        "RecordState": "ACTIVE",
        "UpdatedAt": timestamp(WRITTEN),
        "ProductFields": fields,
        "Severity": {"Label": "HIGH", "Original": "high"},
        "Workflow": {"Status": "NEW"},
        "Resources": [{"Type": "Other", "Id": "x", "Tags": {"team": "a"}}],
        **members,
    }


class Hub:
    """A fake Security Hub: it silently ignores an import whose UpdatedAt is not later."""

    def __init__(self, *findings: dict[str, Any]) -> None:
        self.stored = {one["Id"]: one for one in findings}
        self.shown: dict[str, dict[str, Any]] | None = None
        """The result of GetFindings while it lags."""
        self.sent: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.fails = 0
        """Raised once, from this many calls on."""
        self.calls = 0
        self.between: list[dict[str, Any]] = []
        """Another writer's update before the first import."""

    async def find(self, filters: Filters) -> AsyncGenerator[Page, None]:
        (asked,) = filters["Id"]
        assert asked["Comparison"] == "PREFIX"
        seen = self.stored if self.shown is None else self.shown
        found = [f for f in seen.values() if f["Id"].startswith(asked["Value"]) and f["RecordState"] == "ACTIVE"]
        for start in range(0, len(found) + 1, PAGE):
            yield Page(tuple(found[start : start + PAGE]), "more" if start + PAGE < len(found) else "")

    async def import_findings(self, findings: Sequence[Any]) -> ImportResult:
        self.calls += 1
        if self.fails and self.calls == self.fails:
            raise Unavailable("no answer", code="Gone")
        for other in self.between:
            self._write(other)
        self.between = []
        result = ImportResult()
        for one in findings:
            self.sent.append(dict(one))
            if one["Id"] in self.refused:
                result.fail(one["Id"], Failure("InternalFailure", "not today", "retry"))
            else:
                result.accept(one["Id"])
                self._write(one)
        return result

    def _write(self, one: dict[str, Any]) -> None:
        before = self.stored[one["Id"]]
        if milliseconds(one["UpdatedAt"]) > milliseconds(before["UpdatedAt"]):
            self.stored[one["Id"]] = {**before, **one}

    def active(self) -> set[str]:
        return {id_ for id_, one in self.stored.items() if one["RecordState"] == "ACTIVE"}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few findings per read, so that a run takes several reads."""
    monkeypatch.setattr(retirement, "PASS", 25)


def work(hub: Hub, *uids: str, identity: str = "prod") -> Retirement:
    return Retirement(hub, identity=identity, uids=frozenset(uids or (UID,)))


OTHERS = [
    pytest.param(finding(1, uid="other"), id="another uid"),
    pytest.param(finding(1, uid=""), id="no uid"),
    pytest.param(finding(1, identity="prod-eu"), id="an identity that begins alike"),
    pytest.param({**finding(1), "ProductFields": {}}, id="nothing says whose"),
    pytest.param({**finding(1), "ProductFields": None}, id="no product fields"),
    pytest.param(finding(1, identity="prod") | {"Id": "policyhub/prod/a/b"}, id="an id with one more part"),
    pytest.param(
        {**finding(1), "ProductFields": {"policyhub/cluster": "prod-eu", "policyhub/cluster-uid": UID}},
        id="an id of this identity, fields of another",
    ),
    pytest.param(finding(1, RecordState="ARCHIVED"), id="archived already"),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_findings_of_others_are_never_changed(other: dict[str, Any]) -> None:
    """Only active findings of this identity and uid, by id and by fields, are sent."""
    hub = Hub(finding(2), other)
    done = work(hub)
    await done.run()
    assert [one["Id"] for one in hub.sent] == [finding(2)["Id"]]
    assert done.archived == 1
    assert hub.stored[other["Id"]] == other


async def test_the_identity_may_be_an_arn() -> None:
    """Its slash does not end the prefix."""
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"
    hub = Hub(finding(1, identity=arn), finding(1, identity=f"{arn}-eu"), finding(1))
    await work(hub, identity=arn).run()
    assert hub.active() == {f"policyhub/{arn}-eu/{1:032x}", finding(1)["Id"]}


async def test_findings_without_a_uid_by_name() -> None:
    """An empty uid selects them."""
    hub = Hub(finding(1, uid=""), finding(2))
    await work(hub, "").run()
    assert hub.active() == {finding(2)["Id"]}


async def test_all_of_many() -> None:
    """However many there are, in calls of at most a hundred; values of analysts and AWS are not sent."""
    hub = Hub(*map(finding, range(333)))
    done = work(hub)
    await done.run()
    assert hub.active() == set()
    assert (done.archived, len(hub.sent)) == (333, 333)
    for one in hub.sent:
        assert one["RecordState"] == "ARCHIVED"
        assert milliseconds(one["UpdatedAt"]) == WRITTEN + 1
        assert not {"Workflow", "Note", "UserDefinedFields", "VerificationState", "Severity"} & one.keys()
        assert not [name for name in one["ProductFields"] if name.startswith("aws/")]


async def test_a_finding_that_changed_since_it_was_read() -> None:
    """It stays unchanged, and is counted as changed."""
    fresh = {**finding(7), "UpdatedAt": timestamp(WRITTEN + 5_000), "Title": "anew"}
    hub = Hub(*map(finding, range(30)))
    hub.between = [fresh]
    done = work(hub)
    await done.run()
    assert hub.active() == {fresh["Id"]}
    assert hub.stored[fresh["Id"]]["Title"] == "anew"
    assert done.changed == {fresh["Id"]}
    await done.run()  # read again, in its current state
    assert hub.active() == set()
    assert not done.changed


async def test_a_lagging_read_ends() -> None:
    """GetFindings keeps returning all as active: each is sent once, and none counts as changed."""
    hub = Hub(*map(finding, range(60)))
    hub.shown = dict(hub.stored)
    done = work(hub)
    await done.run()
    assert Counter(one["Id"] for one in hub.sent).most_common(1)[0][1] == 1
    assert hub.active() == set()
    assert not done.changed
    assert len(done.updated_at) == 60


async def test_a_lagging_finding_is_sent_once() -> None:
    """Later runs read findings that GetFindings still returns as active: they are archived, and counted, once."""
    hub = Hub(*map(finding, range(60)))
    hub.shown = dict(hub.stored)
    done = work(hub)
    for _ in range(3):
        await done.run()
    assert (done.archived, len(hub.sent)) == (60, 60)
    assert len(done.updated_at) == 60
    hub.shown = None
    again = {**finding(7), "UpdatedAt": timestamp(WRITTEN + 5_000)}  # reactivated, and visible as such
    hub.stored[again["Id"]] = again
    await done.run()
    assert hub.active() == set()
    assert len(hub.sent) == 61


@pytest.mark.parametrize("later", [1, 2, 5_000])
async def test_unarchived_findings_are_not_counted(later: int) -> None:
    """An ignored import is acknowledged too, for example if another update has the same time."""
    fresh = {**finding(7), "UpdatedAt": timestamp(WRITTEN + later)}
    hub = Hub(*map(finding, range(30)))
    hub.between = [fresh]
    done = work(hub)
    await done.run()
    assert hub.active() == done.changed == {fresh["Id"]}
    assert done.archived == 29
    await done.run()
    assert (hub.active(), done.archived) == (set(), 30)


async def test_refusals_are_kept_with_their_reasons() -> None:
    """Each is tried once per run, and again in the next."""
    hub = Hub(*map(finding, range(40)))
    hub.refused = {finding(number)["Id"] for number in (3, 33)}
    done = work(hub)
    await done.run()
    assert done.failed.keys() == hub.active() == hub.refused
    assert done.reasons == {"InternalFailure: not today": 2}
    hub.refused = set()
    await done.run()
    assert (hub.active(), done.failed, done.archived) == (set(), {}, 40)


async def test_interrupted() -> None:
    """An error ends the run; archived findings are counted, and the next run does the rest."""
    hub = Hub(*map(finding, range(60)))
    hub.fails = 2
    done = work(hub)
    with pytest.raises(Unavailable):
        await done.run()
    assert 0 < done.archived < 60
    await done.run()
    assert (hub.active(), done.archived) == (set(), 60)


async def test_census() -> None:
    """By uid, severity and workflow status; a finding on two pages counts once; nothing is sent."""
    suppressed = {"Workflow": {"Status": "SUPPRESSED"}}
    hub = Hub(finding(1), finding(2) | suppressed, finding(3, uid="other"), finding(4, Severity=None), finding(5))
    hub.stored["again"] = finding(1)
    assert await count_findings(hub, "prod") == {
        (UID, "HIGH", "NEW"): 2,
        (UID, "HIGH", "SUPPRESSED"): 1,
        ("other", "HIGH", "NEW"): 1,
        (UID, "", "NEW"): 1,
    }
    assert hub.sent == []
