"""One run of `policyhub render`: what it reads, what it writes, and its exit code.

| exit code | meaning                                                                         |
|-----------|---------------------------------------------------------------------------------|
| 0         | everything was read                                                             |
| 1         | something could not be read: standard error names it; the rest was rendered     |
| 2         | nothing could be read, or the options are invalid                               |

Findings go to standard output, everything else to standard error.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import yaml

from policyhub.clock import WallMs
from policyhub.kube.resource import Resource
from policyhub.model.source_apis import SOURCE_GROUPS, is_constraint
from policyhub.model.text import capped
from policyhub.render import output, summary
from policyhub.render.collector import Collector
from policyhub.render.composer import compose
from policyhub.render.output import Form
from policyhub.render.raw_object import LOADER, YAML_SUFFIXES, Location, RawObject, ReadError, inputs
from policyhub.render.scanner import scan
from policyhub.render.target import Target, TargetError, target
from policyhub.sync.owners import Unresolved

STDIN = "<stdin>"
_LONGEST = 4_000
"""Characters of a message at most: it may quote a long text of an object."""
_MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some editors and shells write."""


_NOT_ROLLED_UP = {
    Unresolved.DELETED: "their Pods, ReplicaSets or Jobs are not in the input and are treated as deleted",
    Unresolved.IDLE: "newer ReplicaSets or Jobs have replaced theirs",
    Unresolved.UNKNOWN: "the owners of their Pods, ReplicaSets or Jobs are not in the input",
}
"""Why violations do not become findings."""


class SessionError(Exception):
    """Nothing can be read; the message is the reason."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The options."""

    files: list[str]
    live: bool
    context: str | None
    kubeconfig: str | None
    form: Form | None
    explain: bool
    summary: bool
    changes_per_day: float | None
    monitored_cluster: str | None
    flags: dict[str, Any]
    """Values of the target by flags; None: not given."""
    settings: dict[str, Any] = {}
    """Values of the target that neither a flag nor the MonitoredCluster sets."""
    now: WallMs
    """UpdatedAt of the findings, in Unix milliseconds."""


def run(request: Request) -> int:
    try:
        collector = asyncio.run(_live(request)) if request.live else _read(request)
        _notes(collector, live=request.live)
        _write(request, collector)
        sys.stdout.flush()
    except (SessionError, TargetError) as error:
        for line in str(error).splitlines():
            say_on_stderr(line)
        return 2
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 1 if collector.unreadable else 0


def say_on_stderr(what: object) -> None:
    sys.stderr.write(f"policyhub: {capped(str(what), _LONGEST)}\n")


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(request: Request) -> Collector:
    given = request.files or ["-"]
    if not request.files and sys.stdin.isatty():
        raise SessionError("nothing to read: give files, pipe objects in, or read a cluster (--live, --context)")
    collector = _collector(request, _target(request))
    for name in inputs(given):
        found = False
        with contextlib.closing(read_objects(name)) as read:
            for item in read:
                found = True
                _take(collector, item)
        if not found:
            _take(collector, ReadError(Location(STDIN if name == "-" else name), "is empty"))
    collector.finish(owners=collector.owned > 0)
    _nothing_read(collector)
    return collector


def read_objects(name: str) -> Generator[RawObject | ReadError, None, None]:
    """Every object of a file or of standard input (`-`), and every read error."""
    if name == "-":
        yield from _parsed(sys.stdin.buffer, STDIN)
        return
    try:
        with Path(name).open("rb") as stream:
            yield from _parsed(stream, name)
    except OSError as error:
        yield ReadError(Location(name), error.strerror or str(error))


def _parsed(stream: BinaryIO, name: str) -> Iterator[RawObject | ReadError]:
    """Read YAML if the name has a YAML suffix or the text does not begin like JSON; else read JSON."""
    head = b""
    while not head.removeprefix(_MARK).strip() and (chunk := stream.read(1 << 16)):
        head += chunk
    head = head.removeprefix(_MARK)
    is_yaml = Path(name).suffix in YAML_SUFFIXES or not head.lstrip().startswith((b"{", b"["))
    return (compose if is_yaml else scan)(stream, name, begun=head)


async def _live(request: Request) -> Collector:
    # aiohttp loads only if a cluster is read.
    from policyhub.kube import user_kubeconfig
    from policyhub.kube.connection import Connection, Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.render.listing import listing

    try:
        connection = await Connection.from_file(request.kubeconfig or user_kubeconfig.DEFAULT, context=request.context)
        async with connection:
            uid = await _uid(request, connection.cluster_uid, Refused)
            resolved = _target(request, uid=uid)
            collector = _collector(request, resolved)
            if resolved.enrichment:
                await _policies(connection, collector)
            await listing(connection, resolved.groups, partial(_take, collector))
            complete = resolved.roll_up and await _owners(connection, collector)
            collector.finish(owners=complete)
    except (Refused, Unreachable, KubeconfigError) as error:
        raise SessionError(error) from error
    if collector.unreadable and not collector.objects:
        raise SessionError("nothing could be read")
    return collector


