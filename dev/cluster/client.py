"""A small blocking client of a Kubernetes API, for set-up and assertions. Thread-safe, with one connection pool.

Requests share no code with the operator's own connection: no test checks that connection with itself. Kubeconfigs and
certificates are read by the operator's code, which has its own tests. docs/decisions/0025 says why this is not the
`kubernetes` package.
"""

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from policyhub.kube.kubeconfig import Access
from policyhub.kube.trust import trust

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FIELD_MANAGER = "policyhub-dev"
_POLL_SECONDS = 0.05  # between two looks whether a CRD is served: a watch would not show when discovery follows
TIMEOUT = 30.0  # seconds, per request
THREADS = 4  # of one `apply`: more would only queue in an API server that shares two cores
JSON = "application/json, application/jwk-set+json"  # the latter for /openid/v1/jwks
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

Patch = Literal["merge", "json", "apply"]
Document = dict[str, Any]

_CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


class ApiError(Exception):
    """The API server rejected a request. `reason` is the Status object's, such as Forbidden, NotFound, Conflict."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class UnreachableError(Exception):
    """The API server did not answer."""


class Client:
    def __init__(self, access: Access) -> None:
        self.access = access
        self.tls = trust(access)
        url = urlsplit(access.server)
        self._prefix = url.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._pool = urllib3.HTTPSConnectionPool(
            url.hostname or "", url.port or 443, maxsize=8, ssl_context=self.tls, retries=False
        )
        self._resources: dict[str, list[Document]] = {}
        self.warnings: list[str] = []
        """The `Warning` headers of all answers so far."""

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        patch: Patch = "merge",
        accept: str = JSON,
        timeout: float = TIMEOUT,
        **params: Any,
    ) -> Document:
        """The decoded answer. `patch` is the type of a PATCH. Raises ApiError, UnreachableError."""
        headers = {**self._headers, "Accept": accept}
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
        """Server-side apply, including the status if the kind has it as a subresource.

        CRDs are applied first; `timeout` limits how long they may take to be served. Namespaces come second, the rest
        in no particular order.
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

    def remove_crd(self, plural: str, group: str) -> None:
        """Deletes a CRD, and waits until none of its versions is served: the API server answers the DELETE first, then
        deletes the objects, and serves the resource for a moment longer.
        """
        deadline = time.monotonic() + TIMEOUT
        crd = f"{CRDS}/{plural}.{group}"
        versions = self.request("GET", crd)["spec"]["versions"]
        self.request("DELETE", crd)
        served = [f"/apis/{group}/{version['name']}/{plural}" for version in versions if version.get("served")]
        for path in (crd, *served):
            while (answer := self._status(path)) != 404:
                if time.monotonic() > deadline:
                    raise UnreachableError(f"{path} is still served after {TIMEOUT:.0f} s: {answer}")
                time.sleep(_POLL_SECONDS)

    def table(self, path: str, *, wide: bool = False) -> tuple[list[str], list[list[Any]]]:
        """Column names and cells as the API server renders them for `kubectl get` (`wide`: with `-o wide`)."""
        rendered = self.request("GET", path, accept=TABLE)
        shown = [n for n, column in enumerate(rendered["columnDefinitions"]) if wide or not column["priority"]]
        names = [rendered["columnDefinitions"][n]["name"] for n in shown]
        return names, [[row["cells"][n] for n in shown] for row in rendered["rows"]]

    def path(self, document: Document) -> str:
        """API path of the object that the document describes. A namespaced object without namespace is in `default`."""
        resource = self.resource(document["apiVersion"], document["kind"])
        metadata = document["metadata"]
        namespace = f"namespaces/{metadata.get('namespace', 'default')}/" if resource["namespaced"] else ""
        return f"{_root(document['apiVersion'])}/{namespace}{resource['name']}/{quote(metadata['name'], safe='')}"

    def resource(self, api_version: str, kind: str) -> Document:
        """The discovery entry of a kind: name (plural), namespaced, verbs …; `status`: whether /status exists."""
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
            self.resource(api_version, kind)  # fills the cache before the threads read it
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
        """Waits until the CRD is Established, in discovery, and served: the last two follow in any order, and an object
        can only be applied after all three. Cached discovery is ignored: the CRD may have been removed since.
        """
        path, spec = self.path(crd), crd["spec"]
        versions = [f"{spec['group']}/{version['name']}" for version in spec["versions"] if version.get("served")]
        while True:
            conditions = self.request("GET", path).get("status", {}).get("conditions") or ()
            established = any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)
            if established and all(self._serves(version, spec["names"]) for version in versions):
                return
            if time.monotonic() > deadline:
                raise UnreachableError(f"CRD {crd['metadata']['name']} was not served in time: {conditions}")
            time.sleep(_POLL_SECONDS)

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
        """HTTP status of a GET. While a CRD is being deleted, the server also answers 429 and 5xx."""
        try:
            self.request("GET", path, limit=1)
        except ApiError as error:
            return error.status
        return 200


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _decode(data: bytes) -> Document:
    """An answer that is not a JSON object, such as that of /readyz, is returned as `{"message": …}`."""
    try:
        decoded = json.loads(data) if data else {}
    except ValueError:
        decoded = None
    return decoded if isinstance(decoded, dict) else {"message": data.decode(errors="replace")}
