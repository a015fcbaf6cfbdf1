"""Writes the body of BatchImportFindings instead of botocore.

botocore's serializer walks the shape of ASFF, 616 structures, for each finding: this was the largest cost of an import
(docs/performance.md). A finding is a JSON document already; a test checks against botocore's model that none of its
members has another name or encoding on the wire. Two botocore events are used, so endpoint, headers, checksum,
signature, transport and response still come from botocore:

| event                   | then                                                                       |
|-------------------------|----------------------------------------------------------------------------|
| `provide-client-params` | the findings move to the call's context, so none is left to serialize      |
| `before-call`           | they become the body, as compact UTF-8                                     |

Thread-safe: all state belongs to one call.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

_IMPORT = "securityhub.BatchImportFindings"
_CONTEXT = "policyhub_findings"

encode = msgspec.json.Encoder().encode
"""Encodes a finding: compact UTF-8."""


class Session(Protocol):
    """The used part of a botocore session: its clients inherit its handlers."""

    def register(self, event_name: str, handler: Any) -> None: ...


def write_for(session: Session) -> None:
    """Write the bodies for all clients that this session creates from now on."""
    session.register(f"provide-client-params.{_IMPORT}", _set_aside)
    session.register(f"before-call.{_IMPORT}", _write)


def body(findings: Sequence[Mapping[str, Any]]) -> bytes:
    return encode({"Findings": findings})


def _set_aside(*, params: Mapping[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any]:
    context[_CONTEXT] = params["Findings"]
    return {**params, "Findings": ()}


def _write(*, params: dict[str, Any], context: Mapping[str, Any], **_: object) -> None:
    params["body"] = body(context[_CONTEXT])
