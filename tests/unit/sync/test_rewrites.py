"""A rewrite without a change teaches its times, and is not read again."""

import json
from collections import Counter, deque
from collections.abc import Mapping
from enum import Enum
from typing import Any
from weakref import WeakValueDictionary

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.identity import finding_id
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Identity, ObjectRef, Subject
from policyhub.sources import reports
from policyhub.sources.filter import Filter
from policyhub.sources.policy import Policy
from policyhub.sources.results import ITSELF
from policyhub.sources.truncation import Truncation
from policyhub.sync import reported
from policyhub.sync.claims import ManyClaims
from policyhub.sync.entry import Loss, Observation, ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.reported import PolicySet, Reported
from policyhub.sync.rewrites import Rewrites
from policyhub.sync.rollup import Rollup

START = 1_790_000_000
CLUSTER = "alpha"
APIS = (("wgpolicyk8s.io", "policyreports"), ("openreports.io", "reports"))
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
POD = {"apiVersion": "v1", "kind": "Pod", "name": "web-1"}
NODE = {"apiVersion": "v1", "kind": "Node", "name": "node"}
SPACE = {"apiVersion": "v1", "kind": "Namespace", "name": "shop"}

LOST = Identity("kyverno", "p", "r", Subject("apps", "Deployment", "shop", "web"), "")


def of_version(subject: Subject) -> ObjectRef:
    return ObjectRef(subject.group, "v1", subject.kind, subject.namespace, subject.name)


class World:
    """One cluster with two report APIs; `shortcut` false: each report is read, whatever it said before."""

    def __init__(self, *, shortcut: bool = True, rollup: bool = True) -> None:
        self.second = START
        self.noted: list[tuple[object, ...]] = []
        self.registry = CollectorRegistry()

        def now() -> SteadyMs:
            return SteadyMs(self.second * 1000)

        self.ledger = Ledger(cluster_id=CLUSTER, cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None)
        self.policies = PolicyMetadata(now=now, on_malformed=lambda *_: None)
        self.owners = Owners(
            now=now,
            on_change=lambda objects: self.rollup.shift(objects, now=now()) if self.rollup else None,
            on_malformed=lambda *_: None,
        )
        self.rollup = Rollup(ledger=self.ledger, owners=self.owners) if rollup else None
        self.ledger.sources.ownership = self.rollup
        metrics = Metrics(self.registry)
        self.report_sinks = [
            ReportSink(
                cluster=CLUSTER,
                group=group,
                resource=resource,
                ledger=self.ledger,
                filter_=Filter(results=frozenset({"fail", "warn"}), exclude_namespaces=("hidden",)),
                metrics=metrics,
                now=now,
                wall_clock=lambda: WallMs(self.second * 1000),
                rollup=self.rollup,
                policies=self.policies,
                on_results=lambda *content: self.noted.append(content),
            )
            for group, resource in APIS
        ]
        if not shortcut:
            for report_sink in self.report_sinks:
                report_sink._rewrites.remember = lambda *_: None  # type: ignore[method-assign]
        for resource in (PODS, REPLICASETS, JOBS):
            self.owners.sinks[resource].begin()
            self.owners.sinks[resource].finish()
            self.owners.sinks[resource].state(ReflectorState(phase="watching"))
        self.put(REPLICASETS, "web-5d9c", uid="u")

    def stored(self) -> None:
        """Security Hub has a finding, and the notice of a cut list, that nobody reports."""
        notice = Truncation(Subject(ITSELF, "PolicyReport", "shop", "a"), source="kyverno").notice(listed=1, total=9)
        stored = [
            Observation(
                finding_id(CLUSTER, identity),
                ObservedFinding("d", WallMs(START * 1000), WallMs(START * 1000), archived=False),
                "uid",
                self.report_sinks[0].source_api,
                identity.rule,
                source="kyverno",
                object_ref=of_version(identity.subject),
            )
            for identity in (LOST, notice.identity)
        ]
        self.ledger.observed.take_part("", stored, now=SteadyMs(START * 1000))

    def sent(self) -> None:
        """Security Hub has what is desired."""
        at = WallMs(self.second * 1000)
        for entry in list(self.ledger.entries.values()):
            if entry.desired and not entry.in_flight:
                self.ledger.mark_in_flight(entry)
                observed = ObservedFinding(entry.digest, at, at, archived=False)
                self.ledger.acknowledge(entry, observed, now=SteadyMs(int(at)))
                self.ledger.mark_decided(entry, None)

    def pod(self, owner: str | None) -> None:
        """A Pod of this ReplicaSet exists; None: it does not."""
        self.put(PODS, "web-1", uid="uid", owner=owner, exists=owner is not None)

    def put(self, resource: Resource, name: str, *, uid: str, owner: str | None = None, exists: bool = True) -> None:
        """A workload of this ReplicaSet exists, or does not."""
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "u", "controller": True}
        metadata = {
            "name": name,
            "namespace": "shop",
            "uid": uid,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [reference] if owner else [],
        }
        raw = json.dumps({"metadata": metadata}).encode()
        sink = self.owners.sinks[resource]
        (sink.upsert if exists else sink.delete)(raw)

    def state(self) -> object:
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.startswith("policyhub_") and not sample.name.endswith("_created")
        }
        return plain([self.ledger, self.rollup, self.policies, self.report_sinks], set()), self.noted, samples


