"""A person's approval of a bulk archive that `policyhub.sync.guard` holds.

It is an annotation of the MonitoredCluster, `<source>@<RFC 3339 time>` (several with commas). Everybody who may write
that object may approve. An approval expires, so that it never approves a later loss.

Authors of reports choose the name of their source. So the name is percent-encoded (`Trivy%20ConfigAudit`): an approval
of the source `x,kyverno` approves only this one. Names that are not encoded are accepted if they have no comma.
"""

from urllib.parse import quote, unquote

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.asff import timestamp
from policyhub.kube.connection import Connection
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Unreachable
from policyhub.securityhub.inventory import milliseconds

ANNOTATION = "policyhub.dev/approve-archive"
LONGEST_MS = 24 * 3600 * 1000
"""A day: an approval is for findings that a person has just checked."""


def parse(text: str) -> dict[str, WallMs]:
    """Source → when its approval ends. Invalid entries are ignored."""
    approved = {}
    for part in text.split(","):
        source, _, moment = part.strip().rpartition("@")
        until = milliseconds(moment)
        if source and until:
            approved[unquoted(source)] = until
    return approved


def quoted(source: str) -> str:
    """Encoded for the annotation and for a shell: letters, digits and `_.-~%`."""
    return quote(source, safe="", errors="replace")


def unquoted(name: str) -> str:
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name


def merged(text: str, *, source: str, until: WallMs, now: WallMs) -> str:
    """The annotation with one more approval, and without expired ones."""
    approved = {name: end for name, end in parse(text).items() if end > now} | {source: until}
    return ",".join(f"{quoted(name)}@{timestamp(end)}" for name, end in sorted(approved.items()))


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] = {}


class _Monitored(msgspec.Struct):
    metadata: _Metadata


_monitored = msgspec.json.Decoder(_Monitored)


async def approve(home: Connection, path: str, *, source: str, until: WallMs, now: WallMs) -> None:
    """Annotate the MonitoredCluster at `path`. Raises Refused, Unreachable."""
    found = decoded(_monitored, await home.get(path), lambda why: Unreachable(f"{path} is no MonitoredCluster: {why}"))
    text = merged(found.metadata.annotations.get(ANNOTATION, ""), source=source, until=until, now=now)
    await home.patch(path, {"metadata": {"annotations": {ANNOTATION: text}}})
