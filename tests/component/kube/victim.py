"""A process with two clusters, one of them evil: what that costs, and whether the other goes on.

    python -m tests.component.kube.victim <what> <seconds> <evil URL> <sound URL>

`what`: uid, discover, list, or kinds (discovery, then one reflector each). Prints one line of JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from policyhub.kube.connection import Connection
from policyhub.kube.discovery import discover
from policyhub.kube.kubeconfig import Access
from policyhub.kube.reflector import Reflector
from policyhub.kube.resource import Resource
from policyhub.model.source_apis import CONSTRAINTS

REPORTS = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True)


class Sink:
    """Accepts everything, keeps only a count."""

    def __init__(self) -> None:
        self.objects = 0
        self.states: list[Any] = []

    def upsert(self, raw: object) -> None:
        self.objects += 1

    def upsert_during_listing(self, raw: object, *, new: bool) -> None:
        self.objects += 1

    def state(self, state: Any) -> None:
        self.states.append(state)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def memory(name: str) -> int:
    """MiB."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))) // 1024


async def attack(what: str, seconds: float, url: str, output: dict[str, Any]) -> None:
    async with Connection(Access(server=url), connect_seconds=5, read_seconds=5, total_seconds=20) as connection:
        reflectors: list[Reflector] = []
        sinks: list[Sink] = []
        try:
            async with asyncio.timeout(seconds):
                if what == "uid":
                    await connection.cluster_uid()
                found = await discover(connection, {CONSTRAINTS}) if what in {"discover", "kinds"} else None
                if found is not None:
                    output["served"], output["unknown"] = len(found.served), found.unknown
                resources = [REPORTS] if what == "list" else list(found.served if found and what == "kinds" else ())
                for resource in resources:
                    sinks.append(Sink())
                    reflectors.append(Reflector(connection, resource, sinks[-1]))
                async with asyncio.TaskGroup() as tasks:
                    for reflector in reflectors:
                        tasks.create_task(reflector.run())
        except TimeoutError:
            output["timeout"] = True
        except Exception as error:  # noqa: BLE001  (whatever comes is the answer)
            output["error"] = f"{type(error).__name__}: {error}"
        output["objects"] = sum(sink.objects for sink in sinks)
        output["reasons"] = sorted({f"{s.reason}: {s.message}" for sink in sinks for s in sink.states if s.reason})[:3]
        output["files"] = len(list(Path("/proc/self/fd").iterdir()))  # noqa: ASYNC240  (no file system)


async def sound(url: str, output: dict[str, Any]) -> None:
    """A cluster that is queried every 20 ms, and watched."""
    output["longest"] = 0.0
    output["answers"] = 0
    sink = Sink()
    async with Connection(Access(server=url)) as connection, asyncio.TaskGroup() as tasks:
        tasks.create_task(Reflector(connection, REPORTS, sink).run())
        while True:
            started = time.monotonic()
            await connection.get("/version")
            output["longest"] = round(max(output["longest"], time.monotonic() - started), 3)
            output["answers"] += 1
            output["seen"] = sink.objects
            await asyncio.sleep(0.02)


async def main(what: str, seconds: str, evil: str, good: str) -> None:
    output: dict[str, Any] = {}
    healthy = asyncio.create_task(sound(good, output))
    await asyncio.sleep(0.5)
    output["before"] = memory("VmRSS")
    await attack(what, float(seconds), evil, output)
    await asyncio.sleep(0.1)
    if healthy.done():
        healthy.result()
    output["peak"] = memory("VmHWM")
    sys.stdout.write(json.dumps(output) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
