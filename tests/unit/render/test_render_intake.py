"""Rendered findings are those that the operator would send, and unreadable input is reported with its place."""

import asyncio
import io
import json
import random
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from dev.hub.schema import checker
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.asff import timestamp
from policyhub.findings.digest import digest
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.severity import DEFAULT_SEVERITY
from policyhub.model.source_apis import CONSTRAINTS, REPORT_GROUPS
from policyhub.render import collector as intakes
from policyhub.render.collector import Collector
from policyhub.render.defects import defects
from policyhub.render.influence import MOST, fields
from policyhub.render.provenance import Provenance
from policyhub.render.raw_object import RawObject, ReadError
from policyhub.render.scanner import scan
from policyhub.render.target import Target, TargetError, target
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.engine import Engine
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import Owners, Unresolved
from policyhub.sync.plan import Change, Rules
from policyhub.sync.rollup import Rollup
from policyhub.sync.shipment import ship

Document = dict[str, Any]

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
ARN = "arn:aws-cn:eks:cn-north-1:111122223333:cluster/prod"


def result(policy: str, /, **members: Any) -> Document:
    base = {"source": "kyverno", "policy": policy, "rule": "r", "result": "fail", "message": f"{policy} fails"}
    return {**base, **members}


def report(name: str, *results: Any, group: str = "wgpolicyk8s.io/v1alpha2", **members: Any) -> Document:
    return {
        "apiVersion": group,
        "kind": "Report" if group.startswith("open") else "PolicyReport",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "scope": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": name},
        "results": list(results),
        **members,
    }


def pod(name: str, owner: str = "web-1", **members: Any) -> Document:
    references = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "controller": True, "uid": "rs"}]
    metadata = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **members}


