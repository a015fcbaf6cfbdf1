"""Whether a reference in a report can be a Kubernetes object, and of which type, by its grammar.

Pure: no I/O, no clock.
"""

from policyhub.model import grammar
from policyhub.model.kinds import Reference, group_of
from policyhub.model.recent import Recent, share
from policyhub.model.text import LIMIT, clean
from policyhub.sources import wire

_types: Recent[tuple[str | None, str | None], tuple[str, str, str]] = Recent(limit=1_000_000)
"""apiVersion and kind as written → group, kind and apiVersion, for references with a valid grammar."""
type_known = _types.young.get
"""The fast path of `typed`, by apiVersion and kind."""


def typed(ref: Reference) -> tuple[str, str, str] | None:
    """Group, kind and apiVersion; None if they are invalid."""
    found = type_known((ref.api_version, ref.kind))
    if found is not None:
        return found
    api_version, kind = ref.api_version or "", ref.kind or ""
    if len(api_version) > LIMIT or not grammar.is_typed(group := group_of(api_version, kind), kind):
        return None
    weight = 2 * (len(api_version) + len(kind))
    found = _types.get((ref.api_version, ref.kind), weight=weight) or (share(group), share(kind), clean(api_version))
    _types.put((ref.api_version, ref.kind), found, weight=weight)
    return found


def is_object(ref: Reference) -> bool:
    """By the grammar alone. An unreadable reference passes: it is reported elsewhere."""
    if ref is wire.UNREADABLE:
        return True
    return (
        typed(ref) is not None
        and grammar.is_name(ref.name or "")
        and (not ref.namespace or grammar.is_namespace(ref.namespace))
    )
