"""A cluster with the chart for two replicas, and a hub in which each replica has its own address."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from dev import testbed
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from dev.testbed import Operator
from tests.integration.operator.gate import Gate
from tests.integration.operator.world import ENGINES, Document, World
from tests.integration.takeover.relay import Relay

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{testbed.NAMESPACE}/leases/policyhub"


@dataclass
class Replica:
    """One operator, its calls to the hub (time, path, signing time), and its way to the API server."""

    name: str
    gate: Gate
    relay: Relay
    process: Operator
    calls: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def imports(self) -> int:
        return sum("import" in path for _, path, _ in self.calls)

    @property
    def first(self) -> float:
        return self.calls[0][0]

    @property
    def last(self) -> float:
        return self.calls[-1][0]

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self.process._child.returncode if self.process._child is not None else None

    def signed_after(self, moment: float) -> list[str]:
        """The signing times, in AWS's format, of the calls after this moment."""
        return [signed for came, _, signed in self.calls if came > moment]

    def events(self) -> list[str]:
        return [str(line.get("event")) for line in self.process.log()]


class Pair:
    """Replicas of one release."""

    def __init__(self, world: World, folder: Path, stack: ExitStack) -> None:
        self.world = world
        self._folder = folder
        self._stack = stack

    def start(self, name: str, *, wait: bool = True, **settings: str) -> Replica:
        """Start one more replica; with `wait` until it is ready: active or waiting for the Lease."""
        server = urlsplit(self.world.cluster.url)
        assert server.hostname is not None
        assert server.port is not None
        gate = self._stack.enter_context(Gate(self.world.hub.url))
        relay = self._stack.enter_context(Relay(server.hostname, server.port))
        config = json.loads(self.world.installed.kubeconfig().read_text())
        for entry in config["clusters"]:
            entry["cluster"]["server"] = f"https://{server.hostname}:{relay.port}"
        path = self._folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))
        calls: list[tuple[float, str, str]] = []

        def note(request: web.Request, _: bytes) -> None:
            calls.append((time.monotonic(), request.path, request.headers.get("X-Amz-Date", "")))

        gate.interceptor = note
        own = {"KUBECONFIG": str(path), "AWS_ENDPOINT_URL": gate.url, "POD_NAME": name}
        process = self.world.start(wait=wait, **own, **settings)
        return Replica(name, gate, relay, process, calls)

    def lease(self) -> Document:
        spec: Document = self.world.cluster.request("GET", LEASE)["spec"]
        return spec


@pytest.fixture(scope="module")
def home(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cluster = plane.cluster("takeover")
    values = {"clusterName": "alpha", "replicaCount": 2}
    installed = testbed.install(cluster, tmp_path_factory.mktemp("takeover"), values=values)
    cluster.apply(ENGINES)
    with HubProcess.start() as hub:
        yield World(installed, hub)


@pytest.fixture
def pair(home: World, tmp_path: Path) -> Iterator[Pair]:
    """No replica runs yet; no Lease, no finding."""
    home.clear()
    home._remove(LEASE)
    home.monitor()
    with ExitStack() as stack:
        yield Pair(home, tmp_path, stack)
        home.clear()
