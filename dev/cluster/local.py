"""A control plane of child processes: one etcd, and one kube-apiserver per cluster with its own prefix in etcd.

RBAC is enforced, anonymous requests are rejected, and service account tokens are issued. There is no kubelet and no
controller manager: objects are stored and served, Pods stay pending, and nothing is garbage-collected. For an operator
that reads and writes objects, the API is that of a real cluster.

All servers listen on 127.0.0.1, on ports that stay reserved while a server is down. Data is in a temporary folder,
whose writes are not synced to disk. The children die with the process that started them (process.py), and the next
start removes the folder of a killed process.
"""

import fcntl
import os
import re
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

import urllib3

from dev.cluster import kubeconfig, toolchain
from dev.cluster.certificate import Authority, Pair, service_account_key
from dev.cluster.client import ApiError, Client, UnreachableError
from dev.cluster.cluster import Cluster, Plane
from dev.cluster.gobuild import Progress, silent
from dev.cluster.process import Child, Launcher
from policyhub.kube.kubeconfig import Access, parse

START = 90.0  # seconds: 4 on an idle machine, more if the tests' other processes share two cores
POLL = 0.1
STORED_BYTES = 8 << 30
"""Limit of etcd's data: 50,000 reports, rewritten a few times in the five minutes between two compactions, exceed its
default of 2 GiB."""
PREFIX = "policyhub-plane-"


class StartError(Exception):
    """A server ended or was not ready in time; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Binaries:
    etcd: Path
    kube_apiserver: Path

    @classmethod
    def find(cls, *, progress: Progress = silent, environ: Mapping[str, str] = os.environ) -> Self:
        """Those in the folder KUBEBUILDER_ASSETS, else built from source."""
        if assets := environ.get("KUBEBUILDER_ASSETS"):
            found = cls(Path(assets) / "etcd", Path(assets) / "kube-apiserver")
            for binary in (found.etcd, found.kube_apiserver):
                if not os.access(binary, os.X_OK):
                    raise StartError(f"KUBEBUILDER_ASSETS is set, but {binary} is not a program; unset it to build one")
            return found
        etcd = toolchain.ensure("etcd", progress=progress, environ=environ)
        return cls(etcd, toolchain.ensure("kube-apiserver", progress=progress, environ=environ))


class Port:
    """A free port of 127.0.0.1, reserved by binding it here, and shared with the server that listens on it.

    While no server listens, connections are refused.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.number}"

    def close(self) -> None:
        self._socket.close()


