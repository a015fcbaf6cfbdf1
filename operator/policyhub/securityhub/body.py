"""The body of BatchImportFindings, written here instead of by botocore.

botocore's serializer walks the shape of ASFF, 616 structures, for each finding: the largest part of what an import cost
(docs/performance.md). A finding is a document of JSON already; a test holds against botocore's model that no member of
it is named or written otherwise on the wire. botocore's own events serve for it, so endpoint, headers, checksum,
signature, transport and the answer are botocore's as before:

| event                   | then                                                                       |
|-------------------------|----------------------------------------------------------------------------|
| `provide-client-params` | the findings go into the call's context, and none is left to be serialized |
| `before-call`           | the body holds them, as compact UTF-8                                      |

Thread-safe: all that is kept belongs to the one call.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

_IMPORT = "securityhub.BatchImportFindings"
_CONTEXT = "policyhub_findings"

encode = msgspec.json.Encoder().encode
"""How a finding is written: compact, in UTF-8."""


class Session(Protocol):
    """What of a botocore session is used: its clients inherit what is registered with it."""

    def register(self, event_name: str, handler: Any) -> None: ...


def write_for(session: Session) -> None:
    """Write the bodies of all clients that this session makes from now on."""
    session.register(f"provide-client-params.{_IMPORT}", _set_aside)
    session.register(f"before-call.{_IMPORT}", _write)


def body(findings: Sequence[Mapping[str, Any]]) -> bytes:
    return encode({"Findings": findings})


def _set_aside(*, params: Mapping[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any]:
    context[_CONTEXT] = params["Findings"]
    return {**params, "Findings": ()}


def _write(*, params: dict[str, Any], context: Mapping[str, Any], **_: object) -> None:
    params["body"] = body(context[_CONTEXT])