def plain(value: object, seen: set[int]) -> object:
    """All that an object holds, to be compared; each of our own objects once, without callbacks, and without what is
    remembered of reports.
    """
    if value is None or isinstance(value, str | int | float | bytes | Enum):
        return value
    if callable(value) or isinstance(value, WeakValueDictionary | Rewrites | Metrics):
        return "-"
    if isinstance(value, Mapping):
        return sorted((repr(plain(k, seen)), plain(v, seen)) for k, v in value.items())
    if isinstance(value, set | frozenset):
        return sorted(repr(plain(item, seen)) for item in value)
    if isinstance(value, list | tuple | deque | ManyClaims):
        return [plain(item, seen) for item in value]
    return sorted((name, plain(member, seen)) for name, member in members(value, seen).items() if name != "version")


def members(value: object, seen: set[int]) -> dict[str, object]:
    if isinstance(value, PolicySet):
        return {"by": value.by}
    names = getattr(value, "__struct_fields__", None) or getattr(value, "__slots__", None)
    if names:
        return {name: getattr(value, name) for name in names}
    if id(value) in seen:
        return {}
    seen.add(id(value))
    return getattr(value, "__dict__", {})


def result(policy: str, outcome: str = "fail", **more: object) -> dict[str, Any]:
    content = {"source": "kyverno", "policy": policy, "rule": "r", "result": outcome, "message": f"{policy} is not met"}
    return {**content, "timestamp": {"seconds": START - 10, "nanos": 0}, **more}


def report(
    *results: dict[str, Any], name: str = "a", namespace: str = "shop", scope: object = DEPLOYMENT, **more: object
) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "scope": scope, "results": list(results), **more}


