"""An API server in memory: resources and their versions, lists in pages, watches, discovery, garbage collection.

Like the real one: continue tokens and resourceVersions expire (410); a namespace is Terminating before it is gone;
what an object owned follows it seconds later; deleting a CRD first deletes its objects, then its watch ends, and its
group answers 404. A `Fault` breaks some paths for a while.
"""

import itertools
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from policyhub.kube.connection import Refused, Unreachable
from tests.simulation.discovered import discovered
from tests.simulation.kinds import BUILT_IN, GATEKEEPER, NAMESPACE, OPEN, POD, WG, Document, Kind
from tests.simulation.loop import Loop
from tests.simulation.watching import Watcher

HISTORY = 3_000
"""Number of events of each kind from which a watch can resume."""
TOKEN_SECONDS = 300
SLOW_PAGE = 8
"""Objects per page (instead of 500) while lists are slow: few objects take as many pages as a large cluster's."""
REPORTS = frozenset({WG, OPEN, GATEKEEPER})
ENDED = frozenset({"Succeeded", "Failed"})
CLUSTER = "kube-system"


@dataclass(frozen=True)
class Fault:
    """What requests under `prefix` meet from `start` to `end`: an HTTP status; `down`, `timeout` (a minute without an
    answer); `slow` (small pages, 20 seconds each); of watches `stall` (silence) and `late` (events a minute late).
    """

    prefix: str
    how: str
    start: float
    end: float


@dataclass
class Stored:
    document: Document
    raw: bytes
    version: int

    @property
    def uid(self) -> str:
        return str(self.document["metadata"]["uid"])


@dataclass
class _Token:
    raws: list[bytes]
    version: int
    until: float


Key = tuple[str, str]
"""(namespace, name)."""


@dataclass
class Shelf:
    """The objects of one kind."""

    kind: Kind
    objects: dict[Key, Stored] = field(default_factory=dict)
    events: list[tuple[int, str, Stored, Stored | None]] = field(default_factory=list)
    floor: int = 0
    """A watch from before this version gets 410."""


