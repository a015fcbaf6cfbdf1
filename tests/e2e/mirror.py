"""A live copy of an API server's objects by watches, and the claims over time.

Every watch has a thread of its own; another thread computes the claims again after a relevant change. Threads end with
the process, or after `close` when their connection next delivers something.
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
from tests.e2e.claims import Claims, Key, OwnedObject, Statement
from tests.faults.truth import CONSTRAINTS, REPORTS, Violation

Document = dict[str, Any]

OWNED_KINDS = {"/api/v1/pods": "Pod", "/apis/apps/v1/replicasets": "ReplicaSet", "/apis/batch/v1/jobs": "Job"}
WATCH_SECONDS = 240
AGAIN_SECONDS = 0.5
KINDS_SECONDS = 1.0
"""Interval of discovery of constraint kinds."""


Read = Statement | OwnedObject


class NotServedError(Exception):
    """The kind is not served."""


class Mirror:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._access = cluster.access
        self._changed = threading.Condition()
        self._objects: dict[str, dict[Key, Read]] = {}
        """By path."""
        self._changed_at = 0.0
        """Time of the first change that is not in the claims yet; 0: none."""
        self._history: list[tuple[float, Claims]] = [(0.0, Claims())]
        self._watched: set[str] = set()
        self._ended = threading.Event()

    def start(self) -> None:
        for path in (*REPORTS, *OWNED_KINDS):
            self._watch(path)
        for target in (self._read, self._discover):
            threading.Thread(target=target, daemon=True).start()

    def close(self) -> None:
        self._ended.set()

    # -- claims --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Claims:
        with self._changed:
            return self._history[-1][1]

    def since(self, violation: Violation, moment: float, *, claimed: bool) -> float | None:
        """Since when, at that moment, it had been claimed, or not; None if it was the other way round."""
        with self._changed:
            history = list(self._history)
        began: float | None = None
        for at, claimed_then in history:
            if at > moment:
                break
            if (violation in claimed_then.severities) != claimed:
                began = None
            elif began is None:
                began = at
        return began

    def throughout(self, violation: Violation, start: float, end: float, *, claimed: bool) -> bool:
        """Whether it was claimed, or not claimed, during that whole period."""
        began = self.since(violation, end, claimed=claimed)
        return began is not None and began <= start

    def of(self, group: str) -> Claims:
        """The claims of one API group's objects alone."""
        with self._changed:
            objects = self._copy()
        return _claims({p: o for p, o in objects.items() if p in OWNED_KINDS or p.startswith(f"/apis/{group}/")})

    def _copy(self) -> dict[str, dict[Key, Read]]:
        return {path: dict(objects) for path, objects in self._objects.items()}

    # -- threads --------------------------------------------------------------------------------------------------

    def _watch(self, path: str) -> None:
        if path not in self._watched:
            self._watched.add(path)
            threading.Thread(target=self._follow, args=(path,), daemon=True).start()

    def _discover(self) -> None:
        while not self._ended.wait(KINDS_SECONDS):
            with contextlib.suppress(NotServedError, OSError, http.client.HTTPException):
                for resource in self._get(CONSTRAINTS)["resources"]:
                    if "/" not in resource["name"]:
                        self._watch(f"{CONSTRAINTS}/{resource['name']}")

    def _follow(self, path: str) -> None:
        while not self._ended.is_set():
            try:
                listed = self._get(path)
                self._replace(path, listed)
                self._stream(path, listed["metadata"]["resourceVersion"], listed["kind"].removesuffix("List"))
            except NotServedError:
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
                self._changed.wait_for(lambda: self._changed_at > 0.0)
                at, self._changed_at = self._changed_at, 0.0
                objects = self._copy()
            claimed_then = _claims(objects)
            with self._changed:
                if claimed_then != self._history[-1][1]:
                    self._history.append((at, claimed_then))

    # -- objects --------------------------------------------------------------------------------------------------

    def _replace(self, path: str, listed: Document) -> None:
        """Apply a list."""
        kind = listed["kind"].removesuffix("List")
        documents = [{"kind": kind, **item} for item in listed["items"]]
        fresh = {_key(path, document): _relevant(path, document) for document in documents}
        with self._changed:
            if self._objects.get(path, {}) != fresh:
                self._objects[path] = fresh
                self._mark_changed()

    def _put(self, path: str, document: Document, *, gone: bool) -> None:
        """Apply an event."""
        key = _key(path, document)
        fresh = None if gone else _relevant(path, document)
        with self._changed:
            objects = self._objects.setdefault(path, {})
            if objects.get(key) != fresh:
                if fresh is None:
                    del objects[key]
                else:
                    objects[key] = fresh
                self._mark_changed()

    def _mark_changed(self) -> None:
        self._changed_at = self._changed_at or time.time()
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
            raise NotServedError(path)
        if response.status != 200:
            raise OSError(f"{path}: {response.status}")
        return response


def _key(path: str, document: Document) -> Key:
    metadata = document["metadata"]
    kind: str = document["kind"]
    return OWNED_KINDS.get(path, kind), metadata.get("namespace", ""), metadata["name"]


def _relevant(path: str, document: Document) -> Read:
    """The relevant content of the document."""
    if path in OWNED_KINDS:
        return claims.owned_object(document)
    return claims.constraint(document) if path.startswith(CONSTRAINTS) else claims.report(document)


def _claims(objects: Mapping[str, Mapping[Key, Read]]) -> Claims:
    owned: dict[Key, OwnedObject] = {}
    statements: list[Statement] = []
    for known in objects.values():
        for key, one in known.items():
            if isinstance(one, OwnedObject):
                owned[key] = one
            else:
                statements.append(one)
    return claims.read(statements, owned)
