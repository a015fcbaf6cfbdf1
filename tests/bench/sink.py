"""A hub that acknowledges every import and stores none: for a million findings, and to measure the caller's cost of a
call.

`python -m tests.bench.sink` prints its URL and ends with its standard input. Its inventory is empty.
"""

import asyncio
import re
import ssl
import subprocess
import sys
import tempfile
import threading

import msgspec
from aiohttp import web

from dev import testbed
from dev.hub.process import HubProcess

BIGGEST = 8 << 20
"""Maximum bytes of a call; BatchImportFindings accepts 6 MB."""
BACKLOG = 4_096
"""The listen backlog: a fleet opens thousands of connections at once, and retries a lost one only after seconds."""
_ID = b'"SchemaVersion"'
"""Occurs once in each finding."""
_ACCOUNT = re.compile(r"AKIA(\d{12})/")


class Sink:
    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._findings = 0

    async def imported(self, request: web.Request) -> web.Response:
        number = (await request.read()).count(_ID)
        self._called("BatchImportFindings")
        self._findings += number
        return _answer({"FailedCount": 0, "SuccessCount": number, "FailedFindings": []})

    async def found(self, request: web.Request) -> web.Response:
        await request.read()
        self._called("GetFindings")
        return _answer({"Findings": []})

    async def identity(self, request: web.Request) -> web.Response:
        match = _ACCOUNT.search(request.headers.get("Authorization", ""))
        account = match[1] if match else testbed.ACCOUNT
        body = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{account}:user/bench</Arn><UserId>bench</UserId><Account>{account}</Account>"
            "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
            "</GetCallerIdentityResponse>"
        )
        return web.Response(text=body, content_type="text/xml")

    async def stats(self, _: web.Request) -> web.Response:
        calls = {name: {"200": number} for name, number in self._calls.items()}
        return _answer({"calls": calls, "record_states": {"ACTIVE": self._findings}, "redundant": 0})

    def _called(self, operation: str) -> None:
        self._calls[operation] = self._calls.get(operation, 0) + 1


def _answer(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def start() -> HubProcess:
    """Start the hub as a separate process; returns the environment for an AWS SDK as with the local hub."""
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (lives as long as the process)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=testbed.ROOT,
        text=True,
    )
    url = process.stdout.readline().strip() if process.stdout is not None else ""
    hub = HubProcess(process, url, (testbed.ACCOUNT,), (testbed.REGION,), errors)
    if not url:
        hub.stop()
        raise RuntimeError("the acknowledging hub did not start")
    return hub


async def serve(app: web.Application, *, tls: ssl.SSLContext | None = None) -> None:
    """Serve on a free port of 127.0.0.1, which is printed, until standard input ends. `tls`: on another port over TLS
    too.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    if tls is not None:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=BACKLOG).start()
        print(f"https://127.0.0.1:{runner.addresses[1][1]}", flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def follow() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=follow, daemon=True).start()
    await ended.wait()
    await runner.cleanup()


def application() -> web.Application:
    sink = Sink()
    app = web.Application(client_max_size=BIGGEST)
    app.router.add_post("/findings/import", sink.imported)
    app.router.add_post("/findings", sink.found)
    app.router.add_post("/", sink.identity)
    app.router.add_get("/_control/stats", sink.stats)
    return app


if __name__ == "__main__":
    asyncio.run(serve(application()))