def raw(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def again(document: dict[str, Any], second: int = START) -> bytes:
    """With that time, in the other order, at another resourceVersion."""
    results = [{**content, "timestamp": {"seconds": second, "nanos": 1}} for content in reversed(document["results"])]
    metadata = {**document["metadata"], "resourceVersion": str(second)}
    return raw({**document, "metadata": metadata, "results": results})


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often reports were parsed, by name."""
    number: Counter[str] = Counter()
    parse = reports.parse

    def counted(decoded: Any, **how: Any) -> Any:
        number[decoded.report.metadata.name] += 1
        return parse(decoded, **how)

    monkeypatch.setattr(reports, "parse", counted)
    return number


@pytest.mark.parametrize("scope", [DEPLOYMENT, POD, NODE, SPACE], ids=lambda scope: scope["kind"])
def test_rewrite_is_not_read_again(parsed: Counter[str], scope: dict[str, str]) -> None:
    """What has other times, another order and another resourceVersion is not parsed."""
    world = World()
    document = report(result("p"), result("q", "pass"), scope=scope)
    world.report_sinks[0].upsert(raw(document))
    world.report_sinks[0].upsert(again(document, START - 5))
    assert parsed["a"] == 1
    assert world.report_sinks[0].newest == START - 5
    assert world.report_sinks[0].newest_by == {"kyverno": START - 5}


@pytest.mark.parametrize(
    "changed",
    [
        report(result("p"), result("q")),
        report(result("p", message="another"), result("q", "pass")),
        report(result("p"), result("q", "skip")),
        report(result("p"), result("q", "pass"), result("q", "pass")),
        report(result("p"), result("q", "pass", category="c")),
        report(result("p", properties={"a": "1"}), result("q", "pass")),
        report(result("p", resources=[POD]), result("q", "pass")),
        report(result("p"), result("q", "pass"), scope=POD),
        report(result("p"), result("q", "pass"), summary={"fail": 3}),
        report(result("p"), result("q", "pass"), configuration={"limits": {"maxResults": 2}}),
        report(result("p"), result("q", "pass"), source="other"),
        report(result("p"), result("q", "pass", source=None)),
    ],
)
def test_change_is_read(parsed: Counter[str], changed: dict[str, Any]) -> None:
    """Whatever else differs is read, and so is the way back."""
    world = World()
    document = report(result("p"), result("q", "pass"))
    for content in (document, changed, document):
        world.report_sinks[0].upsert(raw(content))
    assert parsed["a"] == 3


def test_what_was_forgotten_is_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a namespace has taught more than is remembered, its reports are read."""
    monkeypatch.setattr(reported, "MAX_LEARNED", 3)  # with the source itself
    world = World()
    documents = [report(result(policy, "pass"), name=policy) for policy in ("p", "q", "s")]
    for document in documents:
        world.report_sinks[0].upsert(raw(document))
    assert not world.owners.members.reported.passes("shop", ("kyverno", "p"))
    world.report_sinks[0].upsert(again(documents[0]))
    assert world.owners.members.reported.passes("shop", ("kyverno", "p"))


def test_version_of_a_namespace_that_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another one when the namespace is known again."""
    monkeypatch.setattr(reported, "MAX_NAMESPACES", 1)
    known = Reported()
    known.learn_passing("a", frozenset({("kyverno", "p")}))
    before = known.version("a")
    known.learn_passing("b", frozenset({("kyverno", "p")}))
    assert known.version("a") != before
    known.learn_passing("a", frozenset({("kyverno", "p")}))
    assert known.version("a") != before


def test_no_more_than_there_is_room_for(parsed: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reports are remembered, until they are gone."""
    monkeypatch.setattr("policyhub.sync.rewrites.MAX_REMEMBERED", 1)
    world = World()
    a, b = report(result("p"), name="a"), report(result("p"), name="b")
    for content in (raw(a), raw(b), again(a), again(b)):
        world.report_sinks[0].upsert(content)
    assert parsed == {"a": 1, "b": 2}
    world.report_sinks[0].delete(raw(a))
    for content in (again(b), again(b)):
        world.report_sinks[0].upsert(content)
    assert parsed == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    "document",
    [
        report(result("p"), result("q", "odd")),
        report(result("p"), result("q", "error")),
        report(result("p"), result("q", source="Tracee", properties={"pid": "1", "processName": "x"})),
        report(result("p"), summary={"fail": 9}),
        report(result("p"), summary={"error": 9}),
        report(result("p"), configuration={"limits": {"maxResults": 1}}),
    ],
    ids=["problem", "not evaluated", "events", "cut", "not evaluated, not listed", "limited"],
)
def test_what_was_not_taken_whole_is_read_again(parsed: Counter[str], document: dict[str, Any]) -> None:
    """Of such reports more has to be learned than times."""
    world = World()
    world.report_sinks[0].upsert(raw(document))
    world.report_sinks[0].upsert(again(document))
    assert parsed["a"] == 2


