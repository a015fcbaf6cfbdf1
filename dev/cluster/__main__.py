"""python -m dev.cluster up | build | path: starts a Kubernetes API, and builds the programs for it."""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dev.cluster import kubeconfig, toolchain
from dev.cluster.local import StartError
from dev.cluster.plane import open_plane
from policyhub.kube.kubeconfig import KubeconfigError

NAMES = ("alpha", "beta", "gamma", "delta")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start a Kubernetes API; ctrl-c stops it")
    up.add_argument("--name", action="append", help="name of a cluster; may be repeated")
    up.add_argument(
        "--clusters",
        type=int,
        default=1,
        choices=range(1, len(NAMES) + 1),
        help="number of clusters, with default names",
    )
    up.add_argument(
        "--kubeconfig-out", type=Path, help="file for the admin kubeconfig of all clusters; default: a temporary file"
    )
    build = commands.add_parser("build", help="build programs into the cache")
    build.add_argument("programs", nargs="*", metavar="PROGRAM", help="default: the programs of the demo")
    path = commands.add_parser("path", help="print the path of a program; builds it if needed")
    path.add_argument("program", choices=list(toolchain.RECIPES))
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "up":
                return _up(options.name or NAMES[: options.clusters], options.kubeconfig_out)
            case "build":
                for program in options.programs or toolchain.DEMO:
                    _say(f"{program}: {toolchain.ensure(program, progress=_say)}")
            case _:
                print(toolchain.ensure(options.program, progress=_to_stderr))
    except (toolchain.ToolchainError, StartError, KubeconfigError) as error:
        _to_stderr(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _up(names: Sequence[str], wanted: Path | None) -> int:
    ended = threading.Event()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="policyhub-") as folder, open_plane(progress=_say) as plane:
        clusters = [plane.cluster(name) for name in names]
        out = (wanted or Path(folder, "kubeconfig")).absolute()
        kubeconfig.write(kubeconfig.merge([cluster.kubeconfig() for cluster in clusters]), out)
        for cluster in clusters:
            _say(f"{cluster.name}: {cluster.url}, uid {cluster.uid}")
        _say(f"ready after {time.monotonic() - started:.0f} s; ctrl-c stops it:\n\n  export KUBECONFIG={out}\n")
        _on_end(ended.set)
        ended.wait()
        _say("stopping")
        out.unlink(missing_ok=True)
    return 0


def _on_end(end: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end())


def _say(line: str) -> None:
    print(line, flush=True)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
