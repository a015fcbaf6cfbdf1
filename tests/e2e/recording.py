"""Writes down, at some moments of the story, what the engines had written: small sets in which every shape occurs.

Left out are the objects that show no further shape, what only the API server keeps (`managedFields`), and of a report's
results all but the bad ones and one pass of each source. Nothing else is changed, so uids and owners fit together.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dev.cluster import ApiError
from tests.e2e.mirror import THINGS
from tests.faults.truth import CONSTRAINTS, REPORTS

Document = dict[str, Any]
Key = tuple[str, str, str]

WORDS = ("pass", "fail", "warn", "error", "skip")
LISTED = 8
"""A constraint that lists more shows nothing more."""


class Moment(NamedTuple):
    folder: str
    subjects: Collection[Key]
    """What the reports are to be about, with all that belongs to it."""
    constraints: Collection[str] = ()
    """Kinds; with `cut`, all whose list is cut too."""
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
        {"HarbourLatest"},  # by then nothing breaks it any more
    ),
}
"""By the step after which it is."""


class Reader(Protocol):
    """Of a cluster it only reads."""

    def request(self, method: str, path: str, /) -> Document: ...


class Recorder:
    """Used by one thread."""

    def __init__(self, cluster: Reader, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder

    def after(self, step: str) -> None:
        """Write what that step led to, if it is one of the moments."""
        if step not in MOMENTS:
            return
        moment = MOMENTS[step]
        things = {_key(thing): thing for path, kind in THINGS.items() for thing in self._list(path, kind=kind)}
        constraints = list(_few(self._constraints(), moment))
        wanted: set[Key] = set()
        for constraint in constraints:
            wanted |= {_about(entry) for entry in constraint["status"].get("violations") or ()}
        for path in REPORTS:
            reports = [r for r in self._list(path) if _top(_about(r["scope"]), things) in moment.subjects]
            wanted |= {_about(report["scope"]) for report in reports}
            self._write(moment, path.rpartition("/")[2], map(_reduced, reports), key=lambda r: _about(r["scope"]))
        tops = {_top(key, things) for key in wanted}
        owners = [_metadata(one) for key, one in things.items() if _top(key, things) in tops]
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
            return []  # no engine has brought this API
        named = {"apiVersion": listed["apiVersion"], "kind": kind or listed["kind"].removesuffix("List")}
        return [{**named, **item} for item in listed["items"]]

    def _write(
        self, moment: Moment, name: str, documents: Iterable[Document], *, key: Callable[[Document], Key]
    ) -> None:
        """As `kubectl get -o json` has it, but one object a line."""
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


def _top(key: Key, things: Mapping[Key, Document]) -> Key:
    """Whoever it belongs to in the end."""
    while key in things:
        owners = [o for o in things[key]["metadata"].get("ownerReferences", ()) if o.get("controller")]
        if not owners:
            break
        key = (owners[0]["kind"], key[1], owners[0]["name"])
    return key


def _few(constraints: Iterable[Document], moment: Moment) -> Iterable[Document]:
    """Of those that are cut the one that is cut most will do."""
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
    kept = [result for result in results if result["result"] != "pass" or result is passed[result["source"]]]
    counts = Counter(result["result"] for result in kept)
    return {**_bare(report), "results": kept, "summary": {word: counts[word] for word in WORDS}}


def _bare(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}


def _metadata(thing: Document) -> Document:
    """What tells to whom it belongs, and whether it is alive."""
    metadata = thing["metadata"]
    names = ("name", "namespace", "uid", "creationTimestamp", "ownerReferences", "annotations")
    found = {"apiVersion": thing["apiVersion"], "kind": thing["kind"]}
    found["metadata"] = {name: metadata[name] for name in names if name in metadata}
    if "phase" in thing.get("status", {}):
        found["status"] = {"phase": thing["status"]["phase"]}
    return found
