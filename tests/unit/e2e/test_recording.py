"""A recording of the end-to-end run keeps every shape, and no more."""

import json
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import ApiError
from tests.e2e.recording import Recorder
from tests.faults.truth import CONSTRAINTS

MANAGED = {"managedFields": [{"manager": "kyverno"}]}


def document(name: str, *, owner: tuple[str, str] | None = None, **members: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "payments", "uid": f"uid-{name}", **MANAGED}
    if owner is not None:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    return {"metadata": metadata, **members}


def report(kind: str, name: str, *outcomes: str) -> dict[str, Any]:
    results = [{"source": "kyverno", "policy": f"p{n}", "result": outcome} for n, outcome in enumerate(outcomes)]
    scope = {"kind": kind, "namespace": "payments", "name": name}
    return {"metadata": {"name": f"uid-{name}", "namespace": "payments", **MANAGED}, "scope": scope, "results": results}


LISTS: dict[str, list[dict[str, Any]]] = {
    "/api/v1/pods": [
        document("gateway-1-a", owner=("ReplicaSet", "gateway-1"), spec={}, status={"phase": "Running"}),
        document("ledger-1-a", owner=("ReplicaSet", "ledger-1")),
    ],
    "/apis/apps/v1/replicasets": [
        document("gateway-1", owner=("Deployment", "gateway")),
        document("ledger-1", owner=("Deployment", "ledger")),
    ],
    "/apis/batch/v1/jobs": [],
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports": [
        report("Pod", "gateway-1-a", "pass", "fail", "pass"),
        report("Deployment", "gateway", "error"),
        report("Pod", "ledger-1-a", "fail"),
    ],
}


class Server:
    """Has these lists, and no constraints."""

    def request(self, method: str, path: str) -> dict[str, Any]:
        if path.startswith(CONSTRAINTS):
            return {"resources": []}
        if path not in LISTS:
            raise ApiError(404, "NotFound", path)
        return {"apiVersion": "v1", "kind": "PolicyReportList", "items": LISTS[path]}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    Recorder(Server(), tmp_path).after("first sync")
    return tmp_path / "company"


def items(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["items"]
    return found


def test_reports_of_a_subject_are_recorded(recorded: Path) -> None:
    """The reports of the Deployment and its Pod, not those of others; with the metadata of its dependents."""
    assert [one["scope"]["name"] for one in items(recorded / "policyreports.json")] == ["gateway", "gateway-1-a"]
    owners = items(recorded / "owners.json")
    assert [one["metadata"]["name"] for one in owners] == ["gateway-1-a", "gateway-1"]
    assert "spec" not in owners[0]


def test_redundant_results_are_left_out(recorded: Path) -> None:
    """One pass and every bad result stay, and the summary counts them."""
    (_, pod) = items(recorded / "policyreports.json")
    assert sorted(result["result"] for result in pod["results"]) == ["fail", "pass"]
    assert pod["summary"] == {"pass": 1, "fail": 1, "warn": 0, "error": 0, "skip": 0}
    assert "managedFields" not in pod["metadata"]


def test_empty_lists_write_no_file(recorded: Path) -> None:
    """An API that is not served, and constraints that do not exist, leave no file."""
    assert sorted(path.name for path in recorded.iterdir()) == ["owners.json", "policyreports.json"]


def test_only_selected_steps_are_recorded(tmp_path: Path) -> None:
    """Another step writes nothing."""
    Recorder(Server(), tmp_path).after("violate")
    assert not [*tmp_path.iterdir()]
