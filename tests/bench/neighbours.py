"""How one bad cluster affects the operator's other clusters: the delay of their fresh violations, and the operator's
CPU.

One stand-in for an API server (standin.py) plays `CLUSTERS` good ones. The bad cluster's API server is one of `BAD`
(tests/hostile/evil.py). Each operator runs with one of them, the first one with none.
"""

import base64
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import testbed
from dev.cluster import Plane, kubeconfig
from dev.hub.process import HubProcess
from policyhub.findings.identity import finding_id
from tests.bench import shape, standin
from tests.bench.environment import EXTRA, Document, Rows, Size, log, usage
from tests.bench.memory import SECRET, Table, refer
from tests.bench.probe import Sample, percentiles

HOME = "bench-neighbours"
CLUSTERS = 8
BAD = {
    "none": "no bad cluster",
    "drip": "slow: a byte a second",
    "wide": "a page without end",
    "endless": "a listing without end",
    "gzip": "300 MiB in 300 kB",
    "giant": "reports of 7 MiB, again and again",
    "huge": "reports of 10 MiB, again and again",
    "flood": "rewrites as quick as they are read",
    "silent": "accepts connections, never answers",
    "refused": "refuses connections",
}
BAD_SECRET = {"namespace": testbed.NAMESPACE, "name": "bad"}
BAD_NAME = "bad"
SETTLE_SECONDS = 5.0
"""Wait after the good clusters are in sync, so that the bad one has done its worst."""


def neighbours(plane: Plane, size: Size) -> Rows:
    """Run one operator after the other, each with another bad cluster."""
    table = Table()
    with (
        HubProcess.start() as hub,
        tempfile.TemporaryDirectory() as folder,
        standin.running(reports=size.fleet_reports, failing=1) as address,
    ):
        installed = testbed.install(
            plane.cluster(HOME), Path(folder), values={"kubeconfigSecrets": [SECRET, BAD_SECRET]}
        )
        refer(installed, address, names=[_name(number) for number in range(CLUSTERS)])
        [model] = [d for d in installed.documents if d["kind"] == "MonitoredCluster"]
        installed.cluster.request("DELETE", installed.cluster.path(model))
        for mode in size.bad:
            log(BAD[mode])
            hub.reset()
            with (
                bad(installed, mode),
                _monitored(installed, model, bad=mode != "none"),
                testbed.Operator(installed, hub) as operator,
            ):
                samples, cpu = measured(operator, hub, address.url, size)
                operator.kill()
            table.row(f"{BAD[mode]}: fresh violation p50, p99; CPU", f"{percentiles(samples)}; {cpu:.0f} % of a core")
    return table


def measured(operator: testbed.Operator, hub: HubProcess, url: str, size: Size) -> tuple[list[Sample], float]:
    """Delays of the good clusters once they are in sync, and the operator's CPU meanwhile, in percent of a core."""
    operator.start()
    names = [_name(n) for n in range(CLUSTERS)]
    testbed.until(
        lambda: all(operator.metric("policyhub_in_sync", cluster=name) == 1 for name in names),
        seconds=size.minutes * 60,
        what="the good clusters in sync",
        operator=operator,
        every=size.poll,
    )
    time.sleep(min(SETTLE_SECONDS, size.silence))
    since = int(hub._get("journal", limit="0")["last"])
    sent: dict[str, float] = {}
    before, began = usage(operator).cpu, time.monotonic()
    for number in range(EXTRA, EXTRA + size.samples):
        moment = time.time()
        standin.fresh(url, number, second=int(moment))
        sent |= {finding_id(name, shape.identity(number)): moment for name in names}
        time.sleep(size.spacing)
    found: dict[str, float] = {}

    def complete() -> bool:
        for entry in hub.journal(since):
            found.setdefault(entry["id"], entry["time"])
        return found.keys() >= sent.keys()

    testbed.until(complete, seconds=size.minutes * 60, what="the findings", operator=operator, every=size.poll)
    cpu = (usage(operator).cpu - before) / (time.monotonic() - began) * 100
    return [Sample(moment, found[id_] - moment) for id_, moment in sent.items()], cpu


@contextmanager
def bad(installed: testbed.Installed, mode: str) -> Iterator[None]:
    """Start a malicious server of that kind, and write its kubeconfig Secret."""
    with tempfile.TemporaryDirectory() as folder:
        if mode in {"none", "refused"}:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                _refer(installed, free.getsockname()[1], "")
            yield
            return
        with subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-m", "tests.hostile.evil", mode, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=testbed.ROOT,
            text=True,
        ) as process:
            try:
                port = process.stdout.readline().strip() if process.stdout is not None else ""
                _refer(installed, int(port), (Path(folder) / "ca.crt").read_text())
                yield
            finally:
                process.kill()


def _refer(installed: testbed.Installed, port: int, ca: str) -> None:
    config = kubeconfig.with_token(name="bad", url=f"https://127.0.0.1:{port}", ca=ca, token="none")
    data = {"kubeconfig": base64.b64encode(json.dumps(config).encode()).decode()}
    installed.cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": BAD_SECRET, "data": data}])


@contextmanager
def _monitored(installed: testbed.Installed, model: Document, *, bad: bool) -> Iterator[None]:
    home = installed.cluster
    secrets = {name: {**SECRET, "key": name} for name in map(_name, range(CLUSTERS))} | (
        {BAD_NAME: BAD_SECRET} if bad else {}
    )
    made = [
        {
            **model,
            "metadata": {"name": name},
            "spec": {**model["spec"], "connection": {"kubeconfigSecretRef": secret}, "archiveDelay": "1h"},
        }
        for name, secret in secrets.items()
    ]
    home.apply(made)
    try:
        yield
    finally:
        for document in made:
            home.request("DELETE", home.path(document))


def _name(number: int) -> str:
    return f"good-{number}"
