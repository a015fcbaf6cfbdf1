"""Whether what a report names can be an object of Kubernetes, and of which type, by the grammar of one.

Pure: no I/O, no clock.
"""

from policyhub.sources import grammar, wire
from policyhub.sources.kinds import Reference, group_of
from policyhub.sources.recent import Recent, share
from policyhub.sources.text import LIMIT, clean

_types: Recent[tuple[str | None, str | None], tuple[str, str, str]] = Recent(limit=1_000_000)
"""What is written as apiVersion and kind → group, kind and apiVersion; of what has the grammar of them."""
type_known = _types.young.get
"""The quick half of `typed`, by apiVersion and kind."""


def typed(ref: Reference) -> tuple[str, str, str] | None:
    """None where they name no kind of object."""
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
    """Whether it can be one, by its grammar; what cannot be read is told elsewhere."""
    if ref is wire.UNREADABLE:
        return True
    return (
        typed(ref) is not None
        and grammar.is_name(ref.name or "")
        and (not ref.namespace or grammar.is_namespace(ref.namespace))
    )
