"""Objects that real engines wrote, from wire to finding. Skipped where the recordings are not at hand."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from policyhub.clock import WallMs
from policyhub.findings.asff import Cluster, render
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.model.source_apis import plural_of
from policyhub.model.violation import Identity, ParsedReport
from policyhub.sources import reader

Objections = Callable[[dict[str, Any]], list[str]]

DATA = Path(__file__).parents[4] / "shared" / "data"
LATEST = 1_800_000_000
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
CLUSTER = Cluster(
    id=ARN,
    name="prod-eu",
    arn=ARN,
    uid="u",
    account="111122223333",
    region="eu-west-1",
    partition="aws",
    product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
)


class Recorded(msgspec.Struct, frozen=True):
    file: str
    group: str
    resource: str
    document: dict[str, Any]

    def read(self) -> ParsedReport:
        return reader.read(self.group, self.resource, json.dumps(self.document).encode(), latest=LATEST)

    def passed(self) -> frozenset[Identity]:
        return reader.passed(self.group, self.resource, json.dumps(self.document).encode())


def documents(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text("utf-8")
    loaded = [json.loads(text)] if path.suffix == ".json" else yaml.safe_load_all(text)
    for document in loaded:
        yield from document["items"] if document["kind"].endswith("List") else [document]


def stored(document: dict[str, Any], *, name: str) -> dict[str, Any]:
    """As an API server would hold it: excerpts in documentation leave out names and namespaces."""
    metadata = document["metadata"]
    metadata.setdefault("name", name)
    if document["kind"] in ("PolicyReport", "Report"):
        metadata.setdefault("namespace", document.get("scope", {}).get("namespace", "default"))
    return document


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    if not DATA.is_dir():
        pytest.skip(f"no recorded objects in {DATA}")
    found = []
    for path in sorted([*DATA.glob("live/*s.json"), *DATA.glob("samples/*.*")]):
        if path.name == "owners.json" or path.suffix == ".md":
            continue
        for place, document in enumerate(documents(path)):
            group = document["apiVersion"].partition("/")[0]
            resource = plural_of(group, document["kind"])
            made = stored(document, name=f"{path.stem}-{place}".lower())
            found.append(Recorded(f"{path.parent.name}/{path.name}", group, resource, made))
    return found


def test_each_object_is_read_without_a_problem(recorded: list[Recorded]) -> None:
    """Nothing that an engine really wrote is malformed, foreign or unknown."""
    assert len({one.file for one in recorded}) == 20
    assert [(one.file, one.read().problems) for one in recorded if one.read().problems] == []


def test_each_violation_of_each_object_is_a_finding_that_is_taken(
    recorded: list[Recorded], objections: Objections
) -> None:
    """No finding of a real object is refused for its form, active or archived."""
    for one in recorded:
        for violation, observed in one.read().violations:
            for archived in (False, True):
                finding = render(
                    violation,
                    cluster=CLUSTER,
                    finding_id=finding_id(ARN, violation.identity),
                    digest=digest(violation),
                    source_api=one.read().key.source_api,
                    created_at=WallMs((observed or LATEST) * 1000),
                    observed_at=WallMs(LATEST * 1000),
                    updated_at=WallMs(LATEST * 1000),
                    archived=archived,
                )
                assert objections(finding) == [], one.file


def calling(document: dict[str, Any]) -> int:
    """How many results of an object call for a violation, counted without the code under test."""
    if "results" in document:
        return sum(result.get("result") in ("fail", "warn", "error") for result in document["results"])
    return len(document["status"].get("violations") or ())


def test_violations_are_as_many_as_results_and_their_ids_as_distinct(recorded: list[Recorded]) -> None:
    """Each failing result is its own finding, and no two objects share one.

    The exceptions are wanted. Gatekeeper's K8sRequiredLabels lists eight Namespaces twice, once for the missing label
    and once for its pattern: one constraint, one object, one thing to fix, so 20 entries are 12 findings. And the
    openreports of a switched Kyverno say again what its old reports say about the same objects: the same findings.
    """
    ids_by_file: dict[str, list[str]] = {}
    results: Counter[str] = Counter()
    for one in recorded:
        results[one.file] += calling(one.document)
        ids = [finding_id(ARN, violation.identity) for violation in one.read().plain_violations]
        ids_by_file.setdefault(one.file, []).extend(ids)
    merged = {
        file: results[file] - len(set(ids)) for file, ids in ids_by_file.items() if results[file] != len(set(ids))
    }
    assert merged == {"live/gatekeeper-3.23.1-constraints.json": 8}
    assert all(len(ids) == len(set(ids)) for ids in ids_by_file.values())
    assert results["live/kyverno-1.19.1-policyreports.json"] == 586
    assert results["samples/kube-bench-adapter-polr-v1alpha1.yaml"] == 85
    old = set(ids_by_file["live/kyverno-1.19.1-policyreports.json"])
    assert len(old) == 586
    again = set(ids_by_file["live/kyverno-1.19.1-openreports-reports.json"])
    assert len(again) == 213
    assert len(again & old) == 213
    everything = [id_ for ids in ids_by_file.values() for id_ in ids]
    assert len(everything) - len(set(everything)) == 213, "no other two files share a finding"


def test_truncated_and_whole_constraints(recorded: list[Recorded]) -> None:
    """Three of the seven list 20 of more violations; only the whole ones tell that what they lack is gone."""
    parsed_reports = [one.read() for one in recorded if one.file == "live/gatekeeper-3.23.1-constraints.json"]
    counted = {
        parsed.key.name: (parsed.complete, parsed.unlisted, len(parsed.plain_violations)) for parsed in parsed_reports
    }
    assert counted == {
        "repo-is-openpolicyagent": (True, 0, 0),
        "container-must-have-limits": (False, 7, 20),
        "ingress-https-only-tls-optional": (True, 0, 1),
        "all-must-have-owner": (True, 0, 12),
        "block-node-port": (True, 0, 1),
        "replica-limits": (False, 1, 20),
        "psp-allow-privilege-escalation-container": (False, 9, 20),
    }


def test_passes_and_violations_share_no_identity(recorded: list[Recorded]) -> None:
    """Positive evidence never speaks against the object's own calls; the passes of the recordings are all there."""
    passes = 0
    for one in recorded:
        passed = one.passed()
        assert not passed & {violation.identity for violation in one.read().plain_violations}
        passes += len(passed) if one.file == "live/kyverno-1.19.1-policyreports.json" else 0
    assert passes == 1446


