"""Starts the server: `python -m dev.hub --account 111122223333`. Prints its address, serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import msgspec
from aiohttp import web

from dev.hub.server import application
from dev.hub.service import Service, Settings
from dev.hub.switches import Switches


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dev.hub", description="A local Security Hub stand-in. Not AWS.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--follow-stdin", action="store_true", help="stop when standard input ends")
    parser.add_argument("--port-file", type=Path, help="written with the port once the server answers")
    parser.add_argument(
        "--account", action="append", metavar="ID", help="an account; the first is the default; may be repeated"
    )
    parser.add_argument(
        "--region", action="append", metavar="REGION", help="a Region with Security Hub enabled; may be repeated"
    )
    parser.add_argument("--key", action="append", default=[], type=_pair, metavar="KEY=ACCOUNT")
    parser.add_argument("--strict-keys", action="store_true", help="reject access keys that are not configured")
    parser.add_argument("--role", action="append", default=[], type=_pair, metavar="ARN[=EXTERNAL_ID]")
    parser.add_argument("--no-quotas", action="store_true")
    parser.add_argument("--journal-entries", type=int, default=2_000_000)
    parser.add_argument("--switch", action="append", default=[], type=_pair, metavar="NAME=CHOICE")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    settings = Settings(
        accounts=arguments.account or ["111122223333"],
        regions=arguments.region or ["eu-west-1"],
        keys=dict(arguments.key),
        strict_keys=arguments.strict_keys,
        roles=dict(arguments.role),
        quotas=not arguments.no_quotas,
        journal_entries=arguments.journal_entries,
        switches=msgspec.convert(dict(arguments.switch), Switches),
    )
    asyncio.run(_serve(settings, arguments))


async def _serve(settings: Settings, arguments: argparse.Namespace) -> None:
    service = Service(settings, clock=time.time, monotonic=time.monotonic)
    # No access log: at a thousand findings a second, the journal serves better.
    runner = web.AppRunner(application(service), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port)
    await site.start()
    bound = runner.addresses[0][1]
    port_file: Path | None = arguments.port_file
    if port_file is not None:
        fresh = port_file.with_name(port_file.name + ".new")
        fresh.write_text(str(bound))
        fresh.rename(port_file)
    print(f"http://{arguments.host}:{bound}", flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.follow_stdin:
        threading.Thread(target=_follow, args=(loop, stop), daemon=True).start()
    await stop.wait()
    await runner.cleanup()


def _follow(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended already
        loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