REPLICASET: Document = {
    "apiVersion": "apps/v1",
    "kind": "ReplicaSet",
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "rs",
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": True, "uid": "d"}
        ],
    },
}
ON_POD = report("web-1-x", result("pods", rule="same"), scope={"apiVersion": "v1", "kind": "Pod", "name": "web-1-x"})
REVISION = "deployment.kubernetes.io/revision"
CONSTRAINT: Document = {
    "apiVersion": "constraints.gatekeeper.sh/v1beta1",
    "kind": "K8sLabels",
    "metadata": {"name": "must", "annotations": {"policyhub.dev/severity": "critical"}},
    "spec": {"enforcementAction": "deny"},
    "status": {
        "auditTimestamp": "2026-02-01T00:00:00Z",
        "totalViolations": 3,
        "violations": [
            {"group": "", "version": "v1", "kind": "Namespace", "name": "shop", "message": "one"},
            {"group": "", "version": "v1", "kind": "Namespace", "name": "shop", "message": "two"},
        ],
    },
}
RICH = [
    report(
        "web",
        result("plain", severity="high", category="Pods", timestamp={"seconds": 1_780_000_000}),
        result("twice", message="one"),
        result("twice", message="two"),
        result("mended", properties={"remediation": "do it", "primaryLink": "https://example.com/x", "index": "1"}),
        result(
            "elsewhere",
            resources=[{"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}],
            result="warn",
            timestamp={"seconds": 1_780_000_000},
        ),
        result("passes", result="pass"),
    ),
    report("web", result("plain", severity="low"), group="openreports.io/v1alpha1"),
    {**report("itself", {"policy": "p", "result": "error", "rule": ""}, source="Engine"), "scope": None},
    {
        **report("node", {"policy": "1", "rule": "", "result": "fail", "properties": dict.fromkeys("ab", "x")}),
        "metadata": {"name": "node", "labels": {"app.kubernetes.io/managed-by": "tool"}},
        "kind": "ClusterPolicyReport",
    },
    report("bench", result("k", source="Kube Bench", properties={"index": "1.2", "audit": "a", "test_info": "t"})),
    report("audited", result("image", rule="AVD-KSV-0001", source="Trivy Config Audit")),
    report(
        "scanned",
        result(
            "CVE-2099-1",
            source="Trivy Vulnerability",
            properties={"resource": "lib", "fixedVersion": "2", "score": "5", "primaryLink": "https://example.com/c"},
        ),
    ),
    CONSTRAINT,
    {**CONSTRAINT, "metadata": {"name": "told", "annotations": {"x/cis-eks-control": "4.2.1"}}},
    {**CONSTRAINT, "metadata": {"name": "plain"}},
    {**CONSTRAINT, "metadata": {"name": "bare"}, "spec": None},
    ON_POD,
    pod("web-1-x"),
    pod("web-1-done", status={"phase": "Succeeded"}),
    REPLICASET,
]


def given(*documents: Any, wanted: Target | None = None, **options: Any) -> tuple[Collector, list[str]]:
    reported: list[str] = []
    intake = Collector(
        wanted or target({}), now=WALL, report_error=lambda broken: reported.append(str(broken)), **options
    )
    text = "\n".join(json.dumps(document) for document in documents)
    for piece in scan(io.BytesIO(text.encode()), "f"):
        (intake.fail if isinstance(piece, ReadError) else intake.take)(piece)  # type: ignore[arg-type]  # one of each
    intake.finish(owners=intake.owned > 0)
    return intake, reported


def findings(intake: Collector) -> dict[str, Document]:
    return {finding["Id"]: finding for _, finding in intake.findings()}


class NoHub:
    """This engine renders and sends nothing."""

    async def ready(self) -> None: ...

    def release_token(self) -> None: ...

    async def import_findings(self, findings: Any, *, sizes: Any) -> Any: ...

    async def by_ids(self, ids: Any) -> dict[str, Any]:
        return {}


async def sent(documents: list[Document], wanted: Target) -> dict[str, Document]:
    """The result of the operator's own sinks, roll-up, ledger and engine for the same objects."""
    metrics = Metrics(CollectorRegistry())
    engine = Engine(
        hub=NoHub(),
        hub_name="hub",
        metrics=metrics,
        now=lambda: NOW,
        wall_clock=lambda: WALL,
        clock=asyncio.get_running_loop().time,
        rng=random.Random(1),  # noqa: S311  (jitter)
    )
    ledger = Ledger(
        cluster_id=wanted.cluster.id, cluster_uid=wanted.cluster.uid, default_severity=DEFAULT_SEVERITY,
        on_dirty=engine.wake,
    )  # fmt: skip
    owners = Owners(
        now=lambda: NOW, on_change=lambda objects: rollup.shift(objects, now=NOW), on_malformed=lambda *_: None
    )
    rollup = ledger.sources.ownership = Rollup(ledger=ledger, owners=owners)
    for document in documents:
        group, raw = document["apiVersion"].rpartition("/")[0], json.dumps(document).encode()
        kind = document["kind"]
        if (group, kind) in intakes.OWNERS:
            if document.get("status", {}).get("phase") != "Succeeded":
                owners.sinks[intakes.OWNERS[group, kind]].upsert(raw)
            continue
        plural = kind.lower() + ("" if group == CONSTRAINTS else "s")
        ReportSink(
            cluster="c", group=group, resource=plural, ledger=ledger, filter_=wanted.filter, metrics=metrics,
            now=lambda: NOW, wall_clock=lambda: WALL, rollup=rollup,
        ).upsert(raw)  # fmt: skip
    for sink in owners.sinks.values():
        sink.begin()
    for document in documents:
        group, kind = document["apiVersion"].rpartition("/")[0], document["kind"]
        if (group, kind) in intakes.OWNERS and document.get("status", {}).get("phase") != "Succeeded":
            owners.sinks[intakes.OWNERS[group, kind]].upsert(json.dumps(document).encode())
    for sink in owners.sinks.values():
        sink.finish()
        sink.state(ReflectorState(phase="watching"))
    feed = ClusterQueue(name="c", ledger=ledger, cluster=wanted.cluster, rules=Rules(archive_delay_ms=0), sends=True)
    return {
        entry.id: ship(feed, entry, Change.NEW, now=WALL).body for entry in ledger.entries.values() if entry.desired
    }


@pytest.mark.parametrize("arn", [None, ARN], ids=["by name", "by ARN"])
async def test_findings_equal_the_operators(arn: str | None) -> None:
    """To the byte, by the operator's own sinks, ledger and engine."""
    wanted = target({"cluster_arn": arn, "exclude_source": ["Engine"]}, uid="uid-1")
    intake, reported = given(*RICH, wanted=wanted)
    assert reported == []
    rendered = findings(intake)
    assert len(rendered) == 17  # four constraints count three violations and list two
    assert {id_: msgspec.json.encode(body) for id_, body in rendered.items()} == {
        id_: msgspec.json.encode(body) for id_, body in (await sent(RICH, wanted)).items()
    }


def test_every_finding_passes_the_local_hub() -> None:
    """The local hub's validation accepts all of them."""
    check = checker("AwsSecurityFinding")
    for arn in (None, ARN):
        intake, _ = given(*RICH, wanted=target({"cluster_arn": arn, "exclude_source": [""]}))
        assert [errors for finding in findings(intake).values() if (errors := check(finding))] == []


def test_times_of_findings() -> None:
    """CreatedAt is the result's time, else the report's, else now; UpdatedAt is now."""
    intake, _ = given(
        report("a", result("timed", timestamp={"seconds": 1_780_000_000}), result("untimed")),
        report("b", result("none"), metadata={"name": "b"}),
        report("c", result("ahead", timestamp={"seconds": NOW // 1000 + 200})),
    )
    found = {f["ProductFields"]["policyhub/policy"]: f for f in findings(intake).values()}
    created = {policy: f["CreatedAt"] for policy, f in found.items()}
    assert created == {
        "timed": timestamp(1_780_000_000_000),
        "untimed": "2026-01-01T00:00:00.000Z",
        "none": timestamp(NOW),
        "ahead": timestamp(NOW),
    }
    assert {f["UpdatedAt"] for f in found.values()} == {timestamp(NOW)}


def test_results_on_pods_roll_up_if_owners_are_read() -> None:
    """With its ReplicaSet and Pod the finding is the Deployment's; without them, or switched off, the Pod's own."""

    def kinds(*documents: Document, **flags: Any) -> list[str]:
        intake, _ = given(*documents, wanted=target(flags))
        return [f["Resources"][0]["Details"]["Other"]["Kind"] for f in findings(intake).values()]

    assert kinds(ON_POD, pod("web-1-x"), REPLICASET) == ["Deployment"]
    assert kinds(REPLICASET, pod("web-1-x"), ON_POD) == ["Deployment"]
    assert kinds(ON_POD) == ["Pod"]
    assert kinds(ON_POD, pod("web-1-x"), REPLICASET, roll_up=False) == ["Pod"]
    assert kinds(ON_POD, pod("another"), REPLICASET) == [], "a Pod that is not there is gone"


def test_ignored_violations_are_counted() -> None:
    """By reason: Pods that were not read, inactive revisions, Pods whose ReplicaSet was not read."""
    metadata: Document = REPLICASET["metadata"]
    idle = {**REPLICASET, "metadata": {**metadata, "name": "web-0"}}
    newer = {**REPLICASET, "metadata": {**metadata, "annotations": {REVISION: "2"}}}
    on_idle = report("web-0", result("p"), scope={"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-0"})
    on_orphan = report("x", result("p"), result("q"), scope={"apiVersion": "v1", "kind": "Pod", "name": "orphan"})
    intake, _ = given(ON_POD, idle, newer, on_idle, on_orphan, pod("orphan", "not-read"))
    assert findings(intake) == {}
    assert intake.without_owner() == {Unresolved.DELETED: 1, Unresolved.IDLE: 1, Unresolved.UNKNOWN: 2}
    alone, _ = given(ON_POD, on_orphan)
    assert len(findings(alone)) == 3
    assert alone.without_owner() == {}
    apart, _ = given(ON_POD, pod("orphan", "not-read"), wanted=target({"roll_up": False}))
    assert apart.without_owner() == {}


def test_an_unreadable_pod_stops_no_other() -> None:
    """It counts as deleted, because its owner is unknown; results on other Pods roll up to their controllers."""
    broken = {**pod("web-1-y"), "metadata": {"name": "web-1-y", "ownerReferences": 3}}
    intake, reported = given(ON_POD, broken, pod("web-1-x"), REPLICASET)
    where = "f:2: document 2, metadata.ownerReferences"
    assert reported == [f"{where}: expected `array | null`, got `int`: it is treated as deleted"]
    assert [f["Resources"][0]["Details"]["Other"]["Kind"] for f in findings(intake).values()] == ["Deployment"]


def test_superseded_reports_are_ignored() -> None:
    """Of two APIs the one that is older by hours is ignored, as in the operator."""
    old = report("web", result("gone", timestamp={"seconds": NOW // 1000 - 99_999}))
    new = report("web", result("there", timestamp={"seconds": NOW // 1000}), group="openreports.io/v1alpha1")
    intake, _ = given(old, new)
    assert [f["ProductFields"]["policyhub/policy"] for f in findings(intake).values()] == ["there"]
    assert intake.ledger.desired.superseded == {("kyverno", "wgpolicyk8s.io", "shop")}


POLICY: Document = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {
        "name": "p",
        "annotations": {"policies.kyverno.io/title": "Peace", "policies.kyverno.io/severity": "low"},
    },
}
TEMPLATED: Document = {
    "apiVersion": "templates.gatekeeper.sh/v1",
    "kind": "ConstraintTemplate",
    "metadata": {"name": CONSTRAINT["kind"].lower(), "annotations": {"severity": "critical"}},
}


@pytest.mark.parametrize("late", [False, True])
def test_findings_have_their_policies_texts(*, late: bool) -> None:
    """Whether the policies come before or after the reports. Digests include the texts."""
    whole = {**CONSTRAINT["status"], "totalViolations": 2}
    sources = [report("a", result("p")), {**CONSTRAINT, "metadata": {"name": "c"}, "status": whole}]
    intake, output = given(*([*sources, POLICY, TEMPLATED] if late else [POLICY, TEMPLATED, *sources]))
    intake.finish(owners=False)
    reported = {f["ProductFields"]["policyhub/source"]: f for f in findings(intake).values()}
    assert output == []
    assert reported["kyverno"]["Title"].startswith("Peace, r: ")
    assert reported["kyverno"]["FindingProviderFields"]["Severity"]["Label"] == "LOW"
    assert reported["gatekeeper"]["FindingProviderFields"]["Severity"]["Label"] == "CRITICAL"
    for entry in intake.desired():
        assert entry.representative is not None
        assert entry.digest == digest(entry.representative)
    assert intake.others == {}


def test_an_unreadable_policy_is_reported() -> None:
    """And affects nothing else."""
    intake, output = given({**POLICY, "metadata": {"name": 7}}, report("a", result("p")))
    assert len(output) == 1
    assert output[0].startswith("f:1: document 1: the policy cannot be read: ")
    assert len(findings(intake)) == 1


def test_unrequested_policies_count_as_other_kinds() -> None:
    """With enrichment off in the MonitoredCluster."""
    plain = msgspec.structs.replace(target({}), enrichment=False)
    intake, _ = given(POLICY, report("a", result("p")), wanted=plain)
    [finding] = findings(intake).values()
    assert finding["Title"].startswith("p")
    assert intake.others == {"ClusterPolicy": 1}


def test_filtered_input_is_counted() -> None:
    """Excluded engines and APIs are counted by name, other kinds and unusual versions too."""
    intake, _ = given(
        report("a", result("p", source="Falco"), result("q", severity="low")),
        CONSTRAINT,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}},
        report("b", result("p", severity="high"), group="wgpolicyk8s.io/v1alpha1"),
        wanted=msgspec.structs.replace(target({"minimum_severity": "medium"}), groups=frozenset({"wgpolicyk8s.io"})),
    )
    assert intake.left_out == {"Falco": 1, "kyverno": 1, "constraints.gatekeeper.sh": 1}
    assert intake.others == {"Secret": 1}
    assert intake.versions == {"wgpolicyk8s.io/v1alpha1": 1}
    assert len(findings(intake)) == 1


WHERE = {
    "no metadata": (
        {**report("a"), "metadata": None},
        "metadata: expected `object`, got `null`: the object is ignored",
    ),
    "no name": (
        {**report("a"), "metadata": {}},
        "metadata: object missing required field `name`: the object is ignored",
    ),
    "metadata of another type": ({**report("a"), "metadata": 3}, "metadata: expected `object`, got `int`"),
    "results of another type": (
        report("a", results="x"),
        "results: expected `array | null`, got `str`: it is not known whether the list of results is complete",
    ),
    "a result of another type": (report("a", 7), "results[0]: expected `object`, got `int`: the result is ignored"),
    "a severity of another type": (report("a", result("p", severity=3)), "results[0].severity: expected `str | null`"),
    "a policy of another type": (report("a", result("p", policy=[])), "results[0].policy: expected `str | null`"),
    "properties of another type": (
        report("a", result("p", properties=[])),
        "results[0].properties: expected `object | null`, got `array`: the result is ignored",
    ),
    "resources of another type": (
        report("a", result("p", resources="x")),
        "results[0].resources: expected `array | null`, got `str`: the result is ignored",
    ),
    "a reference of another type": (
        report("a", result("p", resources=[{"name": "x"}, {"name": 3}])),
        "results[0].resources[1].name: expected `str | null`",
    ),
    "a time of another type": (
        report("a", result("p", timestamp={"seconds": "x"})),
        "results[0].timestamp.seconds: expected `int | null`",
    ),
    "a word that is none": (
        report("a", result("p"), result("p", result="Fail")),
        "results[1].result: 'Fail' is not one of",
    ),
    "no word": (report("a", result("p", result=None)), "results[0].result: is missing"),
    "no policy": (report("a", result("", rule="")), "results[0]: names neither a policy nor a rule"),
    "another namespace": (
        report("a", result("p", resources=[{"kind": "Pod", "name": "x", "namespace": "other"}])),
        "results[0].resources[0]: is in namespace 'other', but the report is in 'shop'",
    ),
    "a scope in another namespace": (
        report("a", result("p"), scope={"apiVersion": "v1", "kind": "Pod", "name": "x", "namespace": "other"}),
        "results[0]: is in namespace 'other', but the report is in 'shop'",
    ),
    "a word with braces": (report("a", result("p", result="{x}")), "results[0].result: '{x}' is not one of"),
    "the time of an audit": (
        {**CONSTRAINT, "status": {**CONSTRAINT["status"], "auditTimestamp": 7}},
        "status.auditTimestamp: expected `datetime | null`, got `int`: it is not known whether the list",
    ),
    "a violation without a kind": (
        {**CONSTRAINT, "status": {"violations": [{"name": "x"}]}},
        "status.violations[0]: object missing required field `kind`: the violation is ignored",
    ),
    "a violation of another type": (
        {**CONSTRAINT, "status": {"violations": [{"kind": "Pod", "name": 3}]}},
        "status.violations[0].name: expected `str`",
    ),
    "a violation's message of another type": (
        {**CONSTRAINT, "status": {"violations": [{"kind": "Pod", "name": "x", "message": 3}]}},
        "status.violations[0].message: expected `str | null`, got `int`: this member is ignored, its violation is used",
    ),
    "a summary of another type": (report("a", result("p"), summary={"error": "x"}), "summary.error: expected `int"),
    "violations of another type": (
        {**CONSTRAINT, "status": {"violations": 3}},
        "status.violations: expected `array | null`, got `int`",
    ),
    "a status of another type": ({**CONSTRAINT, "status": "x"}, "status: expected `object | null`, got `str`"),
    "a total of another type": (
        {**CONSTRAINT, "status": {"totalViolations": "many"}},
        "status.totalViolations: expected `int | null`",
    ),
    "no object": (3, "not a Kubernetes object: Expected `object`, got `int`"),
}


@pytest.mark.parametrize(("document", "where"), WHERE.values(), ids=WHERE)
def test_unusable_input_is_reported_with_its_place(document: Any, where: str) -> None:
    """Item, path and reason; the object beside it is rendered."""
    intake, reported = given([document, report("whole", result("p"))])
    line = 1
    assert len(reported) == 1, reported
    path, _, reason = where.partition(": ")
    expected = f"f:{line}: document 1, [0].{where}" if document != 3 else f"f:{line}: document 1, [0]: {where}"
    assert reported[0].startswith(expected), (reported[0], path, reason)
    assert len(findings(intake)) >= 1


def test_a_flood_of_defects_is_cut() -> None:
    """Ten places of one object are reported, the rest is counted."""
    _, reported = given(report("a", *(result("p", result="x") for _ in range(30))))
    assert len(reported) == 11
    assert reported[-1] == "f:1: document 1: and 20 more defects"


def test_invalid_utf_8_is_reported_with_its_line() -> None:
    """And the object beside it is rendered."""
    text = b'\n{"kind": "\xff"}\n' + json.dumps(report("web", result("p"))).encode()
    first, second = scan(io.BytesIO(text), "f")
    assert str(first) == "f:2: document 1: invalid UTF-8"
    assert isinstance(second, RawObject)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "-1e999", "9" * 5_000], ids=lambda text: text[:6])
@pytest.mark.parametrize("severity", ["high", 3])
def test_numbers_out_of_range_are_ignored(number: str, severity: object) -> None:
    """In unused fields, the object is read, diagnosed and explained."""
    document = json.dumps(report("web", result("p", severity=severity), extra="N")).replace('"N"', number)
    reported: list[str] = []
    intake = Collector(target({}), now=WALL, report_error=lambda broken: reported.append(str(broken)), keep=True)
    [piece] = scan(io.BytesIO(document.encode()), "f")
    assert isinstance(piece, RawObject)
    intake.take(piece)
    assert [line.partition(": expected")[0] for line in reported] == (
        [] if severity == "high" else ["f:1: document 1, results[0].severity"]
    )
    intake.finish(owners=False)
    assert all(Provenance(intake).explain(entry, finding) for entry, finding in intake.findings())


def test_a_sound_object_has_no_defect() -> None:
    """Nothing is reported for a readable object."""
    for document in RICH:
        group = document["apiVersion"].rpartition("/")[0]
        if (group, document["kind"]) not in intakes.OWNERS:
            assert list(defects(document, group)) == []


# -- where fields came from -------------------------------------------------------------------------------------------


CONSTANT = {
    "SchemaVersion", "ProductName", "CompanyName", "RecordState", "ProductFields.policyhub/renderer",
    "Resources[0].Type", "Resources[1].Type", "Resources[1].Details.Other.Kind",
    # Of Gatekeeper, and of a report or a notice about itself.
    "ProductFields.policyhub/source", "FindingProviderFields.Types[0]", "ProductFields.policyhub/result",
    "ProductFields.policyhub/discriminator", "ProductFields.policyhub/property/enforcementAction",
    "Compliance.Status", "FindingProviderFields.Severity.Label", "Remediation.Recommendation.Url",
    "Resources[0].Details.Other.ApiVersion", "Resources[0].Details.Other.Kind",
}  # fmt: skip


@pytest.mark.parametrize("arn", [None, ARN], ids=["by name", "by ARN"])
def test_every_field_has_a_provenance(arn: str | None) -> None:
    """The explained finding is the rendered one, and unchangeable fields are called constant."""
    intake, _ = given(*RICH, wanted=target({"cluster_arn": arn, "exclude_source": [""]}), keep=True)
    provenance = Provenance(intake)
    constant = set()
    for entry, finding in intake.findings():
        output = provenance.explain(entry, finding)
        case = provenance._case(entry)
        made, _ = provenance._run(case, case.raw, intake.inputs(entry))
        late = {path for path, _, where in output if where.startswith("the earliest time")}
        assert {path: value for path, value, _ in output if path not in late} == {
            path: value for path, value in fields(made) if path not in late
        }
        constant |= {path for path, _, where in output if where == "constant"}
    assert constant <= CONSTANT


def explained(*documents: Document, policy: str, path: str) -> str:
    intake, _ = given(*documents, wanted=target({"exclude_source": [""]}), keep=True)
    provenance = Provenance(intake)
    for entry, finding in intake.findings():
        if finding["ProductFields"].get("policyhub/policy") == policy:
            return next(where for at, _, where in provenance.explain(entry, finding) if at == path)
    raise AssertionError(policy)


FROM = {
    "a severity": ("plain", "FindingProviderFields.Severity.Label", "results[0].severity"),
    "no severity": ("mended", "FindingProviderFields.Severity.Label", "the default severity, because none is given"),
    "several messages": ("twice", "ProductFields.policyhub/result", "results[1].result, results[2].result"),
    "a time": ("elsewhere", "CreatedAt", "results[4].timestamp.seconds"),
    "several times": ("plain", "CreatedAt", "the earliest time in 2 objects"),
    "a report's time": ("mended", "CreatedAt", "metadata.creationTimestamp"),
    "the scope": ("mended", "Resources[0].Details.Other.Name", "scope.name"),
    "a resource": ("elsewhere", "Resources[0].Details.Other.Kind", "results[4].resources[0].kind"),
    "the report itself": ("p", "Resources[0].Details.Other.Name", "metadata.name"),
    "a report's source": ("p", "ProductFields.policyhub/source", "source"),
    "a label": ("1", "ProductFields.policyhub/source", 'metadata.labels["app.kubernetes.io/managed-by"]'),
    "a remedy": (
        "mended",
        "Remediation.Recommendation.Text",
        "--cluster-name (placeholder), results[3].source, results[3].policy, results[3].properties.remediation",
    ),
    "a constraint's severity": (
        "K8sLabels",
        "FindingProviderFields.Severity.Label",
        'metadata.annotations["policyhub.dev/severity"]',
    ),
    "an audit": ("K8sLabels", "CreatedAt", "status.auditTimestamp"),
    "a Pod's controller": (
        "pods",
        "Resources[0].Details.Other.Name",
        "the controller of metadata.namespace, the controller of scope",
    ),
    "a policy as control": ("plain", "Compliance.SecurityControlId", "results[0].policy"),
    "a rule as control": ("image", "Compliance.SecurityControlId", "results[0].source, results[0].rule"),
    "a property as control": ("k", "Compliance.SecurityControlId", "results[0].source, results[0].properties.index"),
    "a placeholder": ("plain", "AwsAccountId", "--account-id (placeholder)"),
}


@pytest.mark.parametrize(("policy", "path", "where"), FROM.values(), ids=FROM)
def test_provenance_of_a_field(policy: str, path: str, where: str) -> None:
    """The member of the input that was read."""
    assert explained(*RICH, policy=policy, path=path) == where


def annotated(**annotations: str) -> Document:
    return {**CONSTRAINT, "metadata": {"name": "must", "annotations": annotations}}


DECIDED: dict[str, tuple[Document, str, str]] = {
    "a severity that is stated twice": (
        annotated(severity="high", **{"policyhub.dev/severity": "high"}),
        "FindingProviderFields.Severity.Label",
        'metadata.annotations["policyhub.dev/severity"]',
    ),
    "a severity with the meaning of the word": (
        annotated(severity="error", **{"policyhub.dev/severity": "high"}),
        "FindingProviderFields.Severity.Label",
        'metadata.annotations["policyhub.dev/severity"]',
    ),
    "a control that is stated twice": (
        report("audited", result("AVD-KSV-0001", rule="AVD-KSV-0001", source="Trivy Config Audit")),
        "Compliance.SecurityControlId",
        "results[0].policy with results[0].rule",
    ),
    "a link that is stated twice": (
        report("a", result("p", properties=dict.fromkeys(("remediation-docs", "primaryLink"), "https://example.com"))),
        "Remediation.Recommendation.Url",
        "results[0].properties.remediation-docs with results[0].properties.primaryLink",
    ),
    "the report's own kind": (
        report("a", result("p"), scope=None),
        "Resources[0].Details.Other.Kind",
        "metadata.namespace",
    ),
    "a severity below many annotations": (
        {
            **report("a", result("p", severity="high")),
            "metadata": {"name": "a", "annotations": {str(number): "x" for number in range(MOST)}},
        },
        "FindingProviderFields.Severity.Label",
        "results[0].severity",
    ),
    "a name that is not examined": (
        {
            **report("a", result("p")),
            "metadata": {"annotations": {str(number): "x" for number in range(MOST)}, "name": "a"},
        },
        "Resources[0].Details.Other.Name",
        "not examined: the object has more than 1,000 members",
    ),
}


@pytest.mark.parametrize(("document", "path", "where"), DECIDED.values(), ids=DECIDED)
def test_changeable_fields_are_not_called_constant(document: Document, path: str, where: str) -> None:
    """Although a single changed word does not show it."""
    intake, _ = given(document, wanted=target({"exclude_source": [""]}), keep=True)
    entry, finding = next(iter(intake.findings()))
    assert {at: came for at, _, came in Provenance(intake).explain(entry, finding)}[path] == where


def test_all_sources_of_a_finding_are_named() -> None:
    """Every object that states the violation is named, the representative one first."""
    intake, _ = given(*RICH, keep=True)
    entry = next(e for e, f in intake.findings() if f["ProductFields"].get("policyhub/policy") == "plain")
    assert Provenance(intake).claimants(entry) == [
        "policyreports.wgpolicyk8s.io shop/web (f:1: document 1)",
        "reports.openreports.io shop/web (f:2: document 2)",
    ]


# -- cluster and hub --------------------------------------------------------------------------------------------------


def test_flags_precede_a_monitoredcluster() -> None:
    """Name, hub and filters come from the file; a flag replaces one of them."""
    document = {
        "kind": "MonitoredCluster",
        "metadata": {"name": "prod"},
        "spec": {
            "connection": {"inCluster": {}},
            "securityHub": {"accountId": "444455556666", "region": "eu-west-1"},
            "sources": {"gatekeeper": False},
            "minimumSeverity": "high",
            "rollUp": False,
        },
    }
    made = target({"region": "eu-central-1"}, document=document, file="mc.yaml")
    assert (made.cluster.id, made.cluster.account, made.cluster.region) == ("prod", "444455556666", "eu-central-1")
    assert made.groups == REPORT_GROUPS
    assert (made.filter.minimum_severity, made.roll_up) == ("HIGH", False)
    assert made.origins["account_id"] == "spec.securityHub.accountId of mc.yaml"
    assert made.origins["region"] == "--region"


def test_settings_complete_the_file() -> None:
    """As for the operator: the spec precedes the settings, each part separately. A flag precedes both."""
    document = {
        "kind": "MonitoredCluster",
        "metadata": {"name": "prod"},
        "spec": {"connection": {"inCluster": {}}, "securityHub": {"accountId": "444455556666"}},
    }
    settings = {"account_id": "777788889999", "region": "eu-west-3"}
    made = target({}, settings=settings, document=document, file="mc.yaml").cluster
    assert (made.account, made.region) == ("444455556666", "eu-west-3")
    made = target({"region": "eu-west-1"}, settings=settings).cluster
    assert (made.account, made.region) == ("777788889999", "eu-west-1")


def test_an_arn_names_the_cluster() -> None:
    """Without a name, the cluster's name is that of its ARN; the id is the ARN."""
    cluster = target({"cluster_arn": ARN}).cluster
    assert (cluster.id, cluster.name) == (ARN, "prod")


WRONG = {
    "an account": ({"account_id": "12"}, "--account-id: "),
    "a Region": ({"region": "Frankfurt"}, "--region: "),
    "an ARN": ({"cluster_arn": "arn:x"}, "--cluster-arn: "),
    "a name": ({"cluster_name": "Prod EU"}, "--cluster-name: "),
    "a namespace": ({"namespace": ["A B"]}, "--namespace: "),
}


@pytest.mark.parametrize("name", ["account_id", "region"])
def test_a_setting_is_named_by_its_variable(name: str) -> None:
    """In errors and explanations, if no flag was given."""
    variable = f"POLICYHUB_{name.upper()}"
    with pytest.raises(TargetError, match=f"^{variable}: "):
        target({}, settings={name: "bad"})
    good = {"account_id": "777788889999", "region": "eu-west-3"}
    assert target({}, settings=good).origins[name] == variable
    assert target({name: good[name]}, settings=good).origins[name] == f"--{name.replace('_', '-')}"


@pytest.mark.parametrize(("flags", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_flag_is_named(flags: dict[str, Any], message: str) -> None:
    """The message begins with the flag."""
    with pytest.raises(TargetError) as caught:
        target(flags)
    assert str(caught.value).startswith(message)


def test_a_file_without_a_monitoredcluster() -> None:
    """Another kind, or a wrong field: the file is named."""
    wrong: list[Any] = [{"kind": "Pod"}, [], {"kind": "MonitoredCluster", "metadata": {"name": "x"}}]
    for document in wrong:
        with pytest.raises(TargetError, match=r"^mc\.yaml: "):
            target({}, document=document, file="mc.yaml")


def test_an_invalid_object_name_is_reported() -> None:
    """The result applies to the report itself, and the message says so."""
    pods = [{"kind": "Pod", "name": "a b"}, {"kind": "Pod", "name": "web"}]
    intake, reported = given(report("a", result("p", resources=pods), scope={"kind": "Pod", "name": "x%y"}))
    why = "is not a valid object reference: the result is reported for the source object itself"
    assert [line.partition("document 1, ")[2] for line in reported] == [
        f"scope: {why}",
        f"results[0].resources[0]: {why}",
    ]
    assert len(findings(intake)) == 2


CUT = report("cut", result("p", timestamp={"seconds": 1_780_000_000}), summary={"fail": 5})


@pytest.mark.parametrize(
    ("document", "path", "where"),
    [
        (CONSTRAINT, "ProductFields.policyhub/property/total", "status.totalViolations"),
        (CONSTRAINT, "ProductFields.policyhub/property/listed", "the length of status.violations"),
        (CONSTRAINT, "Resources[0].Details.Other.Name", "metadata.name"),
        (CONSTRAINT, "CreatedAt", "status.auditTimestamp"),
        (
            CONSTRAINT,
            "Remediation.Recommendation.Text",
            "--cluster-name (placeholder), kind, metadata.name, status.totalViolations",
        ),
        (CUT, "ProductFields.policyhub/property/total", "summary.fail"),
        (CUT, "ProductFields.policyhub/property/listed", "results[0].result, the length of results"),
        (CUT, "ProductFields.policyhub/source", "results[0].source"),
        (CUT, "CreatedAt", "results[0].timestamp.seconds"),
        ({**CUT, "results": None}, "ProductFields.policyhub/source", "constant"),
    ],
)
def test_provenance_of_a_notice(document: Document, path: str, where: str) -> None:
    """The numbers of the list."""
    intake, _ = given(document, keep=True)
    provenance = Provenance(intake)
    [notice] = [(e, f) for e, f in intake.findings() if f["ProductFields"]["policyhub/result"] == "truncated"]
    output = next(came for at, _, came in provenance.explain(*notice) if at == path)
    assert output.startswith(where)
    assert all("{" not in came for _, _, came in provenance.explain(*notice))


def test_provenance_of_a_long_notice() -> None:
    """Fields below its results are read all the same."""
    document = report("long", *(result("p", rule=str(n), scored=True) for n in range(200)), summary={"fail": 500})
    intake, _ = given(document, keep=True)
    [notice] = [(e, f) for e, f in intake.findings() if f["ProductFields"]["policyhub/result"] == "truncated"]
    output = {at: came for at, _, came in Provenance(intake).explain(*notice)}
    assert output["ProductFields.policyhub/property/total"] == "summary.fail"


def test_notices_follow_their_switch() -> None:
    """In the file of a MonitoredCluster."""
    spec = {"connection": {"inCluster": {}}, "sources": {"truncatedLists": False}}
    monitored = {"kind": "MonitoredCluster", "metadata": {"name": "c"}, "spec": spec}
    off = target({}, document=monitored, file="m.yaml")
    assert len(findings(given(CONSTRAINT, CUT)[0])) == 4
    intake, _ = given(CONSTRAINT, CUT, wanted=off)
    assert len(findings(intake)) == 2
    assert intake.left_out == {"gatekeeper": 1, "kyverno": 1}
