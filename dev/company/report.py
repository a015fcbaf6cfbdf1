"""One report about one object, in the shape of (Cluster)PolicyReport v1alpha2 and (Cluster)Report of openreports.io.

Pure: no I/O; the time is an argument, in Unix seconds.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from dev.company.workload import Document, Object

POLICY_REPORT = "wgpolicyk8s.io/v1alpha2"
OPEN_REPORT = "openreports.io/v1alpha1"
WORDS = ("pass", "fail", "warn", "error", "skip")


def report(
    subject: Object,
    results: Iterable[Document],
    *,
    uid: str,
    name: str = "",
    engine: str = "kyverno",
    labels: dict[str, str] | None = None,
    open_reports: bool = False,
) -> Document:
    """The report about a subject; a cluster report if the subject has no namespace. The default name is the subject's
    uid, as with the engines.
    """
    listed = list(results)
    counted = Counter(result["result"] for result in listed)
    metadata: Document = {
        "name": name or uid,
        "labels": labels if labels is not None else {"app.kubernetes.io/managed-by": engine},
        "ownerReferences": [subject.owner_reference(uid)],
    }
    kind = "Report" if open_reports else "PolicyReport"
    if subject.namespace:
        metadata["namespace"] = subject.namespace
    else:
        kind = f"Cluster{kind}"
    return {
        "apiVersion": OPEN_REPORT if open_reports else POLICY_REPORT,
        "kind": kind,
        "metadata": metadata,
        **({"source": ""} if open_reports else {}),
        "scope": subject.reference(uid),
        "results": listed,
        "summary": {word: counted[word] for word in WORDS},
    }


def stamp(now: int) -> Document:
    return {"seconds": now, "nanos": 0}


def audited(now: int) -> str:
    """The time of a Gatekeeper audit, as in constraints."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rewrite(documents: Sequence[Document], now: int) -> list[Document]:
    """Copies of the reports and constraints with new times, as the engines write them after a scan of unchanged
    objects.
    """
    fresh = copy.deepcopy(list(documents))
    for document in fresh:
        for result in document.get("results", ()):
            result["timestamp"] = stamp(now)
        if "auditTimestamp" in document.get("status", {}):
            document["status"]["auditTimestamp"] = audited(now)
    return fresh


def with_result(document: Document, *, policy: str, word: str, message: str, now: int) -> Document:
    """The report after another scan, in which the results of one policy have changed."""
    (fresh,) = rewrite([document], now)
    for result in fresh["results"]:
        if result["policy"] == policy:
            result |= {"result": word, "message": message}
    counted = Counter(result["result"] for result in fresh["results"])
    fresh["summary"] = {word: counted[word] for word in WORDS}
    return fresh
