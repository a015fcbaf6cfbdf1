"""A person's word that what an engine has lost may be archived (the guard of `policyhub.sync.guard`).

It is an annotation of the MonitoredCluster, `<source>@<RFC 3339 time>` (several: with commas): who may write that
object may approve, and it ends by itself, so that an old word never approves of a new loss.

Whoever may write a report names its source as he likes. So a source is written percent-encoded (`Trivy%20ConfigAudit`):
one that is called `x,kyverno` approves of itself alone. As a person writes it, it is read too, where it has no comma.
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
"""An approval is for what a person has looked at: no longer than a day."""


def parse(text: str) -> dict[str, WallMs]:
    """Until when each source is approved of; what cannot be read approves of nothing."""
    approved = {}
    for word in text.split(","):
        source, _, moment = word.strip().rpartition("@")
        until = milliseconds(moment)
        if source and until:
            approved[unquoted(source)] = until
    return approved


def quoted(source: str) -> str:
    """Fit for the annotation, and for a shell: letters, digits and `_.-~%`."""
    return quote(source, safe="", errors="replace")


def unquoted(word: str) -> str:
    try:
        return unquote(word, errors="strict")
    except UnicodeDecodeError:
        return word


def merged(text: str, *, source: str, until: WallMs, now: WallMs) -> str:
    """The annotation with one approval more, and without those that have ended."""
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
