"""A fuzzer for every decoder of the operator: `python -m tests.hostile.fuzz --seconds 600 --seed 1`.

It mutates samples of every producer's reports: other types, huge and unusual texts, very long numbers, deep nesting,
members that are moved, removed or duplicated, then single bytes. The same seed gives the same inputs. The checks:

| check                                       | targets              |
|---------------------------------------------|----------------------|
| only the reader's documented errors         | every target         |
| time in proportion to the input's bytes     | every target         |
| each finding is valid for Security Hub      | reports, constraints |
| no subject of another namespace             | namespaced reports   |
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import yaml
from prometheus_client import CollectorRegistry

from dev.hub.schema import checker
from policyhub.api import selector
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster import approval
from policyhub.cluster.sinks.namespaces import NamespaceSink
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.doctor import others
from policyhub.findings.asff import render
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import rolled_up
from policyhub.kube import discovery, kubeconfig
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.kube.resource import Resource
from policyhub.metrics.definitions import Metrics
from policyhub.model.source_apis import CONSTRAINTS, REPORT_GROUPS, SOURCE_GROUPS, plural_of
from policyhub.model.text import distinct
from policyhub.model.violation import Malformed, ParsedReport, Subject, Violation
from policyhub.render.collector import Collector
from policyhub.render.composer import compose
from policyhub.render.provenance import Provenance
from policyhub.render.raw_object import ReadError
from policyhub.render.scanner import scan
from policyhub.render.target import target as target_of
from policyhub.securityhub import inventory
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sources.policy import enriched, policy_of
from policyhub.sync.ledger import Ledger
from policyhub.sync.owners import Owners
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.triage.row import row
from tests.unit.findings.conftest import objections_to
from tests.unit.findings.mapping import CLUSTER, SAMPLES

NOW = 1_795_570_300
SLACK = 0.5
SECONDS_A_BYTE = 1e-4
"""Thread time. A result of twenty bytes is a finding, and rendering one takes about 100 µs."""
CHECKED = 8
"""How many findings of one input are validated in full."""

TEXTS = (
    "",
    " ",
    "x" * 300,
    "x" * 5_000,
    " " * 40_000,
    "a" + " " * 40_000 + "b",
    "\x00",
    "\x1b[31m",
    "\u202e\u2066",
    "\u200b",
    "\U000e0041",
    "\ufeff",
    "\ud800",
    "\ufffd" * 9_000 + "x",
    "😀" * 1_000,
    "=cmd|' /C calc'!A0",
    "$(reboot)`x`';\"",
    "x,kyverno",
    "../../etc",
    "team-b",
    "kube-system",
    "nan",
    "inf",
    "1e400",
    "9" * 5_000,
    "²",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "Kube Bench",
    "Trivy Compliance",
    "Trivy Vulnerability",
    "gatekeeper",
    "ClusterPolicyReport",
    "wgpolicyk8s.io/v1alpha2",
    "{" * 3_000,
    "(" * 3_000,
    "rule x failed at path " * 2_000,
    "-controls/" * 2_000,
    "_restricted",
    "bundleDisplayName: controlNumbers: " * 500,
)
LITERALS = (
    "9" * 400,
    "9" * 5_000,
    "-1",
    "1e999",
    "-1e308",
    "0.1",
    "NaN",
    "9223372036854775808",
    "1e-400",
    "-0",
    "[" * 900 + "]" * 900,
    '{"a":' * 900 + "1" + "}" * 900,
    "[" * 90_000 + "]" * 90_000,
    '"\\ud800"',
    '"\\u0000"',
)
"""Inserted into the JSON unescaped."""
_LITERAL = "\ue000{}\ue000"

Document = Any


def group_of(document: Document) -> str:
    return str(document["apiVersion"]).partition("/")[0]


def samples() -> dict[str, list[Document]]:
    """Own samples, by target."""
    written = [one for file in sorted(SAMPLES.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text("utf-8"))]
    found: dict[str, list[Document]] = {
        "reports": [one for one in written if group_of(one) in REPORT_GROUPS],
        "constraints": [one for one in written if group_of(one) == CONSTRAINTS],
    }
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": True}
    metadata = {
        "name": "web-1",
        "namespace": "team-a",
        "uid": "u1",
        "creationTimestamp": "2026-11-01T08:00:00Z",
        "annotations": {"deployment.kubernetes.io/revision": "3", "policies.kyverno.io/title": "A title"},
        "labels": {"app": "web"},
        "ownerReferences": [owner],
    }
    found["objects"] = [{"metadata": metadata}, {"metadata": {"name": "kube-system"}}]
    annotations = {
        "policies.kyverno.io/severity": "high",
        "controls": "CIS-1.2",
        "policycontroller.gke.io/constraintData": "x",
    }
    found["policies"] = [{"metadata": {**metadata, "annotations": {**annotations, "io.kubewarden.policy.title": "T"}}}]
    kinds = [{"name": "policyreports", "kind": "PolicyReport", "namespaced": True, "verbs": ["list", "watch"]}]
    versions = [{"version": "v1alpha2", "groupVersion": "wgpolicyk8s.io/v1alpha2"}]
    found["discovery"] = [{"versions": versions, "preferredVersion": versions[0], "resources": kinds}]
    cluster = {"name": "k", "cluster": {"server": "https://h:6443", "proxy-url": "http://u:p@h:1"}}
    user = {"name": "u", "user": {"token": "t"}}
    context = {"name": "c", "context": {"cluster": "k", "user": "u"}}
    found["kubeconfig"] = [{"current-context": "c", "contexts": [context], "users": [user], "clusters": [cluster]}]
    found["findings"] = [finding for one in found["reports"][:4] for finding in rendered(read(one))]
    found["texts"] = ["kyverno@2026-11-01T08:00:00Z,Trivy%20ConfigAudit@2026-11-01T08:00:00Z", "shard in (a, b), !x"]
    return found


# -- mutations --------------------------------------------------------------------------------------------------------


def mutated(document: Document, rng: random.Random) -> Document:
    made = deepcopy(document)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        made = changed(made, rng)
    return made


def changed(document: Document, rng: random.Random) -> Document:
    """The document with one mutation at one place."""
    places = list(walk(document))
    if not places:
        return odd(rng)
    holder, key = rng.choice(places)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = holder.pop(key)
        case 2:
            other, at = rng.choice(places)
            with suppress(LookupError):  # an earlier mutation may have removed it
                holder[key] = deepcopy(other[at])
        case 3 if isinstance(holder[key], str):
            at = rng.randrange(len(holder[key]) + 1)
            holder[key] = holder[key][:at] + rng.choice(TEXTS) + holder[key][at:]
        case 4 if isinstance(holder[key], list):
            holder[key] = (holder[key] * rng.choice((2, 20, 200)))[:400]
        case 5 if isinstance(holder[key], dict):
            holder[key] |= {f"{rng.choice(TEXTS)[:50]}{number}": odd(rng) for number in range(rng.choice((1, 9, 90)))}
        case _:
            holder[key] = odd(rng)
    return document


def walk(document: Document) -> Iterator[tuple[Any, Any]]:
    """Every member with its parent and key."""
    if isinstance(document, dict | list):
        for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
            yield document, key
            yield from walk(value)


def odd(rng: random.Random) -> Any:
    match rng.randrange(6):
        case 0 | 1 | 2:
            return rng.choice(TEXTS)
        case 3:
            return _LITERAL.format(rng.randrange(len(LITERALS)))
        case 4:
            return rng.choice((None, True, [], {}, [None], [[]], {"": None}))
        case _:
            return [rng.choice(TEXTS)[:100] for _ in range(rng.choice((1, 30)))]


def encoded(document: Document, rng: random.Random) -> bytes:
    text = json.dumps(document, ensure_ascii=rng.random() < 0.3)
    for number, literal in enumerate(LITERALS):
        for mark in (json.dumps(_LITERAL.format(number)), f'"{_LITERAL.format(number)}"'):
            text = text.replace(mark, literal)
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.15:
        for _ in range(rng.choice((1, 1, 4))):
            at = rng.randrange(len(raw) + 1)
            match rng.randrange(4):
                case 0:
                    del raw[at:]
                case 1:
                    raw[at:at] = bytes([rng.randrange(256)])
                case 2:
                    raw[at:at] = b"[" * rng.choice((1, 5_000)) + b'"' * rng.choice((0, 1))
                case _:
                    raw[at : at + 1] = b""
    return bytes(raw)


# -- targets ----------------------------------------------------------------------------------------------------------


class Broken(AssertionError):
    """A check failed."""


def read(document: Document) -> ParsedReport:
    group = group_of(document)
    resource = plural_of(group, document["kind"])
    return reader.read(group, resource, json.dumps(document).encode(), latest=NOW)


def all_violations(reading: ParsedReport) -> tuple[tuple[Violation, int | None], ...]:
    """All violations, with the notice of a truncated list."""
    return reading.violations if reading.notice is None else (*reading.violations, (reading.notice, None))


def rendered(reading: ParsedReport) -> Iterator[dict[str, Any]]:
    for violation, observed in all_violations(reading):
        yield render(
            violation,
            cluster=CLUSTER,
            finding_id=finding_id(CLUSTER.id, violation.identity),
            digest=digest(violation),
            source_api=reading.key.source_api,
            created_at=WallMs((observed or NOW) * 1000),
            observed_at=WallMs(NOW * 1000),
            updated_at=WallMs(NOW * 1000),
            archived=False,
        )


_schema = checker("AwsSecurityFinding")
_policy = policy_of({"policies.kyverno.io/title": "A title", "controls": "CIS-1.2"})


def as_report(raw: bytes) -> None:
    with suppress(Malformed):
        checked(reader.read("wgpolicyk8s.io", "policyreports", raw, latest=NOW))
        reader.passed("wgpolicyk8s.io", "policyreports", raw)


def as_constraint(raw: bytes) -> None:
    with suppress(Malformed):
        checked(reader.read(CONSTRAINTS, "any", raw, latest=NOW))


def checked(reading: ParsedReport) -> None:
    namespace = distinct(reading.key.namespace)
    filter_ = Filter(minimum_severity="LOW", include_namespaces=("team-*",))
    controller = Subject("apps", "Deployment", namespace, "web")
    for violation, _ in all_violations(reading):
        filter_.admits(enriched(violation, _policy))
        rolled_up(violation, controller)
        of = violation.subject
        is_own = of.namespace == namespace or (of.group, of.kind, of.namespace, of.name) == (
            "",
            "Namespace",
            "",
            namespace,
        )
        if namespace and not is_own:
            raise Broken(f"{of} of a report in {namespace!r}")
    for number, finding in enumerate(rendered(reading)):
        if number < CHECKED and (objections := [*objections_to(finding), *(_schema(finding) or ())]):
            raise Broken(f"Security Hub would reject it: {objections[:3]}")
    if len({violation.identity for violation, _ in all_violations(reading)}) != len(all_violations(reading)):
        raise Broken("two violations of one identity")
    float(reading.unlisted)


def in_the_ledger() -> Callable[[bytes], None]:
    ledger = Ledger(cluster_id="c", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
    ledger.observed.take_part("", [], now=SteadyMs(1))
    view = ReportSink(
        cluster="c",
        group="wgpolicyk8s.io",
        resource="policyreports",
        ledger=ledger,
        filter_=Filter(),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: SteadyMs(NOW * 1000),
        wall_clock=lambda: WallMs(NOW * 1000),
    )
    return handed(view)


def handed(sink: Any) -> Callable[[bytes], None]:
    """Delivers an object as the reflector does: errors of a sink are counted for this object, and the next one is
    delivered.
    """

    def take(raw: bytes) -> None:
        for do in (sink.upsert, partial(sink.upsert_during_listing, new=False), sink.delete):
            try:
                do(raw)
            except Exception as error:
                if not hasattr(sink, "unreadable"):
                    raise
                sink.unreadable(raw, error)

    return take


def sinks() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """The sinks with an error for objects that they cannot read."""
    policies = PolicyMetadata(now=lambda: SteadyMs(NOW * 1000), on_malformed=lambda *_: None)
    owners = Owners(now=lambda: SteadyMs(NOW * 1000), on_change=lambda *_: None, on_malformed=lambda *_: None)
    existence = SimpleNamespace(
        stream_started_at={},
        add_namespace=lambda *_: None,
        remove_namespace=lambda *_, **__: None,
        namespaces_live=lambda **_: None,
    )
    of: dict[str, Any] = {
        "policies": policies.sink(Resource("kyverno.io", "v1", "policies", "Policy", namespaced=True)),
        "namespaces": NamespaceSink(cast("Any", existence), cluster="c", now=lambda: SteadyMs(NOW * 1000)),
    }
    if hasattr(owners, "sink"):
        of["owners"] = owners.sink(Resource("", "v1", "pods", "Pod", namespaced=True))
    yield from ((name, handed(sink)) for name, sink in of.items() if name == "policies" or hasattr(sink, "unreadable"))


def as_discovery(raw: bytes) -> None:
    async def get(*_: object, **__: object) -> bytes:
        return raw

    home = cast("Connection", SimpleNamespace(get=get, server="https://h"))
    with suppress(Refused, Unreachable):
        asyncio.run(discovery.discover(home, SOURCE_GROUPS))


def as_kubeconfig(raw: bytes) -> None:
    with suppress(KubeconfigError):
        kubeconfig.parse(raw)


def as_finding(raw: bytes) -> None:
    try:
        finding = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if not isinstance(finding, dict) or not isinstance(finding.get("Id"), str):
        return  # not a finding at all
    found = inventory.from_asff(finding)
    if any(len(text) > 1_024 for text in (found.source, found.policy, found.rule, found.cluster_uid, found.digest)):
        raise Broken("a text was not cut")
    shown = row(finding, cluster="c", sla_days={}, now=WallMs(NOW * 1000))
    if not all(str(getattr(shown, name)).isprintable() for name in ("source", "policy", "name", "title")):
        raise Broken("a text contains unprintable characters")
    others.tool(finding)
    if isinstance(finding.get("Resources"), list) and all(isinstance(one, dict) for one in finding["Resources"]):
        others.archived(finding, now=WallMs(NOW * 1000))


def as_text(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape").strip('"')
    source = text[:300]
    merged = approval.merged(text, source=source, until=WallMs(NOW * 1000), now=WallMs(0))
    name = approval.unquoted(approval.quoted(source))
    if source and approval.parse(merged).get(name) != WallMs(NOW * 1000):
        raise Broken(f"an approval of {source!r} that does not read back")
    with suppress(ValueError):
        selector.parse(text)


def as_file(raw: bytes) -> None:
    for pieces in (scan, compose):
        for _ in pieces(Stream(raw), "x"):
            pass


def as_rendered(raw: bytes) -> None:
    """`policyhub render --explain`: it explains the same finding that is rendered."""
    collector = Collector(
        target_of({"exclude_source": [""]}), now=WallMs(NOW * 1000), report_error=lambda _: None, keep=True
    )
    for piece in scan(Stream(raw), "x"):
        (collector.fail if isinstance(piece, ReadError) else collector.take)(piece)  # type: ignore[arg-type]
    collector.finish(owners=False)
    provenance = Provenance(collector)
    for entry, finding in islice(collector.findings(), 2):
        provenance.explain(entry, finding)
        case = provenance._case(entry)
        if provenance._run(case, case.raw, collector.inputs(entry))[0] != finding:
            raise Broken("another finding is explained")


class Stream:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def read(self, size: int, /) -> bytes:
        part, self._raw = self._raw[:size], self._raw[size:]
        return part


def targets() -> list[tuple[str, str, Callable[[bytes], None]]]:
    """Name, kind of samples, and function of each target."""
    found: list[tuple[str, str, Callable[[bytes], None]]] = [
        ("reports", "reports", as_report),
        ("constraints", "constraints", as_constraint),
        ("either as the other", "reports", as_constraint),
        ("the other as either", "constraints", as_report),
        ("discovery", "discovery", as_discovery),
        ("kubeconfig", "kubeconfig", as_kubeconfig),
        ("findings", "findings", as_finding),
        ("texts", "texts", as_text),
        ("files", "reports", as_file),
        ("rendered reports", "reports", as_rendered),
        ("rendered constraints", "constraints", as_rendered),
    ]
    if hasattr(ReportSink, "unreadable"):
        found.append(("ledger", "reports", in_the_ledger()))
    return [*found, *((name, "policies" if name == "policies" else "objects", take) for name, take in sinks())]


# -- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    inputs: int = 0
    by_target: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    """One line for each place that crashed."""
    slowest: tuple[float, str] = (0.0, "none")
    """The slowest input: seconds, and its description."""

    def __str__(self) -> str:
        lines = [
            f"{self.inputs} inputs, {len(self.crashes)} crashes; slowest: {self.slowest[0]:.3f} s for {self.slowest[1]}"
        ]
        lines += [f"  {name}: {number}" for name, number in sorted(self.by_target.items())]
        return "\n".join([*lines, *self.crashes[:50]])


def run(*, seed: int, goes_on: Callable[[int], bool], only: Iterable[str] = (), keep: Path | None = None) -> Outcome:
    """`goes_on` gets the number of inputs so far and returns whether to continue; `keep` is a folder for inputs that
    crash.
    """
    outcome, rng, of = Outcome(), random.Random(seed), samples()  # noqa: S311  (nothing is secret)
    tried = [target for target in targets() if not only or target[0] in set(only)]
    seen: set[tuple[str, str]] = set()
    """Places that crashed already; each is reported once."""
    while goes_on(outcome.inputs):
        name, kind, take = rng.choice(tried)
        raw = encoded(mutated(rng.choice(of[kind]), rng), rng)
        outcome.inputs += 1
        outcome.by_target[name] += 1
        began = time.thread_time()
        crash = where = ""
        try:
            take(raw)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what is looked for)
            where = crash_site(error)
            crash = f"{type(error).__name__} in {where}: {str(error)[:300]}"
        seconds = time.thread_time() - began
        outcome.slowest = max(outcome.slowest, (seconds, f"{len(raw)} bytes of {name} (input {outcome.inputs})"))
        if seconds > SLACK + SECONDS_A_BYTE * len(raw):
            crash = crash or f"{seconds:.2f} s for {len(raw)} bytes"
        if crash and (name, where) not in seen:
            seen.add((name, where))
            outcome.crashes.append(f"input {outcome.inputs} of seed {seed}: {name}: {crash}")
            if keep is not None:
                (keep / f"{seed}-{outcome.inputs}-{name.replace(' ', '-')}.bin").write_bytes(raw)
    return outcome


def crash_site(error: Exception) -> str:
    """The file and line that raised the error."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last is not None else "?"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="targets")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that crash")
    asked = parser.parse_args()
    end = time.monotonic() + asked.seconds
    outcome = run(seed=asked.seed, goes_on=lambda _: time.monotonic() < end, only=asked.only, keep=asked.keep)
    sys.stdout.write(f"{outcome}\n")
    return 1 if outcome.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