def test_report_that_was_too_large_is_whole_again() -> None:
    """One that could not be read for once, and now says what it did before, is read."""
    world = World()
    document = report(result("p"))
    world.report_sinks[0].upsert(raw(document))
    size = world.ledger.usage.limits.report_bytes
    world.report_sinks[0].upsert(raw(report(result("p", message="m" * size))))
    assert world.ledger.sources.incomplete
    world.report_sinks[0].upsert(again(document))
    assert not world.ledger.sources.incomplete


def test_lost_finding_is_heard_of_in_a_rewrite() -> None:
    """A report that reads it as passing, and did before, ends it by its next scan."""
    world = World()
    passing, failing = report(result("p", "pass"), result("q"), name="a"), report(result("p"), name="b")
    for content in (passing, failing):
        world.report_sinks[0].upsert(raw(content))
    world.sent()
    world.report_sinks[0].delete(raw(failing))
    entry = world.ledger.entries[finding_id(CLUSTER, LOST)]
    before = entry.loss
    world.report_sinks[0].upsert(again(passing))
    assert (before, entry.loss) == (Loss.SILENT, Loss.PASSED)


@pytest.mark.parametrize("scope", [DEPLOYMENT, SPACE, NODE], ids=lambda scope: scope["kind"])
def test_rewrite_elsewhere_is_not_read_for_a_lost_finding(parsed: Counter[str], scope: dict[str, str]) -> None:
    """A report of another namespace cannot name its object."""
    world = World()
    lost = report(result("p"), name="b", namespace="" if scope is NODE else "shop", scope=scope)
    other = report(result("p"), namespace="other")
    for content in (lost, other):
        world.report_sinks[0].upsert(raw(content))
    world.sent()
    world.report_sinks[0].delete(raw(lost))
    world.report_sinks[0].upsert(again(other))
    assert parsed["a"] == 1


def test_rewrite_says_of_the_object_itself_once_more() -> None:
    """What another API has ended meanwhile, the object's own report still says."""
    world = World()
    fails = report(result("p"))
    for report_sink in world.report_sinks:
        report_sink.upsert(raw(fails))
    world.report_sinks[0].upsert(raw(report(result("p", "pass"))))
    [entry] = world.ledger.entries.values()
    assert not entry.own
    world.report_sinks[1].upsert(again(fails))
    assert entry.own


def test_namespace_that_was_lost_is_found_in_its_own_reports(parsed: Counter[str]) -> None:
    """A report in a namespace may name the namespace itself."""
    world = World()
    lost, same = report(result("p"), name="b", scope=SPACE), report(result("p"))
    for document in (lost, same):
        world.report_sinks[0].upsert(raw(document))
    world.sent()
    world.report_sinks[0].delete(raw(lost))
    world.report_sinks[0].upsert(again(same))
    assert parsed["a"] == 2


def test_what_changes_at_each_scan_is_no_change(parsed: Counter[str]) -> None:
    """Kubewarden labels each report with its scan, and Kyverno writes which of its processes evaluated a policy."""
    world = World()
    for number, process in enumerate(["background scan", "admission review", None]):
        properties = {"process": process, "resultID": str(number)} if process else None
        document = report(result("p", properties=properties))
        document["metadata"]["labels"] = {"kubewarden.io/audit-scanner-run-uid": str(number)}
        world.report_sinks[0].upsert(raw(document))
    assert parsed["a"] == 1 + 1  # the last one has no properties at all


def test_another_engine_is_read(parsed: Counter[str]) -> None:
    """A label may name the engine of results that name none."""
    world = World()
    for engine in ("kyverno", "other"):
        document = report(result("p", source=None))
        document["metadata"]["labels"] = {"app.kubernetes.io/managed-by": engine}
        world.report_sinks[0].upsert(raw(document))
    assert parsed["a"] == 2


def test_result_that_is_null_is_counted(parsed: Counter[str]) -> None:
    """With a limit of results it decides whether more may exist."""
    world = World()
    document = report(result("p"), configuration={"limits": {"maxResults": 2}})
    world.report_sinks[0].upsert(raw(document))
    world.report_sinks[0].upsert(raw({**document, "results": [*document["results"], None]}))
    assert parsed["a"] == 2


