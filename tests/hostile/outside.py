"""Attacks by others than the tenant: clients of /metrics, writers of a kubeconfig Secret, owners of a monitored
cluster. All on loopback.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dev.cluster import kubeconfig
from dev.testbed import ROOT
from tests.hostile.evil import MODES
from tests.hostile.harness import EVIL, Harness
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import report, result
from tests.integration.operator.world import CLUSTERS

READERS = 400
ASKED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
NOT_WELL = (f"{EVIL}: Ready=(False|Unknown)",)
"""The attacked cluster's status must have one of these; Unknown: while no attempt has finished yet."""
LOGIN = (
    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
)


@scenario("readers that do not read", expected_texts=(), seconds=20)
def readers(context: Context) -> None:
    """Four hundred clients request /metrics thirty times each and read nothing, thousands of others hang up, and one
    namespace makes as many series as it can.
    """
    results = [result(f"series-{n}-" + "p" * 60, "one", severity="high") for n in range(1_500)]
    context.tenant.put(report("series", *results))
    time.sleep(3)  # the series exist before they are requested
    port = context.harness.world.operator.port
    held = []
    for _ in range(READERS):
        if context.over:
            break
        with contextlib.suppress(OSError):
            client = context.stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.settimeout(2)
            client.connect(("127.0.0.1", port))
            client.sendall(ASKED * 30)
            held.append(client)
    while not context.over:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(ASKED)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"GET /" + b"x" * 100_000)
        time.sleep(0.01)  # a few hundred a second are enough: other processes need the machine too


def _join(context: Context, text: bytes) -> None:
    """Create the Secret and its MonitoredCluster; the MonitoredCluster is deleted after the scenario."""
    context.harness.secret(EVIL, text)
    context.harness.watch(EVIL)


def _bomb(member: str, *, merge: bool = False) -> bytes:
    first = "a0: &a0 {a: 1, b: 2}\n" if merge else f"a0: &a0 [{','.join('x' * 10)}]\n"
    below = [",".join([f"*a{n - 1}"] * 10) for n in range(1, 9)]
    levels = [f"a{n}: &a{n} " + (f"{{<<: [{b}]}}\n" if merge else f"[{b}]\n") for n, b in enumerate(below, 1)]
    last = f", {member}: *a8" if member else ""
    return (
        first + "".join(levels) + LOGIN + f"clusters: [{{name: k, cluster: {{server: 'https://h'{last}}}}}]\n"
    ).encode()


@scenario("kubeconfig bombs", expected_texts=NOT_WELL, seconds=20)
def bombs(context: Context) -> None:
    """Kubeconfigs of a few hundred bytes that expand to gigabytes through YAML aliases."""
    for number, text in enumerate(
        (_bomb("certificate-authority-data"), _bomb("tls-server-name"), _bomb("", merge=True), _bomb("proxy-url"))
    ):
        _join(context, text)
        time.sleep(3 if number else 5)  # the time that the operator may take to notice the Secret


@scenario("invalid kubeconfigs", expected_texts=NOT_WELL, seconds=20)
def kubeconfigs(context: Context) -> None:
    """Kubeconfigs with wrong types, only brackets, a Secret of the maximum size, http to loopback."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
    }
    texts = [
        json.dumps(config).encode(),
        json.dumps({**config, "users": [{"name": "u", "user": {"token": ["t"] * 1_000}}]}).encode(),
        json.dumps({**config, "clusters": {"name": 7}}).encode(),
        json.dumps({**config, "contexts": [[], 1, None, {"name": {}}]}).encode(),
        b"[" * 100_000,
        b"{" * 100_000,
        b"- " * 300_000,
        b"? " * 200_000,
        b"x: " + b"9" * 600_000,
        b"\xff\xfe\x00",
        b"!!python/object/apply:os.system ['true']",
        b"a: " + b"'" * 700_000,
    ]
    for text in texts:
        _join(context, text)
        if context.over:
            break
        time.sleep(1.5)  # so that the operator reads each of them


def _run(context: Context, mode: str) -> None:
    folder = Path(context.stack.enter_context(tempfile.TemporaryDirectory()))
    process = subprocess.Popen(  # noqa: S603  (our own module)
        [sys.executable, "-m", "tests.hostile.evil", mode, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    context.stack.callback(_end, process)
    port = process.stdout.readline().strip() if process.stdout is not None else ""
    ca = (folder / "ca.crt").read_text()
    config = kubeconfig.with_token(name="evil", url=f"https://127.0.0.1:{port}", ca=ca, token="t")
    _join(context, json.dumps(config).encode())
    while not context.over:
        time.sleep(0.5)  # the malicious server does the work; this thread only ends with the scenario


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _server(mode: str) -> None:
    def attack(context: Context) -> None:
        _run(context, mode)

    attack.__doc__ = f"A monitored cluster whose API server means harm: {mode} (see `evil`)."
    scenario(f"API server: {mode}", expected_texts=NOT_WELL, seconds=20)(attack)


for _mode in MODES:
    _server(_mode)


def leave(harness: Harness) -> None:
    """Stop watching the attacker's cluster."""
    cluster = harness.world.cluster
    if any(item["metadata"]["name"] == EVIL for item in cluster.request("GET", CLUSTERS)["items"]):
        cluster.request("DELETE", f"{CLUSTERS}/{EVIL}")
