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


_UNCOUNTED = {
    Unresolved.GONE: "their Pods, ReplicaSets or Jobs are not in the input, so they count as deleted",
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
        intake = asyncio.run(_live(request)) if request.live else _read(request)
        _notes(intake, live=request.live)
        _write(request, intake)
        sys.stdout.flush()
    except (SessionError, TargetError) as error:
        for line in str(error).splitlines():
            say_on_stderr(line)
        return 2
    except BrokenPipeError:  # the reader has closed the pipe
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
            _take(intake, ReadError(Location(STDIN if name == "-" else name), "is empty"))
    intake.finish(owners=intake.owned > 0)
    _nothing_read(intake)
    return intake


def pieces(name: str) -> Generator[RawObject | ReadError, None, None]:
    """Every object of a file or of standard input (`-`), and every read error."""
    if name == "-":
        yield from _sniffed(sys.stdin.buffer, STDIN)
        return
    try:
        with Path(name).open("rb") as stream:
            yield from _sniffed(stream, name)
    except OSError as error:
        yield ReadError(Location(name), error.strerror or str(error))


def _sniffed(stream: BinaryIO, name: str) -> Iterator[RawObject | ReadError]:
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
            wanted = _target(request, uid=uid)
            intake = _intake(request, wanted)
            if wanted.enrichment:
                await _policies(connection, intake)
            await listing(connection, wanted.groups, partial(_take, intake))
            known = wanted.roll_up and await _owners(connection, intake)
            intake.finish(owners=known)
    except (Refused, Unreachable, KubeconfigError) as error:
        raise SessionError(error) from error
    if intake.unreadable and not intake.objects:
        raise SessionError("nothing could be read")
    return intake


async def _policies(connection: Any, intake: Collector) -> None:
    """Read the texts of policies, before the reports that name them."""
    from policyhub.render.listing import policies

    def take(resource: Resource, piece: RawObject | ReadError) -> None:
        if isinstance(piece, ReadError):
            say_on_stderr(f"the texts of these policies cannot be read: {piece}")
        else:
            intake.add_policy(piece, resource)

    await policies(connection, intake.target.groups, take)


async def _owners(connection: Any, intake: Collector) -> bool:
    """Read the owners; returns whether all could be read."""
    from policyhub.render.listing import owners

    failed: list[ReadError] = []

    def take(resource: Resource, piece: RawObject | ReadError) -> None:
        if isinstance(piece, ReadError):
            failed.append(piece)
            say_on_stderr(piece)
        else:
            intake.add_owner(piece, resource)

    await owners(connection, take)
    return not failed


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
    """Raise if no source object was read. An empty list is a valid input; objects of other kinds alone are not."""
    if not intake.objects and (intake.unreadable or intake.others):
        _notes(intake)
        raise SessionError(
            "nothing to render: no report and no constraint could be read"
            " (kubectl writes them whole with -o json or -o yaml)"
        )


# -- notes ------------------------------------------------------------------------------------------------------------


def _notes(intake: Collector, *, live: bool = False) -> None:
    """Report what did not become a finding, and why."""
    if intake.others:
        say_on_stderr(f"ignored objects that are neither reports nor constraints: {_counted(intake.others)}")
    for api_version, number in intake.versions.items():
        group = api_version.partition("/")[0]
        say_on_stderr(
            f"{number} of {api_version}: in a cluster the operator reads {' or '.join(SOURCE_GROUPS[group].versions)}"
        )
    if intake.left_out:
        say_on_stderr(f"filtered out: {_counted(intake.left_out)}")
    if intake.rolled_up and intake.rollup is not None and intake.owners.forbidden:
        how = "" if live else f" (to read them: {_kubectl(intake)})"
        number = intake.rolled_up.total()
        say_on_stderr(f"not rolled up, since their Pods, ReplicaSets and Jobs were not read: {number}{how}")
    for reason, number in intake.without_owner().items():
        say_on_stderr(f"ignored violations: {number}; {_UNCOUNTED[reason]}")
    if intake.unlisted:
        say_on_stderr(f"violations that constraints count but do not list, so they are not rendered: {intake.unlisted}")
    for engine, group in sorted({(engine, group) for engine, group, _ in intake.ledger.desired.superseded}):
        say_on_stderr(f"ignored the reports of {engine} in {group}: it now writes to another API")


def _kubectl(intake: Collector) -> str:
    """The kubectl command that reads the same objects and their owners."""
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
