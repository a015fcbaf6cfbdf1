"""What the mapping costs: microseconds from a report's bytes to a finding, and the bytes that remain in memory.

Each source object is read repeatedly; its violations are identified, hashed and rendered as the engine does for new
findings. Findings are discarded at once.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.model.violation import Violation
from policyhub.sources import reader
from tests.bench import shape, standin, steps
from tests.bench.environment import Rows

SAMPLES = Path(__file__).parents[1] / "data" / "producers"
SOURCE_API = f"{shape.RESOURCE}.{shape.GROUP}"
LATEST = 2**40
ROUNDS = 5
"""The fastest repetition counts, because others were disturbed."""
CLUSTER = asff.Cluster(
    id="bench",
    name="bench",
    arn=None,
    uid="uid",
    account="111122223333",
    region="eu-west-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
)


class Source(NamedTuple):
    """A source object as raw bytes."""

    group: str
    resource: str
    raw: bytes

    def violations(self) -> list[Violation]:
        return [one for one, _ in reader.read(self.group, self.resource, self.raw, latest=LATEST).violations]


class Cost(NamedTuple):
    """Microseconds a violation."""

    read: float
    """Decoding and mapping; passing results are read too."""
    named: float
    """Id and digest."""
    rendered: float

    def __str__(self) -> str:
        parts = f"{self.read:.1f} read, {self.named:.1f} id and digest, {self.rendered:.1f} rendered"
        return f"**{sum(self):.1f} µs**: {parts}"


def table(violations: int) -> Rows:
    """For each kind of source object, with about this many violations."""
    rows: Rows = []
    for what, sources in shapes().items():
        rows.append((what, f"{cost(sources, violations)}; holds {held(sources, violations):,.0f} bytes"))
    return [*rows, *_in_the_ledger(violations)]


def _in_the_ledger(violations: int) -> Rows:
    """Entry, claim, texts, id, digest and place in the backlog; the Pods themselves are not counted."""
    failing = 2
    number = -(-violations // failing)
    plain = [msgspec.json.encode(shape.report(n, failing=failing, second=1)) for n in range(number)]
    raws = [source.raw for source in of_pods(number, failing=failing)]
    alone = kept(lambda: steps.viewed(plain))
    with_pods = kept(lambda: steps.viewed(raws, pods=number)) - kept(lambda: steps.viewed([], pods=number))
    return [
        ("held in the ledger, not sent yet", f"{alone / number / failing:,.0f} bytes"),
        (
            f"the same of Pods, {standin.REPLICAS} of which are one finding",
            f"{with_pods / number / failing:,.0f} bytes",
        ),
    ]


def of_pods(number: int, *, failing: int) -> list[Source]:
    """A report of each of this many Pods of the stand-in."""
    found = []
    for n in range(number):
        metadata = standin.pod(n)["metadata"]
        report = shape.report(n, failing=failing, second=1)
        report["metadata"]["namespace"] = metadata["namespace"]
        subject = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"]}
        found.append(_source({**report, "scope": subject}))
    return found


def shapes() -> dict[str, list[Source]]:
    """The bench's own reports, then the samples of each producer."""
    found = {
        f"the bench's report: 5 results, {failing} fail": [_source(shape.report(1, failing=failing, second=1))]
        for failing in (2, 5)
    }
    found["the wide one: 30 results, 2 fail"] = [_source(shape.wide(1, failing=2, second=1))]
    for file in sorted(SAMPLES.glob("*.yaml")):
        documents = yaml.safe_load_all(file.read_text(encoding="utf-8"))
        found[file.stem] = [source for source in map(_source, documents) if source.violations()]
    return {what: sources for what, sources in found.items() if sources}


def cost(sources: Sequence[Source], violations: int) -> Cost:
    all_violations = [one for source in sources for one in source.violations()]
    times = -(-violations // len(all_violations))
    read = _quickest(lambda: [source.violations() for source in sources], times)
    named = _quickest(lambda: [_named(one) for one in all_violations], times)
    names = [_named(one) for one in all_violations]
    rendered = _quickest(
        lambda: [_rendered(one, *name) for one, name in zip(all_violations, names, strict=True)], times
    )
    return Cost(*(seconds / times / len(all_violations) * 1e6 for seconds in (read, named, rendered)))


def held(sources: Sequence[Source], violations: int) -> float:
    """Bytes that a violation keeps of its object: itself and its unshared texts."""
    number = sum(len(source.violations()) for source in sources)
    times = -(-violations // number)
    return kept(lambda: [source.violations() for _ in range(times) for source in sources]) / times / number


def kept(make: Callable[[], object]) -> int:
    """Bytes of the created objects by Python's own count: the lesser of two, because a dict may grow."""
    return min(_traced(make), _traced(make))


def _traced(make: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        del made
    finally:
        tracemalloc.stop()
    return after - before


def _quickest(do: Callable[[], object], times: int) -> float:
    def seconds() -> Iterator[float]:
        for _ in range(ROUNDS):
            started = time.process_time()
            for _ in range(times):
                do()
            yield time.process_time() - started

    return min(seconds())


def _named(violation: Violation) -> tuple[str, str]:
    return finding_id(CLUSTER.id, violation.identity), digest(violation)


def _rendered(violation: Violation, id_: str, hashed: str) -> dict[str, Any]:
    return asff.render(
        violation,
        cluster=CLUSTER,
        finding_id=id_,
        digest=hashed,
        source_api=SOURCE_API,
        created_at=WallMs(1),
        observed_at=WallMs(2),
        updated_at=WallMs(2),
        archived=False,
    )


def _source(document: dict[str, Any]) -> Source:
    group, kind = document["apiVersion"].rpartition("/")[0], document["kind"].lower()
    plural = kind if group == "constraints.gatekeeper.sh" else f"{kind}s"
    return Source(group, plural, msgspec.json.encode(document))
