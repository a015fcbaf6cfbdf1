"""The id of a finding. The same violation always has the same id, so that its triage is kept.

The id depends only on the cluster and on the violation's identity (source, policy, rule, the subject's group, kind,
namespace, name, and the discriminator). Two identities never have the same encoding. Pure: no I/O, no clock.
"""

import hashlib
from collections.abc import Iterable

from policyhub.model.violation import Identity

ID_LIMIT = 512
_DIGITS = 32  # 128 bits: no collision to expect among fewer than 2^64 findings


def encode(parts: Iterable[str]) -> bytes:
    """Netstrings (`5:hello,`), each part with its length in UTF-8: no separator that a part could forge.

    Unpaired surrogates are encoded as they are, so that no two texts become one.
    """
    listed = list(parts)
    text = "".join([f"{len(part)}:{part}," for part in listed])
    if text.isascii():  # nearly always; then a character is a byte
        return text.encode()
    encoded = []
    for part in listed:
        raw = part.encode("utf-8", "surrogatepass")
        encoded.append(b"%d:%b," % (len(raw), raw))
    return b"".join(encoded)


ROOT = "policyhub/"
"""What the ids of all our findings begin with."""


def prefix(cluster_id: str) -> str:
    """The common prefix of all ids of one cluster, for the inventory's filters."""
    return f"{ROOT}{cluster_id}/"


def finding_id(cluster_id: str, identity: Identity) -> str:
    """`policyhub/<cluster id>/<32 hex digits>`. Raises ValueError if the cluster id is too long."""
    id_ = f"{prefix(cluster_id)}{hashlib.sha256(encode(identity.parts)).hexdigest()[:_DIGITS]}"
    if (len(id_) if id_.isascii() else len(id_.encode("utf-16-le")) // 2) > ID_LIMIT:
        raise ValueError(f"a cluster id of {len(cluster_id)} characters makes ids longer than {ID_LIMIT}")
    return id_
