"""A Kubernetes API with the rights of its admin, and the process of its API server if that was started here."""

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, Self

from dev.cluster import kubeconfig
from dev.cluster.client import Client, Document
from policyhub.kube.kubeconfig import Access, parse


class NotOursError(Exception):
    """The API server was not started here, so it cannot be stopped here."""


class Server(Protocol):
    """An API server that can be stopped and started again at the same address with the same data."""

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Cluster(Client):
    def __init__(
        self, name: str, admin: Document, *, access: Access | None = None, server: Server | None = None
    ) -> None:
        """`admin` is a kubeconfig. `access` is what its current context leads to, if that needs files or a plug-in."""
        super().__init__(access or parse(admin))
        self.name = name
        self._admin = admin
        self._server = server

    @property
    def url(self) -> str:
        return self.access.server

    @property
    def ca(self) -> str | None:
        """PEM; None: the system's CAs."""
        return self.access.authority.decode() if self.access.authority else None

    @property
    def uid(self) -> str:
        """The uid of the namespace kube-system, which identifies a cluster."""
        uid: str = self.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        return uid

    @property
    def pid(self) -> int:
        """Process id of the API server."""
        return self._owned().pid

    def kubeconfig(self) -> Document:
        """The admin's."""
        return copy.deepcopy(self._admin)

    def kubeconfig_file(self, path: Path) -> Path:
        return kubeconfig.write(self._admin, path)

    def kubeconfig_for(self, *, namespace: str, service_account: str, seconds: int = 3600) -> Document:
        """With a token of the service account by TokenRequest; the API server's minimum is 600 seconds."""
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
        """The same API with the credential of another kubeconfig."""
        return Cluster(self.name, config)

    def stop(self) -> None:
        """Stops the API server; its data stays. Raises NotOursError if it was not started here."""
        self._owned().stop()

    def kill(self) -> None:
        """Kills it without a graceful shutdown, as when a node crashes."""
        self._owned().kill()

    def restart(self) -> None:
        """Starts it at the same address with the same data, and returns when it is ready. Stops it first if it runs."""
        server = self._owned()
        server.stop()
        server.start()

    def _owned(self) -> Server:
        if self._server is None:
            raise NotOursError(f"cluster {self.name!r} runs elsewhere; only one started here can be stopped here")
        return self._server


class Plane(ABC):
    """A context manager that returns clusters by name: always the same one for the same name."""

    def __init__(self) -> None:
        self._clusters: dict[str, Cluster] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def cluster(self, name: str) -> Cluster: ...

    def stop(self) -> None:
        """Closes the connections. May be called again."""
        for cluster in self._clusters.values():
            cluster.close()
        self._clusters.clear()