async def _policies(connection: Any, collector: Collector) -> None:
    """Read the texts of policies, before the reports that name them."""
    from policyhub.render.listing import policies

    def take(resource: Resource, item: RawObject | ReadError) -> None:
        if isinstance(item, ReadError):
            say_on_stderr(f"these policies cannot be read, so findings lack their titles and descriptions: {item}")
        else:
            collector.add_policy(item, resource)

    await policies(connection, collector.target.groups, take)


async def _owners(connection: Any, collector: Collector) -> bool:
    """Read the owners; returns whether all could be read."""
    from policyhub.render.listing import owners

    failed: list[ReadError] = []

    def take(resource: Resource, item: RawObject | ReadError) -> None:
        if isinstance(item, ReadError):
            failed.append(item)
            say_on_stderr(item)
        else:
            collector.add_owner(item, resource)

    await owners(connection, take)
    return not failed


async def _uid(request: Request, ask: Callable[[], Any], refused: type[Exception]) -> str:
    if request.flags.get("cluster_uid"):
        return ""
    try:
        return str(await ask())
    except refused as error:
        say_on_stderr(f"findings contain a placeholder uid, because the namespace kube-system cannot be read: {error}")
        return ""


def _target(request: Request, *, uid: str = "") -> Target:
    name = request.monitored_cluster
    if name is None:
        return target(request.flags, settings=request.settings, uid=uid)
    try:
        with Path(name).open("rb") as stream:
            document = yaml.load(stream, Loader=LOADER)  # noqa: S506  (a safe loader, libyaml's)
    except (OSError, yaml.YAMLError) as error:
        raise SessionError(f"{name}: {' '.join(str(error).split())}") from error
    return target(request.flags, settings=request.settings, document=document, file=name, uid=uid)


def _collector(request: Request, resolved: Target) -> Collector:
    return Collector(resolved, now=request.now, report_error=say_on_stderr, keep=request.explain)


def _take(collector: Collector, item: RawObject | ReadError) -> None:
    if isinstance(item, ReadError):
        collector.fail(item)
    else:
        collector.take(item)


def _nothing_read(collector: Collector) -> None:
    """Raise if no source object was read. An empty list is a valid input; objects of other kinds alone are not."""
    if not collector.objects and (collector.unreadable or collector.others):
        _notes(collector)
        raise SessionError(
            "nothing to render: no report and no constraint could be read"
            " (kubectl writes complete objects with -o json or -o yaml)"
        )


# -- notes ------------------------------------------------------------------------------------------------------------


def _notes(collector: Collector, *, live: bool = False) -> None:
    """Report what did not become a finding, and why."""
    if collector.others:
        say_on_stderr(f"ignored objects that are neither reports nor constraints: {_counted(collector.others)}")
    for api_version, number in collector.versions.items():
        group = api_version.partition("/")[0]
        say_on_stderr(
            f"objects of {api_version} that were rendered: {number}; in a cluster, the operator reads only"
            f" {' or '.join(SOURCE_GROUPS[group].versions)}"
        )
    if collector.left_out:
        say_on_stderr(f"filtered out: {_counted(collector.left_out)}")
    if collector.rolled_up and collector.rollup is not None and collector.owners.forbidden:
        how = "" if live else f" (to read them: {_kubectl(collector)})"
        number = collector.rolled_up.total()
        say_on_stderr(f"not rolled up, because their Pods, ReplicaSets and Jobs were not read: {number}{how}")
    for reason, number in collector.without_owner().items():
        say_on_stderr(f"ignored violations: {number}; {_NOT_ROLLED_UP[reason]}")
    if collector.unlisted:
        number = collector.unlisted
        say_on_stderr(f"violations not rendered, because constraints count but do not list them: {number}")
    for engine, group in sorted({(engine, group) for engine, group, _ in collector.ledger.desired.superseded}):
        say_on_stderr(f"ignored the reports of {engine} in {group}: the engine now writes to another API")


def _kubectl(collector: Collector) -> str:
    """The kubectl command that reads the same objects and their owners."""
    sources = {
        "constraints" if is_constraint(source_api) else source_api.split(".")[0] for source_api in collector.objects
    }
    return f"kubectl get {','.join((*sorted(sources), 'pods', 'replicasets', 'jobs'))} -A -o json"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(request: Request, collector: Collector) -> None:
    out = sys.stdout.buffer
    form = request.form
    console = output.console(limited=sys.stdout.isatty() or "COLUMNS" in os.environ)
    show = partial(output.show, sys.stdout, console)
    if request.summary:
        if form in {"json", "jsonl"}:
            document = summary.document(collector, changes_per_day=request.changes_per_day)
            out.write(output.pretty(document) + b"\n" if form == "json" else msgspec.json.encode(document) + b"\n")
        else:
            show(summary.text(collector, changes_per_day=request.changes_per_day))
    elif request.explain and form in {None, "table"}:
        for part in output.explanations(collector, width=console.width):
            show(part)
    elif form == "table":
        show(output.table(collector, width=console.width))
    else:
        documents: Any = output.explained(collector) if request.explain else (f for _, f in collector.findings())
        (output.array if form == "json" else output.lines)(out, documents)
    out.flush()
