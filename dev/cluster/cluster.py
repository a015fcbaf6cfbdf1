"""One Kubernetes API as its admin sees it, wherever it came from."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from dev.cluster import kubeconfig
from dev.cluster.client import TIMEOUT, Client, Document, Patch


class NotOursError(Exception):
    """The API server was not started here, so it cannot be stopped here."""


class Server(Protocol):
    """An API server that can be taken away and brought back at the same address with the same data."""

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Cluster:
    def __init__(self, name: str, admin: Document, *, folder: Path | None = None, server: Server | None = None) -> None:
        """`admin` is a kubeconfig whose current context is meant; relative paths in it count from `folder`."""
        self.name = name
        self._admin = admin
        self._server = server
        access = kubeconfig.access(admin, folder=folder)
        self.url = access.url
        self.ca = access.ca
        self.admin_token = access.token
        self._client = Client(access)

    @property
    def uid(self) -> str:
        """The uid of namespace kube-system: what tells one cluster from another."""
        uid: str = self.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        return uid

    @property
    def pid(self) -> int:
        """Of the API server."""
        return self._owned().pid

    @property
    def warnings(self) -> list[str]:
        """What the server warned of in its answers so far."""
        return self._client.warnings

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
        """As admin. Raises ApiError or UnreachableError."""
        return self._client.request(method, path, body, patch=patch, timeout=timeout, **params)

    def apply(self, documents: Iterable[Document], *, timeout: float = TIMEOUT) -> None:
        """Server-side apply as admin, see Client.apply. `timeout` is how long CRDs may take to be served."""
        self._client.apply(documents, timeout=timeout)

    def remove_crd(self, plural: str, group: str, *, timeout: float = TIMEOUT) -> None:
        """Deletes a CRD with its objects, see Client.remove_crd."""
        self._client.remove_crd(f"{plural}.{group}", timeout=timeout)

    def path(self, document: Document) -> str:
        """The API path of the object that a document describes."""
        return self._client.path(document)

    def kubeconfig(self) -> Document:
        """The admin's."""
        return copy.deepcopy(self._admin)

    def kubeconfig_file(self, path: Path) -> Path:
        return kubeconfig.write(self._admin, path)

    def kubeconfig_for(self, *, namespace: str, service_account: str, seconds: int = 3600) -> Document:
        """With a token of the service account by TokenRequest; the API server allows no less than 600 seconds."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        token = self.request("POST", path, request)["status"]["token"]
        return kubeconfig.with_token(
            name=self.name, url=self.url, ca=self.ca, token=token, user=service_account, namespace=namespace
        )

    def as_user(self, config: Document) -> "Cluster":
        """The same API with another kubeconfig's credentials."""
        return Cluster(self.name, config)

    def stop(self) -> None:
        """Ends the API server; its data stays. Raises NotOursError where it was not started here."""
        self._owned().stop()

    def kill(self) -> None:
        """Ends it with no chance to say good-bye, as a crashed node would."""
        self._owned().kill()

    def restart(self) -> None:
        """At the same address with the same data; returns when it is ready. Stops it first where it still runs."""
        server = self._owned()
        server.stop()
        server.start()

    def close(self) -> None:
        """Closes the connections; the API server goes on."""
        self._client.close()

    def _owned(self) -> Server:
        if self._server is None:
            raise NotOursError(f"cluster {self.name!r} runs elsewhere; only one started here can be stopped here")
        return self._server