def test_unevaluated_result_waits_for_its_pod() -> None:
    """The finding is noted as unevaluated once the target of the Pod is known, although the report is unchanged."""
    world = World()
    document = report(result("p", "error"), result("q", "pass"), scope=POD)
    world.report_sinks[0].upsert(raw(document))
    assert not world.ledger.sources.unevaluated
    world.pod("web-5d9c")
    world.report_sinks[0].upsert(again(document))
    assert list(world.ledger.sources.unevaluated) == [
        finding_id(CLUSTER, Identity("kyverno", "p", "r", Subject("apps", "ReplicaSet", "shop", "web-5d9c"), ""))
    ]


def test_report_without_claims_that_a_listing_lacks_is_forgotten() -> None:
    """It was deleted unseen: it proves no scan any more, holds no finding, and is not remembered."""
    world = World()
    report_sink = world.report_sinks[0]
    passes, unevaluated = report(result("p", "pass")), report(result("q", "error"), name="b")
    for document in (passes, unevaluated):
        report_sink.upsert(raw(document))
    assert world.ledger.sources.unevaluated
    assert report_sink._rewrites.keys()
    assert set(world.ledger.sources.scans.witnesses())
    report_sink.begin()
    report_sink.finish()
    assert not world.ledger.sources.unevaluated
    assert not report_sink._rewrites.keys()
    assert not set(world.ledger.sources.scans.witnesses())


def test_policy_that_says_something_else_is_read() -> None:
    """What is known of its policy rates a report that says the same."""
    world = World()
    document = report(result("p"))
    world.report_sinks[0].upsert(raw(document))
    world.policies.learn(("kyverno", "p"), Policy(severity="HIGH"), namespace="")
    world.report_sinks[0].upsert(again(document))
    [entry] = world.ledger.entries.values()
    assert entry.representative is not None
    assert entry.representative.severity == "HIGH"


def test_listing_that_grades_reads_each_report(parsed: Counter[str]) -> None:
    """What passes is asked for then."""
    world = World()
    document = report(result("p"))
    world.report_sinks[0].upsert(raw(document))
    world.report_sinks[0].grade = True
    world.report_sinks[0].begin()
    world.report_sinks[0].upsert(again(document))
    world.report_sinks[0].finish()
    assert parsed["a"] == 2


