"""Records what the engines have written after some steps: small sets in which every shape occurs.

It leaves out objects that show no further shape, `managedFields`, and all passing results of a report except one per
source. Everything else is unchanged, so that uids and owners match.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dev.cluster import ApiError
from tests.e2e.mirror import OWNED_KINDS
from tests.faults.truth import CONSTRAINTS, REPORTS

Document = dict[str, Any]
Key = tuple[str, str, str]

RESULTS = ("pass", "fail", "warn", "error", "skip")
LISTED = 8
"""Constraints with longer lists show no further shape."""


class Moment(NamedTuple):
    folder: str
    subjects: Collection[Key]
    """The subjects of the recorded reports, with everything that belongs to them."""
    constraints: Collection[str] = ()
    """Constraint kinds; `cut` adds the constraint with the most severely truncated list."""
    cut: bool = False


MOMENTS: Mapping[str, Moment] = {
    "first sync": Moment(
        "company",
        {
            ("Deployment", "payments", "gateway"),
            ("CronJob", "payments", "reconcile"),
            ("DaemonSet", "platform", "node-agent"),
            ("Deployment", "shop", "catalog"),
            ("Service", "shop", "legacy-api"),
            ("Service", "shop", "web"),
            ("Namespace", "", "monitoring"),
            ("Namespace", "", "shop"),
        },
        {
            "HarbourPrivileged",
            "HarbourUidZero",
            "HarbourHostPath",
            "HarbourOpenNetwork",
            "HarbourNodePort",
            "HarbourDockerSocket",
        },
    ),
    "roll out": Moment("rollout", {("Deployment", "shop", "web")}),
    "lower Gatekeeper's limit": Moment("limit", set(), {"HarbourPrivileged"}, cut=True),
    "switch to openreports": Moment(
        "openreports",
        {("Deployment", "payments", "gateway"), ("Namespace", "", "monitoring"), ("Namespace", "", "shop")},
        {"HarbourLatest"},  # at this step, no object violates it any more
    ),
}
"""By the step after which it is recorded."""


class Reader(Protocol):
    """A cluster that is only read."""

    def request(self, method: str, path: str, /) -> Document: ...


class Recorder:
    """Used by one thread."""

    def __init__(self, cluster: Reader, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder

    def after(self, step: str) -> None:
        """Record the effects of this step, if it is one of `MOMENTS`."""
        if step not in MOMENTS:
            return
        moment = MOMENTS[step]
        owned = {_key(item): item for path, kind in OWNED_KINDS.items() for item in self._list(path, kind=kind)}
        constraints = list(_few(self._constraints(), moment))
        selected: set[Key] = set()
        for constraint in constraints:
            selected |= {_about(entry) for entry in constraint["status"].get("violations") or ()}
        for path in REPORTS:
            reports = [r for r in self._list(path) if _top(_about(r["scope"]), owned) in moment.subjects]
            selected |= {_about(report["scope"]) for report in reports}
            self._write(moment, path.rpartition("/")[2], map(_reduced, reports), key=lambda r: _about(r["scope"]))
        tops = {_top(key, owned) for key in selected}
        owners = [_metadata(one) for key, one in owned.items() if _top(key, owned) in tops]
        self._write(moment, "owners", owners, key=_key)
        self._write(moment, "constraints", map(_bare, constraints), key=_key)

    def _constraints(self) -> Iterable[Document]:
        for resource in self._cluster.request("GET", CONSTRAINTS)["resources"]:
            if "/" not in resource["name"]:
                yield from self._list(f"{CONSTRAINTS}/{resource['name']}")

    def _list(self, path: str, *, kind: str = "") -> list[Document]:
        try:
            listed = self._cluster.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            return []  # no engine has installed this API
        named = {"apiVersion": listed["apiVersion"], "kind": kind or listed["kind"].removesuffix("List")}
        return [{**named, **item} for item in listed["items"]]

    def _write(
        self, moment: Moment, name: str, documents: Iterable[Document], *, key: Callable[[Document], Key]
    ) -> None:
        """In the format of `kubectl get -o json`, but with one object a line."""
        path = self._folder / moment.folder / f"{name}.json"
        lines = ",\n".join(json.dumps(d, sort_keys=True, ensure_ascii=False) for d in sorted(documents, key=key))
        path.unlink(missing_ok=True)
        if lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{{"apiVersion": "v1", "kind": "List", "items": [\n{lines}\n]}}\n', "utf-8")


def _about(reference: Document) -> Key:
    return reference["kind"], reference.get("namespace", ""), reference["name"]


def _key(document: Document) -> Key:
    return _about({"kind": document["kind"], **document["metadata"]})


def _top(key: Key, owned: Mapping[Key, Document]) -> Key:
    """The topmost controller of the object."""
    while key in owned:
        owners = [o for o in owned[key]["metadata"].get("ownerReferences", ()) if o.get("controller")]
        if not owners:
            break
        key = (owners[0]["kind"], key[1], owners[0]["name"])
    return key


def _few(constraints: Iterable[Document], moment: Moment) -> Iterable[Document]:
    """Of the truncated constraints, only the one with the highest count."""
    cut: list[tuple[int, Document]] = []
    for constraint in constraints:
        status = constraint.get("status") or {}
        listed, total = len(status.get("violations") or ()), status.get("totalViolations", 0)
        if constraint["kind"] in moment.constraints and listed <= LISTED:
            yield constraint
        elif moment.cut and total > listed:
            cut.append((total, constraint))
    yield from (constraint for _, constraint in sorted(cut, key=lambda pair: pair[0])[-1:])


def _reduced(report: Document) -> Document:
    results = report.get("results") or []
    passed = {result["source"]: result for result in results if result["result"] == "pass"}
    remaining = [result for result in results if result["result"] != "pass" or result is passed[result["source"]]]
    counts = Counter(result["result"] for result in remaining)
    return {**_bare(report), "results": remaining, "summary": {result: counts[result] for result in RESULTS}}


def _bare(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}


def _metadata(item: Document) -> Document:
    """The fields that show the owner and whether the object is alive."""
    metadata = item["metadata"]
    names = ("name", "namespace", "uid", "creationTimestamp", "ownerReferences", "annotations")
    found = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
    found["metadata"] = {name: metadata[name] for name in names if name in metadata}
    if "phase" in item.get("status", {}):
        found["status"] = {"phase": item["status"]["phase"]}
    return found
