"""One run of `policyhub render`: what it reads, what it writes, and its exit code.

    0   everything was read
    1   something could not be read: it was named on standard error, the rest was rendered
    2   nothing could be read, or what was asked for cannot be

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
from policyhub.render import output, summary
from policyhub.render.collector import Collector
from policyhub.render.composer import compose
from policyhub.render.output import Form
from policyhub.render.raw_object import LOADER, YAML_SUFFIXES, Location, RawObject, ReadError, inputs
from policyhub.render.scanner import scan
from policyhub.render.target import Target, TargetError, target
from policyhub.sources.source_apis import SOURCE_GROUPS, is_constraint
from policyhub.sources.text import capped
from policyhub.sync.owners import Unresolved

STDIN = "<stdin>"
_LONGEST = 4_000
"""Characters of a message: what it repeats of an object may be long."""
_MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, as some editors and shells write it."""


_UNCOUNTED = {
    Unresolved.GONE: "the Pods, ReplicaSets and Jobs that they are about were not read, so they are gone",
    Unresolved.IDLE: "newer ReplicaSets and Jobs have taken the place of those that they are about",
    Unresolved.UNKNOWN: "what owns the Pods, ReplicaSets and Jobs that they are about was not read",
}
"""Why violations count for nothing."""


class SessionError(Exception):
    """Nothing can be read, or what was asked for cannot be; the message says why."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

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
    """Of the target; None where not given."""
    settings: dict[str, Any] = {}
    """Of the target, where neither a flag nor the MonitoredCluster says it."""
    now: WallMs
    """Unix milliseconds: what the findings have as UpdatedAt."""


def run(request: Request) -> int:
    try:
        intake = asyncio.run(_live(request)) if request.live else _read(request)
        _notes(intake, live=request.live)
        _write(request, intake)
        sys.stdout.flush()
    except (SessionError, TargetError) as error:
        for line in str(error).splitlines():
            say_on_stderr(line)
        return 2
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 1 if intake.unreadable else 0


def say_on_stderr(what: object) -> None:
    sys.stderr.write(f"policyhub: {capped(str(what), _LONGEST)}\n")


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(request: Request) -> Collector:
    given = request.files or ["-"]
    if not request.files and sys.stdin.isatty():
        raise SessionError("nothing to read: name files, pipe objects in, or name a cluster (--live, --context)")
    intake = _intake(request, _target(request))
    for name in inputs(given):
        found = False
        with contextlib.closing(pieces(name)) as read:
            for piece in read:
                found = True
                _take(intake, piece)
        if not found:
            _take(intake, ReadError(Location(STDIN if name == "-" else name), "there is nothing in it"))
    intake.finish(owners=intake.owned > 0)
    _nothing_read(intake)
    return intake


def pieces(name: str) -> Generator[RawObject | ReadError, None, None]:
    """Every object of a file, or of standard input (`-`), and every place that could not be read."""
    if name == "-":
        yield from _sniffed(sys.stdin.buffer, STDIN)
        return
    try:
        with Path(name).open("rb") as stream:
            yield from _sniffed(stream, name)
    except OSError as error:
        yield ReadError(Location(name), error.strerror or str(error))


def _sniffed(stream: BinaryIO, name: str) -> Iterator[RawObject | ReadError]:
    """YAML by its name, or since it begins as JSON cannot."""
    head = b""
    while not head.removeprefix(_MARK).strip() and (chunk := stream.read(1 << 16)):
        head = head.lstrip() + chunk if head.strip() else head + chunk
    head = head.removeprefix(_MARK)
    is_yaml = Path(name).suffix in YAML_SUFFIXES or not head.lstrip().startswith((b"{", b"["))
    return compose(_Begun(head, stream), name) if is_yaml else scan(_Begun(head, stream), name)


class _Begun:
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._stream.read(size)


async def _live(request: Request) -> Collector:
    # aiohttp loads where there is a cluster to ask.
    from policyhub.kube import user_kubeconfig
    from policyhub.kube.connection import Connection, Refused, Unreachable
    from policyhub.kube.kubeconfig import KubeconfigError
    from policyhub.render.listing import listing

    try:
        connection = await Connection.from_file(request.kubeconfig or user_kubeconfig.DEFAULT, context=request.context)
        async with connection:
            uid = await _uid(request, connection.cluster_uid, Refused)
            wanted = _target(request, uid=uid)
            intake = _intake(request, wanted)
            if wanted.enrichment:
                await _policies(connection, intake)
            async for piece in listing(connection, wanted.groups):
                _take(intake, piece)
            known = wanted.roll_up and await _owners(connection, intake)
            intake.finish(owners=known)
    except (Refused, Unreachable, KubeconfigError) as error:
        raise SessionError(error) from error
    if intake.unreadable and not intake.objects:
        raise SessionError("nothing could be read")
    return intake


async def _policies(connection: Any, intake: Collector) -> None:
    """What they say of themselves, before anything that names them is read."""
    from policyhub.render.listing import policies

    async for resource, piece in policies(connection, intake.target.groups):
        if isinstance(piece, ReadError):
            say_on_stderr(f"what these policies say of themselves is not known: {piece}")
        else:
            intake.add_policy(piece, resource)


async def _owners(connection: Any, intake: Collector) -> bool:
    """Whether what counts for what could be read."""
    from policyhub.render.listing import owners

    known = True
    async for resource, piece in owners(connection):
        if isinstance(piece, ReadError):
            known = False
            say_on_stderr(piece)
        else:
            intake.add_owner(piece, resource)
    return known


async def _uid(request: Request, ask: Callable[[], Any], refused: type[Exception]) -> str:
    if request.flags.get("cluster_uid"):
        return ""
    try:
        return str(await ask())
    except refused as error:
        say_on_stderr(f"the cluster's uid is a placeholder, since namespace kube-system cannot be read: {error}")
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


def _intake(request: Request, wanted: Target) -> Collector:
    return Collector(wanted, now=request.now, report_error=say_on_stderr, keep=request.explain)


def _take(intake: Collector, piece: RawObject | ReadError) -> None:
    if isinstance(piece, ReadError):
        intake.fail(piece)
    else:
        intake.take(piece)


def _nothing_read(intake: Collector) -> None:
    """A list without items is something; objects of other kinds alone are not."""
    if not intake.objects and (intake.unreadable or intake.others):
        _notes(intake)
        raise SessionError(
            "nothing to render: no report and no constraint could be read"
            " (kubectl writes them whole with -o json or -o yaml)"
        )


# -- telling ----------------------------------------------------------------------------------------------------------


def _notes(intake: Collector, *, live: bool = False) -> None:
    """What a person should know who wonders where something is."""
    if intake.others:
        say_on_stderr(f"not read, being neither reports nor constraints: {_counted(intake.others)}")
    for api_version, number in intake.versions.items():
        group = api_version.partition("/")[0]
        say_on_stderr(
            f"{number} of {api_version}: in a cluster the operator reads {' or '.join(SOURCE_GROUPS[group].versions)}"
        )
    if intake.left_out:
        say_on_stderr(f"left out, since not asked for: {_counted(intake.left_out)}")
    if intake.rolled and intake.rollup is not None and intake.owners.forbidden:
        how = "" if live else f" (with them: {_kubectl(intake)})"
        why = "since their owners are not known"
        say_on_stderr(f"counted for Pods, ReplicaSets and Jobs themselves, {why}: {intake.rolled.total()}{how}")
    for reason, number in intake.without_owner().items():
        say_on_stderr(f"left out, since {_UNCOUNTED[reason]}: {number}")
    if intake.unlisted:
        say_on_stderr(f"counted by constraints and not listed, so not rendered: {intake.unlisted}")
    for engine, group in sorted({(engine, group) for engine, group, _ in intake.ledger.desired.superseded}):
        say_on_stderr(f"the reports of {engine} in {group} say nothing any more: it writes to another API since")


def _kubectl(intake: Collector) -> str:
    """The command that gets what was read together with what says whose it is."""
    sources = {"constraints" if is_constraint(origin) else origin.split(".")[0] for origin in intake.objects}
    return f"kubectl get {','.join((*sorted(sources), 'pods', 'replicasets', 'jobs'))} -A -o json"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{number} {name}" for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(request: Request, intake: Collector) -> None:
    out = sys.stdout.buffer
    form = request.form
    console = output.console(limited=sys.stdout.isatty() or "COLUMNS" in os.environ)
    show = partial(output.show, sys.stdout, console)
    if request.summary:
        if form in {"json", "jsonl"}:
            told = summary.document(intake, changes_per_day=request.changes_per_day)
            out.write(output.pretty(told) + b"\n" if form == "json" else msgspec.json.encode(told) + b"\n")
        else:
            show(summary.text(intake, changes_per_day=request.changes_per_day))
    elif request.explain and form in {None, "table"}:
        for part in output.explanations(intake, width=console.width):
            show(part)
    elif form == "table":
        show(output.table(intake, width=console.width))
    else:
        documents: Any = output.explained(intake) if request.explain else (f for _, f in intake.findings())
        (output.array if form == "json" else output.lines)(out, documents)
    out.flush()