def test_what_claims_nothing_has_less_room(parsed: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs more memory, and less to read."""
    monkeypatch.setattr("policyhub.sync.rewrites.MAX_PASSING", 1)
    world = World(rollup=False)
    documents = [report(result("p", outcome), name=name) for name, outcome in (("a", "fail"), ("b", "pass"))]
    documents.append(report(result("p"), name="c"))
    for document in documents:
        world.report_sinks[0].upsert(raw(document))
    for document in documents:
        world.report_sinks[0].upsert(again(document))
    assert parsed == {"a": 1, "b": 2, "c": 1}


# -- any course of events -------------------------------------------------------------------------------------------

PLAIN = st.lists(
    st.builds(
        result,
        st.sampled_from(["p", "q"]),
        st.sampled_from(["fail", "fail", "pass", "pass", "error"]),
        resources=st.sampled_from([None, None, [POD]]),
        properties=st.sampled_from([None, None, {"process": "scan"}, {"process": "admission"}]),
    ),
    min_size=1,
    max_size=3,
)
ODD = st.lists(
    st.builds(
        result,
        st.sampled_from(["p", "q"]),
        st.sampled_from(["fail", "pass", "warn", "error", "skip", "odd"]),
        source=st.sampled_from(["kyverno", " kyverno", "other", "Tracee", None]),
        resources=st.sampled_from([None, [POD], [NODE], [POD, DEPLOYMENT], [SPACE], [{"kind": "Pod"}]]),
        properties=st.sampled_from([None, {"process": "scan"}, {"process": "admission"}, {"pid": "1", "verb": "x"}]),
    ),
    min_size=1,
    max_size=3,
)
PLACES = {"name": st.sampled_from(["a", "b"]), "namespace": st.sampled_from(["shop", "shop", "hidden", ""])}
SCOPES = st.sampled_from([DEPLOYMENT, POD, POD, NODE, SPACE, None])
USUAL = st.builds(
    lambda results, **of: report(*results, **of), PLAIN, scope=st.sampled_from([DEPLOYMENT, POD]), **PLACES
)
UNUSUAL = st.builds(
    lambda results, more, **of: {**report(*results, **of), **more},
    ODD,
    st.sampled_from([{}, {}, {"summary": {"fail": 9}}, {"summary": {"error": 9}}, {"results": "none"}]),
    scope=SCOPES,
    **PLACES,
)
DOCUMENTS = st.one_of(USUAL, USUAL, USUAL, UNUSUAL)
COURSES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *["write"] * 4,
                *["again"] * 12,
                *("delete", "list", "grade", "fail", "pod", "gone", "policy", "silent", "sent", "stored", "superseded"),
                *("broken", "large", "relist"),
            ]
        ),
        st.integers(0, 1),
        st.integers(0, 20),
        st.integers(-20_000, 400),
    ),
    min_size=10,
    max_size=30,
)


def play(world: World, documents: list[dict[str, Any]], course: list[tuple[str, int, int, int]]) -> object:
    written: dict[int, dict[tuple[object, ...], dict[str, Any]]] = {0: {}, 1: {}}
    first = [("write", api, number, -100) for api in (0, 1) for number in range(len(documents))]
    for what, api, number, seconds in [*first, *course]:
        world.second += 61
        act(
            world,
            what,
            world.report_sinks[api],
            written[api],
            documents[number % len(documents)],
            world.second + seconds,
        )
    return world.state()


def act(  # noqa: C901, PLR0912, PLR0917  (a table)
    world: World,
    what: str,
    report_sink: ReportSink,
    written: dict[tuple[object, ...], dict[str, Any]],
    document: dict[str, Any],
    second: int,
) -> None:
    key = document["metadata"].get("namespace"), document["metadata"]["name"]
    now = SteadyMs(world.second * 1000)
    match what:
        case "write":
            written[key] = document
            report_sink.upsert(raw(document))
        case "again":
            for same in list(written.values()):
                report_sink.upsert(again(same, second) if isinstance(same["results"], list) else raw(same))
        case "delete":
            if written.pop(key, None) is not None:
                report_sink.delete(raw(document))
        case "list" | "grade" | "fail" | "relist":
            report_sink.grade = what == "grade"
            if what == "relist":
                written.pop(key, None)
            report_sink.begin()
            for same in written.values():
                report_sink.upsert(raw(same))
            (report_sink.abort if what == "fail" else report_sink.finish)()
        case "pod" | "gone":
            world.pod("web-5d9c" if what == "pod" else None)
        case "policy":
            world.policies.learn(("kyverno", "p"), Policy(category=str(second)), namespace="")
        case "silent":
            world.policies.forget(("kyverno", "p"), namespace="")
        case "stored":
            world.stored()
        case "sent":
            world.sent()
        case "superseded":
            engine = ("kyverno", APIS[second % 2][0], "shop")
            world.ledger.supersede(frozenset({engine}) - world.ledger.desired.superseded, now=now)
        case "broken":
            report_sink.upsert(b'{"metadata":{"name":"a","namespace":"shop"},"results":[')
        case _:
            report_sink.unreadable(raw(document), ValueError("too large"))


@settings(max_examples=100, deadline=None)
@given(st.lists(DOCUMENTS, min_size=2, max_size=4), COURSES, st.booleans())
def test_state_is_that_of_a_reading(documents: list[dict[str, Any]], course: Any, rollup: bool) -> None:  # noqa: FBT001  (hypothesis)
    """Whatever happens between them, rewrites that are not read again leave everything as if each had been read."""
    with capture_logs():
        short = play(World(rollup=rollup), documents, course)
        full = play(World(rollup=rollup, shortcut=False), documents, course)
    assert short == full