def rewritten(document: dict[str, Any]) -> dict[str, Any]:
    """What a scan changes without anything having changed."""
    again = copy.deepcopy(document)
    again["metadata"] |= {"resourceVersion": "999", "generation": 99, "uid": "another", "managedFields": []}
    again["metadata"]["labels"] = {**again["metadata"].get("labels", {}), "kubewarden.io/audit-scanner-run-uid": "r"}
    for result in again.get("results", ()):
        result["timestamp"] = {"seconds": LATEST - 1, "nanos": 7}
        properties = result.setdefault("properties", {})
        properties.update({"process": "admission review", "policy-resource-version": "5", "resultID": "another"})
    if "status" in again:
        again["status"] |= {"auditTimestamp": "2026-11-26T00:00:00Z", "byPod": None}
    return again


def test_a_rewrite_changes_no_violation_and_no_digest(recorded: list[Recorded]) -> None:
    """Kyverno's background pass and Gatekeeper's audit rewrite every object: nothing is to be sent."""
    for one in recorded:
        again = msgspec.structs.replace(one, document=rewritten(one.document))
        before, after = one.read().plain_violations, again.read().plain_violations
        assert before == after, one.file
        assert [digest(violation) for violation in before] == [digest(violation) for violation in after]
        assert one.passed() == again.passed()


def test_order_changes_nothing(recorded: list[Recorded]) -> None:
    """Results and violations may come in any order."""
    for one in recorded:
        turned = copy.deepcopy(one.document)
        turned.get("results", []).reverse()
        (turned.get("status", {}).get("violations") or []).reverse()
        assert msgspec.structs.replace(one, document=turned).read().violations == one.read().violations, one.file
