"""Reading the inventory of Security Hub in parts, and which fields may be sent back."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.api.reason import Reason
from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.model.violation import ObjectRef, Subject, Violation
from policyhub.securityhub import inventory
from policyhub.securityhub.client import Filters, Page
from policyhub.securityhub.errors import AccessLost, HubError, Throttled, Unavailable
from policyhub.securityhub.inventory import (
    OTHERS,
    PROVIDERS,
    Inventory,
    Part,
    from_asff,
    milliseconds,
    strip_for_import,
)

ROOT = "policyhub/prod/"


class Store:
    """Findings by id, read with the client's rules; `faults` are raised before the page of that number (from 1)."""

    def __init__(self, *, page: int = 100) -> None:
        self.ids: list[str] = []
        self.calls: list[str] = []
        self.faults: dict[int, HubError] = {}
        self.closed = 0
        self._page = page

    async def find(self, filters: Filters) -> AsyncGenerator[Page, None]:
        prefix = filters["Id"][0]["Value"]
        matching = [ident for ident in self.ids if ident.startswith(prefix)]
        try:
            for start in range(0, max(len(matching), 1), self._page):
                self.calls.append(prefix)
                if error := self.faults.pop(len(self.calls), None):
                    raise error
                token = "more" if start + self._page < len(matching) else ""
                yield Page(tuple({"Id": ident} for ident in matching[start : start + self._page]), token)
        finally:
            self.closed += 1


class Sleeper:
    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def reading(store: Store, sleep: Sleeper | None = None, *, split_above: int = 1_000) -> Inventory:
    return Inventory(
        store, cluster="prod", sleep=sleep or Sleeper(), jitter=lambda: 1.0, unsplit_below=1, split_above=split_above
    )


def ids(count: int) -> list[str]:
    """`count` ids, evenly distributed over the hex digits."""
    return [f"{ROOT}{n * 40503 % 65536:04x}{n:028x}" for n in range(count)]


async def everything(reading: Inventory) -> list[Part]:
    return [part async for part in reading.parts()]


@pytest.mark.parametrize("count", [0, 1, 100])
async def test_small_hub_is_one_call(count: int) -> None:
    """An inventory of one page takes one call."""
    store = Store()
    store.ids = ids(count)
    reader = reading(store)
    parts = await everything(reader)
    assert [(part.prefix, len(part.findings)) for part in parts] == [(ROOT, count)]
    assert store.calls == [ROOT]
    assert reader.complete


@pytest.mark.parametrize(
    ("count", "calls"),
    [(2_000, 20), (2_001, 21 + 1), (6_000, 60 + 1), (15_000, 150 + 1), (30_000, 20 + 1 + 16 * 19)],
)
async def test_calls_are_little_more_than_pages(count: int, calls: int) -> None:
    """One call more than there are pages; an inventory of several parts reads 20 pages twice, and 16 half pages."""
    store = Store()
    store.ids = ids(count)
    parts = [part async for part in Inventory(store, cluster="prod").parts()]
    assert sum(len(part.findings) for part in parts) == count
    assert len(store.calls) == calls


async def test_larger_hub_is_sixteen_parts() -> None:
    """A large inventory is read by hex digit; together the parts have each finding once."""
    store = Store()
    store.ids = ids(2_000)
    parts = await everything(reading(store))
    assert [part.prefix for part in parts] == [ROOT + digit for digit in "0123456789abcdef"]
    assert sorted(f.id for part in parts for f in part.findings) == sorted(store.ids)
    assert all(f.id.startswith(part.prefix) for part in parts for f in part.findings)
    assert store.calls[:2] == [ROOT, ROOT + "00"]
    assert len(store.calls) == 1 + 1 + 16 * 2


async def test_large_parts_are_split() -> None:
    """The first part that is too large splits all that remain: only its own pages are read twice."""
    store = Store(page=10)
    store.ids = ids(2_000)
    parts = await everything(reading(store, split_above=50))
    assert len(parts) == 256
    assert sorted(f.id for part in parts for f in part.findings) == sorted(store.ids)
    assert len([call for call in store.calls if len(call) - len(ROOT) < 2]) == 1 + 5


