"""Measures how long a change takes to become a finding. Changes are written at a fixed pace, without waiting for
earlier ones.

A sample starts when the write is sent to the API server, and ends when the hub has accepted the finding. Both times are
from this machine's clock.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from policyhub.findings.identity import finding_id
from tests.bench import shape
from tests.bench.environment import CLUSTER, EXTRA, Environment


class Sample(NamedTuple):
    sent: float
    """Unix time."""
    seconds: float


class Probe:
    """Writes changes in its own thread; `result` waits for their findings."""

    def __init__(
        self, env: Environment, writes: Sequence[Callable[[], str]], *, spacing: float, together: int = 1
    ) -> None:
        """Each write makes one change and returns its finding's id; `together` writes are made at once."""
        self._scene = env
        self._writes = list(writes)
        self._spacing = spacing
        self._together = together
        self._since = last(env)
        self._sent: dict[str, float] = {}
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="probe")
        self._thread.start()

    def _run(self) -> None:
        rng = random.Random(1)  # noqa: S311  (spacing)
        try:
            for number, write in enumerate(self._writes):
                started = time.time()
                self._sent[write()] = started
                if (number + 1) % self._together == 0 and self._stop.wait(self._spacing * rng.uniform(0.5, 1.5)):
                    return
        except Exception as error:  # noqa: BLE001  (handed to whoever waits for the result)
            self._failure = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, *, stop: bool = False) -> list[Sample]:
        """Samples in the order of the writes; `stop` ends the writing."""
        if stop:
            self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        found: dict[str, float] = {}

        def complete() -> bool:
            for entry in self._scene.hub.journal(self._since):
                self._since = entry["seq"]
                if entry["id"] in self._sent and entry["outcome"] in {"created", "changed"}:
                    found.setdefault(entry["id"], entry["time"])
            return found.keys() >= self._sent.keys()

        self._scene.until(complete, "the changes' findings", every=0.2)
        return [Sample(started, found[id_] - started) for id_, started in self._sent.items()]


def last(env: Environment) -> int:
    """The sequence number of the journal's last entry."""
    return int(env.hub._get("journal", limit="0")["last"])


def fresh(env: Environment, number: int) -> list[Callable[[], str]]:
    """This many new reports with one violation each."""

    def write() -> str:
        n = EXTRA + env.extra
        document = shape.report(n, failing=1, second=int(time.time()))
        env.extra += 1
        env.cluster.request("POST", env.cluster.path(document).rpartition("/")[0], document)
        return finding_id(CLUSTER, shape.identity(n))

    return [write] * number


def changed(env: Environment, number: int, *, message: str) -> list[Callable[[], str]]:
    """This many existing reports whose violations get this message."""

    def write(n: int) -> str:
        document = shape.report(n, failing=env.size.failing, second=int(time.time()), message=message)
        env.cluster.request("PATCH", env.cluster.path(document), {"results": document["results"]})
        return finding_id(CLUSTER, shape.identity(n))

    return [partial(write, n) for n in range(min(number, env.loaded))]


def percentiles(samples: Sequence[Sample]) -> str:
    """p50 and p99 of the samples, with their number."""
    took = [sample.seconds * 1000 for sample in samples]
    if len(took) < 2:
        return f"{took[0]:,.0f} ms of 1" if took else "0 samples"
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return f"{cuts[49]:,.0f} ms, {cuts[98]:,.0f} ms of {len(took)}"
