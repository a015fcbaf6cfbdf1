"""Observes the operator from the outside during a scenario: its memory, /healthz, its status, events and log."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

from dev.cluster import ApiError
from dev.cluster.client import UnreachableError
from dev.testbed import Operator
from tests.hostile.checker import HEALTH_SECONDS, Observations, unsafe
from tests.integration.operator.world import CLUSTERS, World

EVERY_SECONDS = 0.5
KILL_MIB = 900.0
"""To protect the machine, an operator that takes more MiB is killed, as the kernel would at 512Mi."""
EVENTS = "/api/v1/namespaces/default/events"
"""The path of events about objects without a namespace."""


class Observer:
    """`with Observer(…) as observer:`; its threads end with the block. `killed` is a list to which operators are added
    that are killed on purpose.
    """

    def __init__(self, world: World, *, killed: Sequence[Operator]) -> None:
        self.seen = Observations()
        self._world = world
        self._done = threading.Event()
        self._dead: list[Operator] = []
        self._killed = killed
        self._opener = build_opener(ProxyHandler({}))
        self._threads = [
            threading.Thread(target=self._poll, args=(probe,), daemon=True)
            for probe in (self._health, self._memory, self._status)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(HEALTH_SECONDS + 5)

    def finish(self) -> None:
        """Read what is read once, at the end: events, the log, /metrics."""
        for event in self._world.cluster.request("GET", EVENTS)["items"]:
            if event.get("involvedObject", {}).get("kind") == "MonitoredCluster":
                self.seen.statements.add(f"{event.get('reason')}: {event.get('message')}")
        for operator in self._world.operators:
            for line in operator.log():
                self._read(line)
        if self._alive():
            try:
                self._read(self._get("/metrics", timeout=HEALTH_SECONDS))
            except OSError as error:
                self.seen.ended.append(f"/metrics: {type(error).__name__}")

    def _read(self, value: Any) -> None:
        """Every text in the document, at any depth."""
        if isinstance(value, str) and unsafe(value, lines=True):
            self.seen.unsafe.add(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                self._read(key)
                self._read(inner)
        elif isinstance(value, list):
            for inner in value:
                self._read(inner)

    def findings(self, found: list[dict[str, Any]]) -> None:
        """Read the findings as analysts would in a browser."""
        self._read(found)

    # -- polling -------------------------------------------------------------------------------------------------------

    def _poll(self, probe: Callable[[], None]) -> None:
        while not self._done.is_set():
            probe()
            self._done.wait(EVERY_SECONDS)

    def _health(self) -> None:
        operator = self._operator()
        if operator is None or not operator.port:
            return
        started = time.monotonic()
        try:
            self._get("/healthz", timeout=HEALTH_SECONDS)
        except OSError:
            self._done.wait(EVERY_SECONDS)  # an operator that was killed meanwhile has been replaced by then
            if self._operator() is operator and operator not in self._killed and self._alive():
                self.seen.health.append(float("inf"))
            return
        self.seen.health.append(time.monotonic() - started)

    def _memory(self) -> None:
        operator = self._operator()
        if operator is None:
            return
        if not self._alive():
            if operator not in self._dead and operator not in self._killed:
                self._dead.append(operator)
                self.seen.ended.append("the operator's process is gone")
            return
        peak = peak_mib(operator)
        self.seen.memory = max(self.seen.memory, peak)
        if peak > KILL_MIB:
            self._dead.append(operator)
            self.seen.ended.append(f"killed at {peak:.0f} MiB, far beyond the chart's limit")
            operator.kill()

    def _status(self) -> None:
        try:
            clusters = self._world.cluster.request("GET", CLUSTERS)["items"]
        except (ApiError, UnreachableError):  # the API server is busy with the tenant
            return
        for cluster in clusters:
            for condition in cluster.get("status", {}).get("conditions", ()):
                statement = f"{condition['type']}={condition['status']} {condition['reason']}: {condition['message']}"
                self.seen.statements.add(f"{cluster['metadata']['name']}: {statement}")

    # -- the operator ---------------------------------------------------------------------------------------------

    def _operator(self) -> Operator | None:
        return self._world.operators[-1] if self._world.operators else None

    def _alive(self) -> bool:
        operator = self._operator()
        return operator is not None and operator.pid is not None

    def _get(self, path: str, *, timeout: float) -> str:
        operator = self._operator()
        port = operator.port if operator is not None else 0
        with self._opener.open(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
            text: str = answer.read().decode()
        return text


def peak_mib(operator: Operator) -> float:
    """Peak resident set of the process so far, as the kernel counts it."""
    try:
        text = Path(f"/proc/{operator.pid}/status").read_text()
    except OSError:  # the process has just ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)