async def test_wrong_estimate_ends() -> None:
    """Foreign ids may not be hashes: a part of twice the size is split after all."""
    store = Store()
    store.ids = [f"{ROOT}f{n:031x}" for n in range(3_000)]
    parts = await everything(reading(store))
    assert store.calls[:21] == [ROOT, ROOT + "00", *[ROOT] * 19]
    assert ROOT not in {part.prefix for part in parts}
    assert sorted(f.id for part in parts for f in part.findings) == sorted(store.ids)


@pytest.mark.parametrize("error", [Throttled("slow", code="429"), Unavailable("down", code="500")], ids=["429", "500"])
async def test_failed_estimate_is_made_after_the_next_page(error: HubError) -> None:
    """Earlier pages are not read again for it."""
    store, sleep = Store(), Sleeper()
    store.ids = ids(500)
    store.faults = {2: error}
    parts = await everything(reading(store, sleep))
    assert [part.prefix for part in parts] == [ROOT]
    assert store.calls == [ROOT, ROOT + "00", ROOT, ROOT + "00", ROOT, ROOT, ROOT]
    assert not sleep.waits


async def test_splitting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids with one prefix are finally read in one part, however many."""
    store = Store(page=2)
    store.ids = [f"{ROOT}0000{n:028x}" for n in range(20)]
    monkeypatch.setattr(inventory, "_DEPTH", 2)
    parts = await everything(reading(store, split_above=5))
    assert {part.prefix: len(part.findings) for part in parts if part.findings} == {ROOT + "00": 20}


@pytest.mark.parametrize("error", [Throttled("slow", code="429"), Unavailable("down", code="500")], ids=["429", "500"])
async def test_failed_part_is_read_again(error: HubError) -> None:
    """A part whose second page fails is read again from its start, later; complete parts are not."""
    store, sleep = Store(), Sleeper()
    store.ids = ids(2_000)
    store.faults = {6: error}  # the second page of part 1
    parts = await everything(reading(store, sleep))
    assert [part.prefix for part in parts] == [ROOT + digit for digit in "023456789abcdef1"]
    assert sorted(f.id for part in parts for f in part.findings) == sorted(store.ids)
    assert store.calls.count(ROOT + "0") == 2
    assert sleep.waits == [2.0]


async def test_back_off_grows_and_ends_at_a_minute() -> None:
    """Consecutive failures wait longer and longer, a success resets the wait; meanwhile `problem` has the reason."""
    store, sleep = Store(), Sleeper()
    store.faults = {n: Unavailable("down", code="500") for n in range(1, 8)}
    reader = reading(store, sleep)
    async for _ in reader.parts():
        assert reader.problem is None
    assert sleep.waits == [2, 4, 8, 16, 32, 60, 60]


async def test_lost_access_is_raised_and_resumed() -> None:
    """AccessLost ends the iteration; iterating again continues with the rest."""
    store = Store()
    store.ids = ids(2_000)
    store.faults = {7: AccessLost(Reason.ACCESS_DENIED, "no", code="AccessDeniedException")}
    reader = reading(store)
    parts: list[Part] = []
    with pytest.raises(AccessLost):
        parts.extend([part async for part in reader.parts()])
    assert isinstance(reader.problem, AccessLost)
    assert not reader.complete
    parts = await everything(reader)
    assert [part.prefix for part in parts] == [ROOT + digit for digit in "23456789abcdef"]


async def test_interrupted_consumer_gets_the_part_again() -> None:
    """A part counts as delivered when the next one is requested."""
    store = Store()
    store.ids = ids(2_000)
    reader = reading(store)
    first = await anext(reader.parts())
    assert next(part.prefix for part in await everything(reader)) == first.prefix


async def test_findings_are_reported_page_by_page() -> None:
    """`seen` gets a finding with its page, before its part is complete, and none of other prefixes."""
    store, output = Store(), list[str]()
    store.ids = ids(2_000)
    reader = Inventory(
        store, cluster="prod", seen=lambda finding: output.append(finding.id), unsplit_below=1, split_above=1_000
    )
    async for part in reader.parts():
        assert {finding.id for finding in part.findings} <= set(output)
    assert set(output) == set(store.ids)
    assert len(output) == 2_000 + 100  # the first page was read once more with its parts


async def test_readings_are_closed() -> None:
    """A read that is given up in the middle is closed at once."""
    store = Store()
    store.ids = ids(101)
    await everything(reading(store, split_above=100))
    assert store.closed == 2 + 16


FULL: dict[str, Any] = {
    "SchemaVersion": "2018-10-08",
    "Id": ROOT + "0" * 32,
    "ProductArn": "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
    "ProductName": "policyhub",
    "CompanyName": "Example",
    "GeneratorId": "kyverno/require-labels",
    "AwsAccountId": "111122223333",
    "AwsAccountName": "prod",
    "Region": "eu-west-1",
    "CreatedAt": "2026-01-01T00:00:00.123Z",
    "UpdatedAt": "2026-01-02T00:00:00.999999999Z",
    "ProcessedAt": "2026-01-02T00:00:01Z",
    "Title": "t",
    "Description": "d",
    "Severity": {"Label": "CRITICAL", "Normalized": 90},
    "Types": ["Effects/Analyst"],
    "Confidence": 3,
    "Criticality": 4,
    "RelatedFindings": [{"ProductArn": "arn:x", "Id": "y"}],
    "FindingProviderFields": {"Severity": {"Label": "HIGH", "Original": "high"}, "Types": ["Effects/Ours"]},
    "ProductFields": {
        "policyhub/digest": "d1",
        "policyhub/renderer": "3",
        "policyhub/cluster-uid": "u1",
        "policyhub/origin": "policyreports.wgpolicyk8s.io",
        "policyhub/source": "kyverno",
        "policyhub/policy": "require-labels",
        "policyhub/rule": "check",
        "aws/securityhub/FindingId": "arn:z",
    },
    "UserDefinedFields": {"ticket": "1"},
    "Resources": [
        {"Type": "Other", "Id": "r", "Details": {"Other": {"kind": "Pod"}}, "Tags": {"a": "b"}, "ApplicationName": "x"}
    ],
    "Compliance": {"Status": "FAILED"},
    "VerificationState": "TRUE_POSITIVE",
    "WorkflowState": "NEW",
    "Workflow": {"Status": "SUPPRESSED"},
    "RecordState": "ACTIVE",
    "Note": {"Text": "mine", "UpdatedBy": "me", "UpdatedAt": "2026-01-03T00:00:00Z"},
}


def test_a_stored_finding_has_what_the_ledger_needs() -> None:
    """Digest, owner, times and triage are read from their fields."""
    assert from_asff(FULL) == inventory.StoredFinding(
        id=FULL["Id"],
        digest="d1",
        renderer="3",
        created_at=WallMs(1767225600123),
        updated_at=WallMs(1767312000999),
        record_state="ACTIVE",
        cluster_uid="u1",
        source_api="policyreports.wgpolicyk8s.io",
        source="kyverno",
        policy="require-labels",
        rule="check",
        workflow_status="SUPPRESSED",
        severity="CRITICAL",
        provided="HIGH",
    )


@pytest.mark.parametrize(
    "finding",
    [
        {"Id": "x"},
        {"Id": "x", "ProductFields": None, "Workflow": None, "Severity": None},
        {"Id": "x", "ProductFields": ["policyhub/digest"], "CreatedAt": 5},
        {"Id": "x", "ProductFields": {"policyhub/digest": 1, "policyhub/cluster-uid": None}, "UpdatedAt": "yesterday"},
        {"Id": "x", "Resources": "none"},
        {"Id": "x", "Resources": [None, {"Id": 7}, {"Details": {"Other": ["Kind"]}}]},
    ],
    ids=["bare", "nulls", "other types", "other values", "no resources", "odd resources"],
)
def test_foreign_findings_have_empty_texts(finding: dict[str, Any]) -> None:
    """A foreign finding is reported without anything that could be taken for ours."""
    assert from_asff(finding) == inventory.StoredFinding(
        "x", "", "", WallMs(0), WallMs(0), "", "", "", "", "", "", "", ""
    )


ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"


def finding_of(subject: Subject, api_version: str, *, cluster: str = ARN) -> dict[str, Any]:
    """A finding as the operator sends it."""
    violation = Violation(
        source="kyverno",
        policy="p",
        rule="r",
        subject=subject,
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message="m",
        api_version=api_version,
    )
    monitored = asff.Cluster(
        id=cluster,
        name="prod",
        arn=cluster if cluster == ARN else None,
        uid="u1",
        account="111122223333",
        region="eu-west-1",
        partition="aws",
        product_arn=FULL["ProductArn"],
    )
    return asff.render(
        violation,
        cluster=monitored,
        finding_id="x",
        digest="d",
        source_api="o",
        created_at=WallMs(0),
        observed_at=WallMs(0),
        updated_at=WallMs(0),
        archived=False,
    )


@pytest.mark.parametrize("cluster", [ARN, "prod"])
@pytest.mark.parametrize(
    ("subject", "api_version", "place"),
    [
        (Subject("", "Pod", "shop", "cart"), "v1", ObjectRef("", "v1", "Pod", "shop", "cart")),
        (Subject("", "Namespace", "", "shop"), "v1", ObjectRef("", "v1", "Namespace", "", "shop")),
        (
            Subject("apps", "Deployment", "shop", "cart"),
            "apps/v1",
            ObjectRef("apps", "v1", "Deployment", "shop", "cart"),
        ),
        (Subject("apps", "Deployment", "shop", "cart"), "", ObjectRef("apps", "", "Deployment", "shop", "cart")),
        (Subject("apps", "Deployment", "shop", "cart"), "v1", ObjectRef("apps", "v1", "Deployment", "shop", "cart")),
        (Subject("apps", "Job", "", "x"), "a.b/v1beta1", ObjectRef("apps", "v1beta1", "Job", "", "x")),
        (Subject("", "Pod", "shop", "cart"), "", ObjectRef("", "", "Pod", "shop", "cart")),
        (Subject("", "", "", "i-0123"), "", ObjectRef("", "", "", "", "i-0123")),
        (Subject("", "", "", "shop/daemonset-x"), "", ObjectRef("", "", "", "", "shop/daemonset-x")),
        (Subject("", "", "", "shop/5f6c"), "", ObjectRef("", "", "", "", "shop/5f6c")),
        (Subject("", "", "", "shop/5f6c"), "v1", ObjectRef("", "v1", "", "", "shop/5f6c")),
        (Subject("", "", "", "shop/5f6c"), "v" * 1100, None),
        (Subject("", "", "", "/node-worker-1"), "", ObjectRef("", "", "", "", "/node-worker-1")),
        (
            Subject("aquasecurity.github.io", "CISKubeBenchReport", "", "worker-1"),
            "aquasecurity.github.io/v1alpha1",
            ObjectRef("aquasecurity.github.io", "", "CISKubeBenchReport", "", "worker-1"),
        ),
        (Subject("", "", "shop", "shop/pod-x"), "", ObjectRef("", "", "", "shop", "shop/pod-x")),
        (Subject("", "Role", "", "system:a/b-c"), "v1", ObjectRef("", "v1", "Role", "", "system:a/b-c")),
        (Subject("", "Pod", "a", "b" * 600), "v1", None),
        (Subject("", "Pod", "a", "b  c"), "v1", None),
        (Subject("", "Pod", "a", "b\n"), "v1", None),
        (Subject("", "Pod", "a", "b"), "v" * 1100, None),
        (Subject("a/b", "Pod", "a", "b"), "a/b/v1", None),
    ],
)
def test_the_object_is_read_back(subject: Subject, api_version: str, place: ObjectRef | None, cluster: str) -> None:
    """The subject of the sent violation is read back; None if a text was truncated or cleaned."""
    assert from_asff(finding_of(subject, api_version, cluster=cluster)).object_ref == place


PART = st.text("ab-./…é \n", max_size=4) | st.sampled_from(["core", "x" * 300])


@given(PART, PART, PART, PART, st.sampled_from(["", "v1", "v2beta1"]))
def test_a_wrong_object_is_never_read_back(group: str, kind: str, namespace: str, name: str, version: str) -> None:
    """Whatever names an engine uses, no other object is read from its finding."""
    api_version = f"{group}/{version}" if group and version else version
    place = from_asff(finding_of(Subject(group, kind, namespace, name), api_version)).object_ref
    assert place in (None, ObjectRef("" if group == "core" else group, version, kind, namespace, name))


def test_the_object_need_not_come_first() -> None:
    """The cluster's resource is never taken for the object's."""
    finding = finding_of(Subject("", "Pod", "shop", "cart"), "v1", cluster="prod")
    finding["Resources"].reverse()
    assert from_asff(finding).object_ref == ObjectRef("", "v1", "Pod", "shop", "cart")
    del finding["Resources"][1]
    assert from_asff(finding).object_ref is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-25T02:00:00Z", 1795572000000),
        ("2026-11-25T02:00:00.1Z", 1795572000100),
        ("2026-11-25T02:00:00.123999999Z", 1795572000123),
        ("2026-11-25T04:30:00.5+02:30", 1795572000500),
        ("2026-11-25T04:00:00+0200", 1795572000000),
        ("2026-11-24T08:00:00-18:00", 1795572000000),
        ("2026-11-25T02:00:00", 1795572000000),
        ("", 0),
        ("soon", 0),
        ("2026-13-01T00:00:00Z", 0),
        (None, 0),
        (17, 0),
    ],
)
def test_timestamps_are_read_tolerantly(text: object, expected: int) -> None:
    """Z, offsets, fractions up to nine digits; rounded down; invalid texts are 0."""
    assert milliseconds(text) == WallMs(expected)


def test_strip_keeps_the_providers_fields() -> None:
    """The body has the provider's fields, without the analyst's and AWS's."""
    body = strip_for_import(FULL)
    assert set(body) == set(FULL) - set(OTHERS)
    assert body["ProductFields"] == {k: v for k, v in FULL["ProductFields"].items() if not k.startswith("aws/")}
    assert body["Resources"] == [{"Type": "Other", "Id": "r", "Details": {"Other": {"kind": "Pod"}}}]
    assert body["FindingProviderFields"] == FULL["FindingProviderFields"]
    assert "aws/securityhub/FindingId" in FULL["ProductFields"]  # the argument is unchanged


