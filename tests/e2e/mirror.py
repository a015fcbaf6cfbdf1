"""Live copies of what an API server has, by watches, and how the claims changed over time.

Every watch has a thread of its own; one more reads the claims anew when something changed that counts. Threads end
with the process, or after `close` when their connection next says something.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dev.cluster import Cluster
from tests.e2e import claims
from tests.e2e.claims import Claims, Key, Statement, Thing
from tests.faults.truth import CONSTRAINTS, REPORTS, Violation

Document = dict[str, Any]

THINGS = {"/api/v1/pods": "Pod", "/apis/apps/v1/replicasets": "ReplicaSet", "/apis/batch/v1/jobs": "Job"}
WATCH_SECONDS = 240
AGAIN_SECONDS = 0.5
KINDS_SECONDS = 1.0
"""Between two looks at which kinds of constraints there are."""


Read = Statement | Thing


class GoneError(Exception):
    """The kind is not served."""


class Mirror:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._access = cluster.access
        self._changed = threading.Condition()
        self._objects: dict[str, dict[Key, Read]] = {}
        """By path."""
        self._news = 0.0
        """Since when something is unread; 0: nothing is."""
        self._history: list[tuple[float, Claims]] = [(0.0, Claims())]
        self._watched: set[str] = set()
        self._ended = threading.Event()

    def start(self) -> None:
        for path in (*REPORTS, *THINGS):
            self._watch(path)
        for target in (self._read, self._discover):
            threading.Thread(target=target, daemon=True).start()

    def close(self) -> None:
        self._ended.set()

    # -- what it knows --------------------------------------------------------------------------------------------

    @property
    def now(self) -> Claims:
        with self._changed:
            return self._history[-1][1]

    def since(self, violation: Violation, moment: float, *, claimed: bool) -> float | None:
        """Since when, at that moment, it had been claimed, or not been; None where it was otherwise."""
        with self._changed:
            history = list(self._history)
        began: float | None = None
        for at, told in history:
            if at > moment:
                break
            if (violation in told.severities) != claimed:
                began = None
            elif began is None:
                began = at
        return began

    def throughout(self, violation: Violation, start: float, end: float, *, claimed: bool) -> bool:
        """Whether it was claimed, or was not, all that time."""
        began = self.since(violation, end, claimed=claimed)
        return began is not None and began <= start

    def of(self, group: str) -> Claims:
        """What the objects of one API group alone call for."""
        with self._changed:
            objects = self._copy()
        return _claims({p: o for p, o in objects.items() if p in THINGS or p.startswith(f"/apis/{group}/")})

    def _copy(self) -> dict[str, dict[Key, Read]]:
        return {path: dict(objects) for path, objects in self._objects.items()}

    # -- threads --------------------------------------------------------------------------------------------------

    def _watch(self, path: str) -> None:
        if path not in self._watched:
            self._watched.add(path)
            threading.Thread(target=self._follow, args=(path,), daemon=True).start()

    def _discover(self) -> None:
        while not self._ended.wait(KINDS_SECONDS):
            with contextlib.suppress(GoneError, OSError, http.client.HTTPException):
                for resource in self._get(CONSTRAINTS)["resources"]:
                    if "/" not in resource["name"]:
                        self._watch(f"{CONSTRAINTS}/{resource['name']}")

    def _follow(self, path: str) -> None:
        while not self._ended.is_set():
            try:
                listed = self._get(path)
                self._replace(path, listed)
                self._stream(path, listed["metadata"]["resourceVersion"], listed["kind"].removesuffix("List"))
            except GoneError:
                self._replace(path, {"kind": "", "items": []})
                self._ended.wait(AGAIN_SECONDS)
            except (OSError, http.client.HTTPException, ValueError):
                self._ended.wait(AGAIN_SECONDS)

    def _stream(self, path: str, version: str, kind: str) -> None:
        query = f"watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        with contextlib.closing(self._connection(timeout=WATCH_SECONDS + 30)) as connection:
            for line in self._request(connection, f"{path}?{query}"):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._put(path, {"kind": kind, **event["object"]}, gone=event["type"] == "DELETED")

    def _read(self) -> None:
        while not self._ended.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._news > 0.0)
                at, self._news = self._news, 0.0
                objects = self._copy()
            told = _claims(objects)
            with self._changed:
                if told != self._history[-1][1]:
                    self._history.append((at, told))

    # -- objects --------------------------------------------------------------------------------------------------

    def _replace(self, path: str, listed: Document) -> None:
        """By a listing."""
        kind = listed["kind"].removesuffix("List")
        documents = [{"kind": kind, **item} for item in listed["items"]]
        fresh = {_key(path, document): _brief(path, document) for document in documents}
        with self._changed:
            if self._objects.get(path, {}) != fresh:
                self._objects[path] = fresh
                self._tell()

    def _put(self, path: str, document: Document, *, gone: bool) -> None:
        """By an event."""
        key = _key(path, document)
        fresh = None if gone else _brief(path, document)
        with self._changed:
            objects = self._objects.setdefault(path, {})
            if objects.get(key) != fresh:
                if fresh is None:
                    del objects[key]
                else:
                    objects[key] = fresh
                self._tell()

    def _tell(self) -> None:
        self._news = self._news or time.time()
        self._changed.notify_all()

    # -- requests -------------------------------------------------------------------------------------------------

    def _connection(self, *, timeout: float) -> http.client.HTTPSConnection:
        url = urlsplit(self._access.server)
        return http.client.HTTPSConnection(
            url.hostname or "", url.port or 443, timeout=timeout, context=self._cluster.tls
        )

    def _get(self, path: str) -> Document:
        with contextlib.closing(self._connection(timeout=30)) as connection:
            document: Document = json.load(self._request(connection, path))
        return document

    def _request(self, connection: http.client.HTTPSConnection, path: str) -> http.client.HTTPResponse:
        prefix = urlsplit(self._access.server).path.rstrip("/")
        connection.request("GET", prefix + path, headers={"Authorization": f"Bearer {self._access.token}"})
        response = connection.getresponse()
        if response.status == 404:
            raise GoneError(path)
        if response.status != 200:
            raise OSError(f"{path}: {response.status}")
        return response


def _key(path: str, document: Document) -> Key:
    metadata = document["metadata"]
    kind: str = document["kind"]
    return THINGS.get(path, kind), metadata.get("namespace", ""), metadata["name"]


def _brief(path: str, document: Document) -> Read:
    """What of it counts."""
    if path in THINGS:
        return claims.thing(document)
    return claims.constraint(document) if path.startswith(CONSTRAINTS) else claims.report(document)


def _claims(objects: Mapping[str, Mapping[Key, Read]]) -> Claims:
    things: dict[Key, Thing] = {}
    statements: list[Statement] = []
    for known in objects.values():
        for key, one in known.items():
            if isinstance(one, Thing):
                things[key] = one
            else:
                statements.append(one)
    return claims.read(statements, things)
