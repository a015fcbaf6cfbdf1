"""Attacks by others than the tenant: whoever reaches /metrics, whoever may write a kubeconfig Secret, whoever runs one
of the clusters. All on loopback.
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
from dev.stand import ROOT
from tests.hostile.arena import EVIL, Arena
from tests.hostile.evil import MODES
from tests.hostile.scenario import Stage, scenario
from tests.hostile.tenant import report, result
from tests.integration.operator.world import CLUSTERS

READERS = 400
ASKED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\n\r\n"
NOT_WELL = (f"{EVIL}: Ready=(False|Unknown)",)
"""What the status of the cluster in question has to say; Unknown: while nothing has come to its end yet."""
LOGIN = (
    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
)


@scenario("readers that do not read", says=(), seconds=20)
def readers(stage: Stage) -> None:
    """Four hundred clients that ask for /metrics thirty times each and read nothing, beside thousands that hang up, and
    as many series as one namespace can make.
    """
    results = [result(f"series-{n}-" + "p" * 60, "one", severity="high") for n in range(1_500)]
    stage.tenant.put(report("series", *results))
    time.sleep(3)  # the series are there when they are asked for
    port = stage.arena.world.operator.port
    held = []
    for _ in range(READERS):
        if stage.over:
            break
        with contextlib.suppress(OSError):
            client = stage.stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.settimeout(2)
            client.connect(("127.0.0.1", port))
            client.sendall(ASKED * 30)
            held.append(client)
    while not stage.over:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(ASKED)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"GET /" + b"x" * 100_000)
        time.sleep(0.01)  # some hundred a second are enough: the machine is to be left for the others


def _join(stage: Stage, text: bytes) -> None:
    """The Secret and its MonitoredCluster; the MonitoredCluster goes with the scenario."""
    stage.arena.secret(EVIL, text)
    stage.arena.watch(EVIL)


def _bomb(member: str, *, merge: bool = False) -> bytes:
    first = "a0: &a0 {a: 1, b: 2}\n" if merge else f"a0: &a0 [{','.join('x' * 10)}]\n"
    below = [",".join([f"*a{n - 1}"] * 10) for n in range(1, 9)]
    levels = [f"a{n}: &a{n} " + (f"{{<<: [{b}]}}\n" if merge else f"[{b}]\n") for n, b in enumerate(below, 1)]
    last = f", {member}: *a8" if member else ""
    return (
        first + "".join(levels) + LOGIN + f"clusters: [{{name: k, cluster: {{server: 'https://h'{last}}}}}]\n"
    ).encode()


@scenario("kubeconfig bombs", says=NOT_WELL, seconds=20)
def bombs(stage: Stage) -> None:
    """Kubeconfigs of some hundred bytes that are gigabytes once their aliases are followed."""
    for number, text in enumerate(
        (_bomb("certificate-authority-data"), _bomb("tls-server-name"), _bomb("", merge=True), _bomb("proxy-url"))
    ):
        _join(stage, text)
        time.sleep(3 if number else 5)  # as long as the operator may take to hear of it


@scenario("kubeconfigs that are none", says=NOT_WELL, seconds=20)
def kubeconfigs(stage: Stage) -> None:
    """Other types than a kubeconfig has, nothing but brackets, a Secret as large as there can be, http to loopback."""
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
        _join(stage, text)
        if stage.over:
            break
        time.sleep(1.5)  # so that each of them is read


def _run(stage: Stage, mode: str) -> None:
    folder = Path(stage.stack.enter_context(tempfile.TemporaryDirectory()))
    process = subprocess.Popen(  # noqa: S603  (our own module)
        [sys.executable, "-m", "tests.hostile.evil", mode, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    stage.stack.callback(_end, process)
    port = process.stdout.readline().strip() if process.stdout is not None else ""
    ca = (folder / "ca.crt").read_text()
    config = kubeconfig.with_token(name="evil", url=f"https://127.0.0.1:{port}", ca=ca, token="t")
    _join(stage, json.dumps(config).encode())
    while not stage.over:
        time.sleep(0.5)  # the evil server does the work: this thread has only to end with the scenario


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _server(mode: str) -> None:
    def attack(stage: Stage) -> None:
        _run(stage, mode)

    attack.__doc__ = f"A monitored cluster whose API server means harm: {mode} (see `evil`)."
    scenario(f"API server: {mode}", says=NOT_WELL, seconds=20)(attack)


for _mode in MODES:
    _server(_mode)


def leave(arena: Arena) -> None:
    """The evil cluster is no longer watched."""
    cluster = arena.world.cluster
    if any(item["metadata"]["name"] == EVIL for item in cluster.request("GET", CLUSTERS)["items"]):
        cluster.request("DELETE", f"{CLUSTERS}/{EVIL}")