def test_strip_sends_no_empty_fields() -> None:
    """ProductFields with only AWS's keys are omitted, because an empty map may be rejected."""
    assert "ProductFields" not in strip_for_import(FULL | {"ProductFields": {"aws/x": "y"}})


def test_strip_makes_provider_fields_where_there_are_none() -> None:
    """Without provider fields the finding would be rejected: Severity and Types replace them."""
    finding = {name: value for name, value in FULL.items() if name != "FindingProviderFields"}
    body = strip_for_import(finding)
    assert body["FindingProviderFields"] == {"Severity": {"Label": "CRITICAL"}, "Types": ["Effects/Analyst"]}


def test_every_attribute_of_asff_is_decided() -> None:
    """An attribute of a newer botocore must be assigned to the provider or to others."""
    model = botocore.session.get_session().get_service_model("securityhub")
    members = set(model.shape_for("AwsSecurityFinding").members)
    assert PROVIDERS | set(OTHERS) == members
    assert not PROVIDERS & set(OTHERS)


async def test_medium_hub_is_one_part() -> None:
    """Up to a few hundred findings are read as one part: sixteen would take more calls than there are pages."""
    store = Store()
    store.ids = ids(399)
    parts = await everything(Inventory(store, cluster="prod"))
    assert [(part.prefix, len(part.findings)) for part in parts] == [(ROOT, 399)]
    assert len(store.calls) == 4


def test_stored_texts_are_cleaned_and_truncated() -> None:
    """Anybody with import permission may write them; they appear in conditions, metrics and logs."""
    fields = {f"policyhub/{key}": "a\x1b[2J\u202eb" + "x" * 5_000 for key in ("source", "policy", "rule", "origin")}
    fields["policyhub/cluster-uid"] = "u\u200bid" + "x" * 5_000
    read = from_asff(
        {"Id": "policyhub/alpha/0", "ProductFields": fields, "RecordState": ["ACTIVE"], "Resources": [None, 1]}
    )
    for text in (read.source, read.policy, read.rule, read.source_api, read.cluster_uid):
        assert len(text) <= 1_024
        assert text.isprintable()
    assert (read.record_state, read.object_ref) == ("", None)
