"""Our own samples in a real API server: what the engines wrote about our company, and what other producers write."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dev import crds
from tests.integration.operator.samples import put
from tests.integration.operator.world import Document, World
from tests.unit.findings import mapping
from tests.unit.sources.recorded import at

PRODUCERS = [name for name in mapping.names() if name != "kubescape"]
"""Kubescape writes files that no API server accepts."""
SAMPLES = {
    "engines": [one.document for one in at("company")],
    "producers": [document for name in PRODUCERS for document in mapping.documents(name)],
}
KINDS = sorted({one["kind"] for documents in SAMPLES.values() for one in documents if "results" not in one})


def golden() -> list[dict[str, Any]]:
    """What the producers' samples become, object by object."""
    files = [mapping.SAMPLES / f"{name}.findings.json" for name in PRODUCERS]
    return [made for file in files for made in json.loads(file.read_text("utf-8"))]


@pytest.fixture
def served(world: World) -> Iterator[World]:
    """A cluster that has a kind for each constraint."""
    world.cluster.apply([crds.constraint(kind) for kind in KINDS])
    yield world
    world.clear()
    for kind in KINDS:
        world.cluster.remove_crd(kind.lower(), "constraints.gatekeeper.sh")


def synced(served: World, documents: list[Document]) -> list[Document]:
    """The findings: Security Hub accepted each of them at once, in as few calls as possible."""
    put(served, documents)
    served.monitor(sources={"exclude": [], "eventLogs": True})
    served.start()
    served.synced()
    found = served.hub.findings(record_state="ACTIVE")
    assert served.operator.metric("policyhub_findings_rejected_total") == 0
    stats = served.hub.stats()
    assert stats["outcomes"] == {"created": len(found)}
    assert stats["calls"]["BatchImportFindings"] == {"200": -(-len(found) // 100)}
    return found


def test_what_the_engines_wrote(served: World) -> None:
    """Each violation of each object becomes a finding, and no object is malformed."""
    found = synced(served, SAMPLES["engines"])
    assert len(found) == sum(one.violations for one in at("company")) > 100
    assert served.operator.metric("policyhub_source_objects_malformed_total") == 0


def test_what_other_producers_write(served: World) -> None:
    """The findings are those of the golden files, and so are the problems."""
    found = synced(served, SAMPLES["producers"])
    expected = Counter(finding["GeneratorId"] for made in golden() for finding in made["findings"])
    assert Counter(finding["GeneratorId"] for finding in found) == expected
    problems = sum(len(made["problems"]) for made in golden())
    assert served.operator.metric("policyhub_source_objects_malformed_total") == problems > 0