class Server:
    def __init__(self, loop: Loop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.version = 100
        self.shelves: dict[str, Shelf] = {}
        self.faults: list[Fault] = []
        self.watchers: list[Watcher] = []
        self.requests: Counter[str] = Counter()
        self.events = 0
        self.on_change: Callable[[Kind, Document], None] = lambda _kind, _document: None
        self._uids = itertools.count(1)
        self._owned: defaultdict[str, dict[tuple[str, Key], None]] = defaultdict(dict)
        self._ending: set[str] = set()
        self._tokens: dict[str, _Token] = {}
        self._numbers = itertools.count(1)
        self._generation = 0
        self._start()

    def _start(self) -> None:
        for kind in BUILT_IN:
            self.install(kind)
        for name in (CLUSTER, "default"):
            self.put(NAMESPACE, name)

    # -- clients -------------------------------------------------------------------------------------------------------

    def install(self, kind: Kind) -> None:
        self.shelves.setdefault(kind.path, Shelf(kind, floor=self.version))

    def serves(self, kind: Kind) -> bool:
        return kind.path in self.shelves and kind.path not in self._ending

    def remove(self, kind: Kind) -> None:
        """Delete a CRD: first its objects, and some seconds later the kind."""
        if not self.serves(kind):
            return
        self._ending.add(kind.path)
        for key in list(self.shelves[kind.path].objects):
            self.delete(kind, *key)

        def gone() -> None:
            self.shelves.pop(kind.path, None)
            self._ending.discard(kind.path)
            for watcher in self._watching(kind):
                watcher.end()

        self.loop.call_later(self.rng.uniform(1, 12), gone)

    def put(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        owner: Document | None = None,
        metadata: Document | None = None,
        **body: Any,
    ) -> Stored | None:
        """Create or replace an object; None if it is refused: the kind is not served, or the namespace is missing or
        terminating.
        """
        if not self.serves(kind):
            return None
        shelf, key = self.shelves[kind.path], (namespace, name)
        before = shelf.objects.get(key)
        if before is None and namespace and not self._open(namespace):
            return None
        self.version += 1
        meta: Document = {"name": name, "resourceVersion": str(self.version)}
        if namespace:
            meta["namespace"] = namespace
        if before is None:
            meta |= {
                "uid": f"{self.rng.getrandbits(64):016x}-{next(self._uids)}",
                "creationTimestamp": stamp(self.loop.wall_ms),
            }
        else:
            meta |= {k: v for k, v in before.document["metadata"].items() if k not in meta}
        if owner is not None:
            meta["ownerReferences"] = [owner]
        meta |= metadata or {}
        if kind.group not in REPORTS:
            meta["managedFields"] = self._managed(before, body, metadata or {})
        document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **body}
        stored = Stored(document, msgspec.json.encode(document), self.version)
        shelf.objects[key] = stored
        for reference in meta.get("ownerReferences", ()):
            self._owned[reference["uid"]][kind.path, key] = None
        self._tell(shelf, "MODIFIED" if before else "ADDED", stored, before)
        return stored

    def _managed(self, before: Stored | None, body: Document, metadata: Document) -> list[Document]:
        """The manager of the last write: a controller for the status, or a user for the rest."""
        now = stamp(self.loop.wall_ms)
        written = {"manager": "somebody", "operation": "Update", "time": now}
        if before is None:
            return [written]
        former: list[Document] = before.document["metadata"]["managedFields"][:1]
        metadata_changed = {**before.document["metadata"], **metadata} != before.document["metadata"]
        if metadata_changed or any(
            before.document.get(name) != value for name, value in body.items() if name != "status"
        ):
            return [written]
        return [*former, {"manager": "controller", "operation": "Update", "time": now, "subresource": "status"}]

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object now, and what it owns seconds later."""
        shelf = self.shelves.get(kind.path)
        stored = shelf.objects.pop((namespace, name), None) if shelf else None
        if shelf is None or stored is None:
            return
        self.version += 1
        meta = {**stored.document["metadata"], "resourceVersion": str(self.version)}
        document = {**stored.document, "metadata": meta}
        last = Stored(document, msgspec.json.encode(document), self.version)
        self._tell(shelf, "DELETED", last, stored)
        for path, key in self._owned.pop(stored.uid, {}):
            self.loop.call_later(self.rng.uniform(1, 3), self._collect, path, key, stored.uid)

    def _collect(self, path: str, key: Key, uid: str) -> None:
        shelf = self.shelves.get(path)
        stored = shelf.objects.get(key) if shelf else None
        if shelf is None or stored is None:
            return
        if any(owner["uid"] == uid for owner in stored.document["metadata"].get("ownerReferences", ())):
            self.delete(shelf.kind, *key)

    def end_namespace(self, name: str) -> None:
        """The namespace is Terminating, then its objects go within a minute, then the namespace."""
        found = self.get(NAMESPACE, "", name)
        if found is None or not self._open(name):
            return
        self.put(
            NAMESPACE, name, metadata={"deletionTimestamp": stamp(self.loop.wall_ms)}, status={"phase": "Terminating"}
        )
        inside = [(shelf.kind, key) for shelf in self.shelves.values() for key in shelf.objects if key[0] == name]
        for kind, key in inside:
            self.loop.call_later(self.rng.uniform(1, 40), self.delete, kind, *key)

        def gone() -> None:
            for shelf in list(self.shelves.values()):
                for key in [key for key in shelf.objects if key[0] == name]:
                    self.delete(shelf.kind, *key)
            self.delete(NAMESPACE, "", name)

        self.loop.call_later(self.rng.uniform(42, 60), gone)

    def _open(self, namespace: str) -> bool:
        found = self.get(NAMESPACE, "", namespace)
        return found is not None and "deletionTimestamp" not in found.document["metadata"]

    def get(self, kind: Kind, namespace: str, name: str) -> Stored | None:
        shelf = self.shelves.get(kind.path)
        return shelf.objects.get((namespace, name)) if shelf else None

    def all(self, kind: Kind) -> Iterator[Document]:
        shelf = self.shelves.get(kind.path)
        for stored in list(shelf.objects.values()) if shelf else ():
            yield stored.document

    def replace(self, *, cut: str = "") -> None:
        """From now on another cluster answers at the address. Watches other than those of paths `cut…` stay connected
        to the former one.
        """
        self._generation += 1
        self.version = 50 + self._generation
        self.shelves.clear()
        self._ending.clear()
        self._owned.clear()
        self._tokens.clear()
        for watcher in [watcher for watcher in self.watchers if watcher.kind.path.startswith(cut)]:
            watcher.cut("connection reset")
        self._start()

    # -- faults --------------------------------------------------------------------------------------------------------

    def fault_of(self, path: str, *hows: str) -> str:
        """The active fault of the path, one of `hows` (none given: a fault of requests); empty: none."""
        now, path = self.loop.elapsed, everywhere(path) if self.faults else path
        for fault in self.faults:
            fits = fault.how in hows if hows else fault.how in {"down", "timeout"} or fault.how.isdecimal()
            if fits and fault.start <= now < fault.end and path.startswith(fault.prefix):
                return fault.how
        return ""

    def cut(self, prefix: str = "") -> None:
        for watcher in list(self.watchers):
            if watcher.kind.path.startswith(prefix):
                watcher.cut("connection reset")

    def expire(self, prefix: str = "") -> None:
        """Compaction: watches end, and neither they nor continue tokens can resume."""
        self.version += 1
        self._tokens.clear()
        for shelf in self.shelves.values():
            if shelf.kind.path.startswith(prefix):
                shelf.events.clear()
                shelf.floor = self.version
        for watcher in list(self.watchers):
            if watcher.kind.path.startswith(prefix):
                watcher.expire()

    # -- answers -------------------------------------------------------------------------------------------------------

    def refuse(self, path: str) -> None:
        """Raise the error that a request for the path meets now."""
        self.requests[path] += 1
        how = self.fault_of(path)
        if how == "down":
            raise Unreachable("connection refused")
        if how.isdecimal():
            raise Refused(int(how), "Forbidden" if how == "403" else "Error", "as the simulation wants it")

    def answer(self, path: str, params: dict[str, str]) -> bytes:
        parts = path.strip("/").split("/")
        shelves = self.shelves.values()
        if (document := discovered(lambda: {s.kind: not self.serves(s.kind) for s in shelves}, parts)) is not None:
            return document
        shelf, namespace, name = self._place(path)
        if name:
            found = shelf.objects.get((namespace, name))
            if found is None:
                raise Refused(404, "NotFound", f'{shelf.kind.origin} "{name}" not found')
            return found.raw
        return self._page(shelf, namespace, params)

    def shelf(self, path: str) -> tuple[Shelf, str]:
        """The shelf that a list or watch of the path reads, and its namespace."""
        shelf, namespace, _ = self._place(path)
        return shelf, namespace

    def _place(self, path: str) -> tuple[Shelf, str, str]:
        parts = path.strip("/").split("/")
        at = 2 if parts[0] == "api" else 3
        root, rest = "/" + "/".join(parts[:at]), parts[at:]
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        shelf = self.shelves.get(f"{root}/{rest[0]}") if rest else None
        if shelf is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return shelf, namespace, rest[1] if len(rest) > 1 else ""

    def _page(self, shelf: Shelf, namespace: str, params: dict[str, str]) -> bytes:
        limit = int(params.get("limit", 0)) or 10**9
        if self.fault_of(shelf.kind.path, "slow"):
            limit = min(limit, SLOW_PAGE * max(1, limit // 500))
        asked = params.get("continue")
        token = self._tokens.pop(asked, None) if asked else None
        if asked and (token is None or token.until < self.loop.elapsed):
            raise Refused(410, "Expired", "the continue token is too old")
        if token is None:
            stored = [
                s
                for key, s in sorted(shelf.objects.items())
                if (not namespace or key[0] == namespace) and (not params.get("fieldSelector") or lives(s))
            ]
            token = _Token([s.raw for s in stored], self.version, self.loop.elapsed + TOKEN_SECONDS)
        page, left = token.raws[:limit], token.raws[limit:]
        meta = {"resourceVersion": str(token.version)}
        if left:
            meta["continue"] = f"t{next(self._numbers)}"
            self._tokens[meta["continue"]] = _Token(left, token.version, token.until)
        return b'{"metadata":' + msgspec.json.encode(meta) + b',"items":[' + b",".join(page) + b"]}"

    # -- watches --------------------------------------------------------------------------------------------------

    def _watching(self, kind: Kind) -> list[Watcher]:
        return [watcher for watcher in self.watchers if watcher.kind == kind]

    def _tell(self, shelf: Shelf, what: str, stored: Stored, before: Stored | None) -> None:
        self.events += 1
        shelf.events.append((stored.version, what, stored, before))
        if len(shelf.events) > HISTORY:
            shelf.floor = shelf.events[HISTORY // 2][0]
            del shelf.events[: HISTORY // 2 + 1]
        for watcher in self._watching(shelf.kind):
            how = self.fault_of(shelf.kind.path, "stall", "late")
            if how == "stall":
                watcher.stalled = True
            line = line_of(what, stored, before, selected=watcher.selected)
            if line is not None:
                watcher.send(line, late=60.0 if how == "late" else 0.0)
        self.on_change(shelf.kind, stored.document)

    def since(self, shelf: Shelf, version: int, *, selected: bool) -> list[bytes]:
        """The events that a watch from this version gets first. Raises Refused (410)."""
        if version < shelf.floor:
            raise Refused(410, "Expired", "too old resource version")
        first = bisect_right(shelf.events, version, key=lambda event: event[0])
        lines = (line_of(what, stored, before, selected=selected) for _, what, stored, before in shelf.events[first:])
        return [line for line in lines if line is not None]


def everywhere(path: str) -> str:
    """The path without its namespace: a fault of a kind applies to all namespaces."""
    parts = path.split("/")
    at = parts.index("namespaces") if "namespaces" in parts else len(parts)
    return "/".join([*parts[:at], *parts[at + 2 :]]) if len(parts) > at + 2 else path


def lives(stored: Stored) -> bool:
    return stored.document.get("status", {}).get("phase") not in ENDED


def line_of(what: str, stored: Stored, before: Stored | None, *, selected: bool) -> bytes | None:
    """The event as a watch sees it that selects running Pods."""
    if selected and what != "DELETED":
        was, is_ = before is not None and lives(before), lives(stored)
        if not is_:
            if not was:
                return None
            what = "DELETED"
        elif not was:
            what = "ADDED"
    elif selected and not lives(stored):
        return None
    return b'{"type":"' + what.encode() + b'","object":' + stored.raw + b"}"


def stamp(milliseconds: int) -> str:
    """Kubernetes' format of times: UTC, seconds."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["POD", "Fault", "Server", "Shelf", "Stored", "stamp"]
