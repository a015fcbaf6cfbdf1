"""A small blocking client of a Kubernetes API, for set-up and assertions. Thread-safe; one pool of connections.

It shares no code with the operator's own connection, so that a test never checks that one with itself.
"""

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from dev.cluster.kubeconfig import Access

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FIELD_MANAGER = "policyhub-dev"
TIMEOUT = 30.0  # seconds, per request
THREADS = 4  # of one `apply`: more only queue up in an API server that shares two cores

Patch = Literal["merge", "json", "apply"]
Document = dict[str, Any]

_CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


class ApiError(Exception):
    """The API server refused a request. `reason` is the Status object's, such as Forbidden, NotFound, Conflict."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class UnreachableError(Exception):
    """No answer came from the API server."""


class Client:
    def __init__(self, access: Access) -> None:
        url = urlsplit(access.url)
        self._prefix = url.path.rstrip("/")
        self._headers = {"Accept": "application/json, application/jwk-set+json"}  # the latter for /openid/v1/jwks
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._pool = urllib3.HTTPSConnectionPool(
            url.hostname or "", url.port or 443, maxsize=8, ssl_context=access.ssl_context(), retries=False
        )
        self._resources: dict[str, list[Document]] = {}
        self.warnings: list[str] = []
        """What the server warned of in its answers so far."""

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        patch: Patch = "merge",
        timeout: float = TIMEOUT,
        **params: Any,
    ) -> Document:
        """The decoded answer. `patch` is the kind of a PATCH. Raises ApiError or UnreachableError."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = _CONTENT_TYPES[patch] if method == "PATCH" else "application/json"
        try:
            response = self._pool.request(
                method,
                self._prefix + path + (f"?{urlencode(params)}" if params else ""),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=timeout,
            )
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{method} {path}: {error}") from error
        self.warnings += response.headers.getlist("Warning")
        decoded = _decode(response.data)
        if response.status >= 400:
            message = str(decoded.get("message") or response.reason or "")
            raise ApiError(response.status, str(decoded.get("reason") or ""), message)
        return decoded

    def close(self) -> None:
        self._pool.close()

    def apply(self, documents: Iterable[Document], *, timeout: float = TIMEOUT) -> None:
        """Server-side apply, status included where the kind has it as a subresource.

        CRDs go first and are waited for until they are served, then namespaces; the rest goes in no particular order.
        """
        crds: list[Document] = []
        namespaces: list[Document] = []
        rest: list[Document] = []
        for document in documents:
            group = {"CustomResourceDefinition": crds, "Namespace": namespaces}.get(document["kind"], rest)
            group.append(document)
        deadline = time.monotonic() + timeout
        self._apply_all(crds)
        for crd in crds:
            self._await_served(crd, deadline)
        self._apply_all(namespaces)
        self._apply_all(rest)

    def remove_crd(self, name: str, *, timeout: float = TIMEOUT) -> None:
        """Deletes a CRD, and waits until none of its versions is served: the API server answers the DELETE first, then
        deletes the objects, and serves the resource for a moment longer.
        """
        deadline = time.monotonic() + timeout
        spec = self.request("GET", f"{CRDS}/{name}")["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        self.request("DELETE", f"{CRDS}/{name}")
        served = [f"/apis/{group}/{version['name']}/{plural}" for version in spec["versions"] if version.get("served")]
        for path in (f"{CRDS}/{name}", *served):
            while (answer := self._status(path)) != 404:
                if time.monotonic() > deadline:
                    raise UnreachableError(f"{path} is still served after {timeout:.0f} s: {answer}")
                time.sleep(0.05)

    def path(self, document: Document) -> str:
        """Of the object that the document describes. Namespace `default` where a namespaced one names none."""
        resource = self.resource(document["apiVersion"], document["kind"])
        metadata = document["metadata"]
        namespace = f"namespaces/{metadata.get('namespace', 'default')}/" if resource["namespaced"] else ""
        return f"{_root(document['apiVersion'])}/{namespace}{resource['name']}/{quote(metadata['name'], safe='')}"

    def resource(self, api_version: str, kind: str) -> Document:
        """The discovery entry of a kind: name (plural), namespaced, verbs …; `status` is True where /status exists."""
        for fresh in (False, True):
            if fresh or api_version not in self._resources:
                self._resources[api_version] = self.request("GET", _root(api_version))["resources"]
            served = self._resources[api_version]
            for entry in served:
                if entry["kind"] == kind and "/" not in entry["name"]:
                    names = {other["name"] for other in served}
                    return {**entry, "status": f"{entry['name']}/status" in names}
        raise ApiError(404, "NotFound", f"{api_version} serves no {kind}")

    def _apply_all(self, documents: Sequence[Document]) -> None:
        for api_version, kind in {(document["apiVersion"], document["kind"]) for document in documents}:
            self.resource(api_version, kind)  # fills the cache before the threads ask for it
        if len(documents) < 4:
            for document in documents:
                self._apply(document)
            return
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(self._apply, documents):
                pass

    def _apply(self, document: Document) -> None:
        path = self.path(document)
        try:
            self._patch(path, document)
            status = document.get("status")
            has_status = self.resource(document["apiVersion"], document["kind"])["status"]
            if status and has_status and document["kind"] != "CustomResourceDefinition":
                only = {key: document[key] for key in ("apiVersion", "kind", "metadata", "status")}
                self._patch(f"{path}/status", only)
        except ApiError as error:
            raise ApiError(error.status, error.reason, f"{path}: {error.message}") from error

    def _patch(self, path: str, document: Document) -> None:
        self.request("PATCH", path, document, patch="apply", fieldManager=FIELD_MANAGER, force="true")

    def _await_served(self, crd: Document, deadline: float) -> None:
        """Established comes first, discovery and the resource itself a moment later, in this order or the other; all
        are needed before an object can be applied. What discovery answered before does not count: the CRD may have
        been removed since.
        """
        path, spec = self.path(crd), crd["spec"]
        versions = [f"{spec['group']}/{version['name']}" for version in spec["versions"] if version.get("served")]
        while True:
            conditions = self.request("GET", path).get("status", {}).get("conditions") or ()
            established = any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)
            if established and all(self._serves(version, spec["names"]) for version in versions):
                return
            if time.monotonic() > deadline:
                raise UnreachableError(f"{crd['metadata']['name']} is not served in time: {conditions}")
            time.sleep(0.05)

    def _serves(self, api_version: str, names: Document) -> bool:
        self._resources.pop(api_version, None)
        try:
            self.resource(api_version, names["kind"])
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return self._status(f"{_root(api_version)}/{names['plural']}") == 200

    def _status(self, path: str) -> int:
        """Of the answer to a GET. While a CRD ends, 429 and 5xx are answers too."""
        try:
            self.request("GET", path, limit=1)
        except ApiError as error:
            return error.status
        return 200


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _decode(data: bytes) -> Document:
    """An answer that is no JSON object, such as that of /readyz, comes under the key `message`."""
    try:
        decoded = json.loads(data) if data else {}
    except ValueError:
        decoded = None
    return decoded if isinstance(decoded, dict) else {"message": data.decode(errors="replace")}
