"""MonitoredClusters in every state, and kstatus' rules for the same conditions; tests/lint/test_argo_health.py runs
Argo CD's check on them.
"""

from typing import Any

import pytest

Document = dict[str, Any]


def cluster(*conditions: tuple[str, str, str], observed: int = 2) -> Document:
    """A MonitoredCluster of generation 2 with these conditions: type, status, reason."""
    listed = [
        {"type": kind, "status": status, "reason": reason, "message": f"what {reason} says"}
        for kind, status, reason in conditions
    ]
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": listed}}


def kstatus(document: Document) -> str:
    """The status that kstatus gives to a kind that it does not know: its generic rules, except deletion."""
    status = document.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    if status.get("observedGeneration") not in {None, document["metadata"]["generation"]}:
        return "InProgress"
    for kind, found in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if conditions.get(kind, {}).get("status") == "True":
            return found
    ready = conditions.get("Ready")
    return "Current" if ready is None or ready["status"] == "True" else "InProgress"


CASES = [
    pytest.param({"metadata": {"generation": 2}}, "Progressing", "", id="no status yet"),
    pytest.param(cluster(observed=-1), "Progressing", "InProgress", id="not seen by the operator yet"),
    pytest.param(cluster(("Ready", "True", "AllWell")), "Healthy", "Current", id="all is well"),
    pytest.param(cluster(("Ready", "True", "AllWell"), observed=1), "Progressing", "InProgress", id="of another spec"),
    pytest.param(
        cluster(("Ready", "True", "DryRun"), ("InSync", "False", "DryRun")), "Healthy", "Current", id="a dry run"
    ),
    pytest.param(
        cluster(("Ready", "True", "TwoIdentities"), ("IdentityConflict", "True", "TwoIdentities")),
        "Healthy",
        "Current",
        id="two identities",
    ),
    pytest.param(cluster(("Ready", "False", "Listing")), "Progressing", "InProgress", id="listing"),
    pytest.param(cluster(("Ready", "Unknown", "Connecting")), "Progressing", "InProgress", id="connecting"),
    pytest.param(cluster(("Ready", "False", "AccessDenied")), "Degraded", "InProgress", id="access denied"),
    pytest.param(cluster(("Ready", "False", "InvalidSpec")), "Degraded", "InProgress", id="invalid"),
    pytest.param(
        cluster(("Ready", "True", "AllWell"), ("ArchiveHeld", "True", "TooManyLost")),
        "Suspended",
        "Current",
        id="held until somebody approves",
    ),
    pytest.param(
        cluster(("Ready", "True", "AllWell"), ("ArchiveHeld", "False", "NothingHeld")),
        "Healthy",
        "Current",
        id="not held",
    ),
]


@pytest.mark.parametrize(("document", "_health", "expected"), CASES[1:])
def test_kstatus_status(document: Document, _health: str, expected: str) -> None:
    """Kstatus waits until Ready is True for the current generation."""
    assert kstatus(document) == expected