class ControlPlane(Plane):
    """`with ControlPlane.start() as plane: alpha = plane.cluster("alpha")`."""

    def __init__(self, binaries: Binaries, *, progress: Progress = silent) -> None:
        super().__init__()
        self._binaries = binaries
        self._progress = progress
        self._folder, self._lock = _own_folder(Path(tempfile.gettempdir()))
        self._launcher = Launcher()
        self._authority = Authority(self._folder)
        self._ports: list[Port] = []
        self._etcd_client: Pair | None = None
        self._etcd_url = ""

    @classmethod
    def start(cls, *, progress: Progress = silent, environ: Mapping[str, str] = os.environ) -> Self:
        """Builds missing programs, and starts etcd. Raises ToolchainError, StartError."""
        plane = cls(Binaries.find(progress=progress, environ=environ), progress=progress)
        try:
            plane._start_etcd()
        except BaseException:
            plane.stop()
            raise
        return plane

    @property
    def folder(self) -> Path:
        """Data, keys and logs; deleted by `stop`."""
        return self._folder

    def cluster(self, name: str, *, authenticator: str = "") -> Cluster:
        """Starts it at the first call with this name, and returns when it is ready. `authenticator`: URL of a webhook
        for tokens that the API server does not know.
        """
        if name not in self._clusters:
            self._clusters[name] = self._start_cluster(name, authenticator)
        return self._clusters[name]

    def stop(self) -> None:
        """Stops all servers and removes their data. May be called again."""
        super().stop()
        self._launcher.close()
        for port in self._ports:
            port.close()
        self._ports.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    def _start_etcd(self) -> None:
        self._progress("starting etcd")
        port = self._port()
        server = self._authority.issue("etcd")
        self._etcd_client = self._authority.issue("etcd-client")
        self._etcd_url = port.url
        child = self._launcher.start(
            "etcd",
            [
                self._binaries.etcd,
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={port.url}",
                f"--advertise-client-urls={port.url}",
                "--listen-peer-urls=http://127.0.0.1:0",
                f"--cert-file={server.certificate}",
                f"--key-file={server.key}",
                f"--trusted-ca-file={self._authority.certificate}",
                "--client-cert-auth",
                "--socket-reuse-port",
                "--unsafe-no-fsync",
                f"--quota-backend-bytes={STORED_BYTES}",
                "--log-level=warn",
            ],
            log=self._folder / "etcd.log",
        )
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            port.number,
            ca_certs=str(self._authority.certificate),
            cert_file=str(self._etcd_client.certificate),
            key_file=str(self._etcd_client.key),
            retries=False,
            timeout=5,
        )

        def healthy() -> bool:
            try:
                return bool(pool.request("GET", "/health").status == 200)
            except urllib3.exceptions.HTTPError:
                return False

        _await_ready(child, healthy)
        pool.close()

    def _start_cluster(self, name: str, authenticator: str) -> Cluster:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", name):
            raise ValueError(f"a cluster's name has lower-case letters, digits and inner dashes: {name!r}")
        self._progress(f"starting cluster {name}")
        port = self._port()
        folder = self._folder / name
        folder.mkdir()
        token = secrets.token_urlsafe(32)
        tokens = folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{token},admin,admin,"system:masters"\n', encoding="ascii")
        admin = kubeconfig.with_token(name=name, url=port.url, ca=self._authority.pem, token=token)
        flags = self._flags(name, port, folder, tokens)
        if authenticator:
            webhook = kubeconfig.with_token(
                name="webhook",
                url=authenticator,
                ca=None,
                token="none",  # noqa: S106  (the authenticator requires none)
            )
            flags += [
                f"--authentication-token-webhook-config-file={kubeconfig.write(webhook, folder / 'webhook.yaml')}",
                "--authentication-token-webhook-version=v1",
                "--authentication-token-webhook-cache-ttl=1s",  # tests revoke permissions, and check immediately
            ]
        server = ApiServer(
            name=name,
            launcher=self._launcher,
            access=parse(admin),
            argv=[str(self._binaries.kube_apiserver), *flags],
            log=folder / "kube-apiserver.log",
        )
        server.start()
        return Cluster(name, admin, server=server)

    def _flags(self, name: str, port: Port, folder: Path, tokens: Path) -> list[str]:
        assert self._etcd_client is not None  # noqa: S101 - set by `start`; for mypy
        serving = self._authority.issue(f"{name}-server")
        signing = service_account_key(self._folder, f"{name}-service-accounts")
        return [
            f"--etcd-servers={self._etcd_url}",
            f"--etcd-prefix=/{name}",
            f"--etcd-cafile={self._authority.certificate}",
            f"--etcd-certfile={self._etcd_client.certificate}",
            f"--etcd-keyfile={self._etcd_client.key}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",  # else it needs a network interface, which a sandbox may not have
            f"--secure-port={port.number}",
            "--permit-port-sharing",
            "--endpoint-reconciler-type=none",  # a loopback address is not a valid endpoint
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--cert-dir={folder}",
            f"--token-auth-file={tokens}",
            f"--client-ca-file={self._authority.certificate}",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",  # as in every cluster that runs a network plug-in
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={signing}",
            f"--service-account-signing-key-file={signing}",
            "--disable-admission-plugins=ServiceAccount",  # waits for accounts that a controller manager creates
            "--service-cluster-ip-range=10.0.0.0/24",
            "--profiling=false",
        ]

    def _port(self) -> Port:
        port = Port()
        self._ports.append(port)
        return port


class ApiServer:
    """One kube-apiserver, which can be restarted with the same port and data."""

    def __init__(self, *, name: str, launcher: Launcher, access: Access, argv: list[str], log: Path) -> None:
        self._name = name
        self._launcher = launcher
        self._access = access
        self._argv = argv
        self._log = log
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise StartError(f"cluster {self._name} was not started")
        return self._child.pid

    def start(self) -> None:
        """Returns when it is ready, and the namespaces kube-system and default exist."""
        self._child = self._launcher.start(f"kube-apiserver of {self._name}", self._argv, log=self._log)
        client = Client(self._access)
        try:
            _await_ready(self._child, lambda: _ready(client))
        finally:
            client.close()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def _ready(client: Client) -> bool:
    try:
        client.request("GET", "/readyz", timeout=5)
        for namespace in ("kube-system", "default"):
            client.request("GET", f"/api/v1/namespaces/{namespace}", timeout=5)
    except (ApiError, UnreachableError):
        return False
    return True


def _await_ready(child: Child, ready: Callable[[], bool]) -> None:
    """Returns when it is ready. Raises StartError with the end of the log if it exits or takes too long."""
    deadline = time.monotonic() + START
    while not ready():
        if child.returncode is not None:
            raise StartError(f"{child.name} ended with {child.returncode} while starting:\n{child.tail()}")
        if time.monotonic() > deadline:
            raise StartError(f"{child.name} was not ready within {START:.0f} s:\n{child.tail()}")
        time.sleep(POLL)


def _own_folder(parent: Path) -> tuple[Path, TextIO]:
    """Creates a folder with a lock that this process holds, and removes the folders of dead processes.

    The lock is taken before it gets the name that other processes check.
    """
    for lock in parent.glob(f"{PREFIX}*/lock"):
        try:
            with lock.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # its process runs, another user owns it, or it was removed meanwhile
            continue
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    unnamed = folder / "lock.new"
    file = unnamed.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    unnamed.rename(folder / "lock")
    return folder, file
