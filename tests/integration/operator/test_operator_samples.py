"""What real engines wrote, stored through the engines' real CRDs. Skipped where the recordings are not at hand."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import crds
from tests.integration.operator.world import ENGINES, World

DATA = Path(__file__).parents[4] / "shared" / "data"
REPORTS = {"wgpolicyk8s.io": ("policyreports", "clusterpolicyreports"), "openreports.io": ("reports", "clusterreports")}
SERVERS = ("resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
"""Metadata that the API server makes."""
MERGED = 8
"""K8sRequiredLabels lists eight Namespaces twice, for two labels: one constraint, one object, one finding."""
AGAIN = 213
"""Violations that the openreports of a switched Kyverno say again of the objects that its old reports speak of."""

Document = dict[str, Any]


def documents() -> list[Document]:
    """Every sample and recording as an engine would write it now."""
    found: list[Document] = []
    for path in sorted([*DATA.glob("live/*s.json"), *DATA.glob("samples/*.*")]):
        if path.suffix == ".md" or path.name == "owners.json":
            continue
        text = path.read_text("utf-8")
        loaded = [json.loads(text)] if path.suffix == ".json" else list(yaml.safe_load_all(text))
        items = [item for one in loaded for item in (one["items"] if one["kind"].endswith("List") else [one])]
        for place, item in enumerate(items):
            metadata = item["metadata"]
            for name in SERVERS:
                metadata.pop(name, None)
            for owner in metadata.get("ownerReferences", ()):
                owner.setdefault("uid", "not-in-the-excerpt")
            metadata.setdefault("name", f"{path.stem}-{place}".lower())  # excerpts in documentation leave names out
            if item["kind"] in {"PolicyReport", "Report"}:
                metadata.setdefault("namespace", item.get("scope", {}).get("namespace", "default"))
            if item["apiVersion"] == "wgpolicyk8s.io/v1alpha1":  # a version without `result`, which this one has
                item["apiVersion"] = "wgpolicyk8s.io/v1alpha2"
            found.append(item)
    return found


def calling(document: Document) -> int:
    """How many violations an object names."""
    if "results" in document:
        return sum(result.get("result") in {"fail", "warn", "error"} for result in document["results"])
    return len(document["status"].get("violations") or ())


def cut(document: Document) -> bool:
    """Whether an object counts more failures than it shows; Trivy's vulnerabilities are counted with their doubles."""
    if "results" not in document:
        return bool(document["status"].get("totalViolations", 0) > calling(document))
    results, summary = document["results"], document.get("summary") or {}
    if {result.get("source") for result in results} == {"Trivy Vulnerability"}:
        return False
    shown = sum(result.get("result") in {"fail", "warn"} for result in results)
    return bool(summary.get("fail", 0) + summary.get("warn", 0) > shown)


@pytest.fixture
def real(world: World) -> Iterator[World]:
    """A cluster with the report CRDs as their projects publish them, and a kind for each constraint."""
    if not DATA.is_dir():
        pytest.skip(f"no recorded objects in {DATA}")
    for group, plurals in REPORTS.items():
        for plural in plurals:
            world.cluster.remove_crd(plural, group)
    files = [*DATA.glob("crds/wg-policy-prototypes_v1alpha2_*.yaml"), *DATA.glob("crds/openreports.io_*.yaml")]
    published = [yaml.safe_load(path.read_text("utf-8")) for path in files]
    assert len(published) == 4
    kinds = {d["kind"] for d in documents() if d["apiVersion"].startswith("constraints.")}
    world.cluster.apply([*published, *(crds.constraint(kind) for kind in kinds)])
    yield world
    world.clear()
    for group, plurals in REPORTS.items():
        for plural in plurals:
            world.cluster.remove_crd(plural, group)
    for kind in kinds:
        world.cluster.remove_crd(kind.lower(), "constraints.gatekeeper.sh")
    world.cluster.apply(ENGINES)


def test_real_objects(real: World) -> None:
    """Every violation of every real object becomes a finding of its own, none is refused and no object is malformed.
    Three constraints and three excerpts of reports say that they do not list all.
    """
    given = documents()
    assert len(given) > 100
    real.spaces({d["metadata"].get("namespace", "default") for d in given})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(real.create, given))
    for document in given:
        if "status" in document:
            real.write_status(document)
    real.monitor(sources={"exclude": []})
    real.start()
    real.synced()
    found = real.hub.findings(record_state="ACTIVE")
    notices = sum(map(cut, given))
    assert notices == 6
    assert len(found) == sum(map(calling, given)) - MERGED - AGAIN + notices
    assert real.operator.metric("policyhub_findings_rejected_total") == 0
    assert real.operator.metric("policyhub_source_objects_malformed_total") == 0
    stats = real.hub.stats()
    assert stats["outcomes"] == {"created": len(found)}
    assert stats["calls"]["BatchImportFindings"] == {"200": -(-len(found) // 100)}
