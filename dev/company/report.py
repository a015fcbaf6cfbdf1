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
    """The report about a subject; a cluster report where that has no namespace. Named by the subject's uid, as the
    engines do, unless a name is given.
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
    """The time of a Gatekeeper audit, as constraints name it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rewrite(documents: Sequence[Document], now: int) -> list[Document]:
    """What a pass of the engines over unchanged objects leaves behind: every report and constraint again, with new
    times and nothing else. The originals stay as they are.
    """
    fresh = copy.deepcopy(list(documents))
    for document in fresh:
        for result in document.get("results", ()):
            result["timestamp"] = stamp(now)
        if "auditTimestamp" in document.get("status", {}):
            document["status"]["auditTimestamp"] = audited(now)
    return fresh


def with_result(document: Document, *, policy: str, word: str, message: str, now: int) -> Document:
    """The report after one more look at its object, of which one policy's results now read otherwise."""
    (fresh,) = rewrite([document], now)
    for result in fresh["results"]:
        if result["policy"] == policy:
            result |= {"result": word, "message": message}
    counted = Counter(result["result"] for result in fresh["results"])
    fresh["summary"] = {word: counted[word] for word in WORDS}
    return fresh
