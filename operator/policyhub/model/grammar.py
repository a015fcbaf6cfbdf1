r"""The grammar of an object's group, kind, namespace and name in Kubernetes.

A report may contain any text in these four fields. A text that breaks the grammar names no existing object and may be
misleading in a title or an id, so it is not accepted as an object.

| part      | grammar                                                                                              |
|-----------|------------------------------------------------------------------------------------------------------|
| group     | empty, or a DNS name: `[a-z0-9.-]`, up to 253 characters                                             |
| kind      | empty, or a letter, then letters and digits, up to 63 characters                                     |
| namespace | empty, or `[a-z0-9-]`, up to 63 characters                                                           |
| name      | up to 253 printable characters without whitespace and `%`; not `.` or `..`; at most one `/`, because |
|           | Trivy writes `namespace/name` into it                                                                |

Pure: no I/O, no clock.
"""

import re

from policyhub.model.text import clean

_GROUP = re.compile(r"[a-z0-9.-]{0,253}")
_KIND = re.compile(r"(?:[A-Za-z][A-Za-z0-9]{0,62})?")
_NAMESPACE = re.compile(r"[a-z0-9-]{0,63}")
_NAME = 253


def is_typed(group: str, kind: str) -> bool:
    return _GROUP.fullmatch(group) is not None and _KIND.fullmatch(kind) is not None


def is_namespace(text: str) -> bool:
    return _NAMESPACE.fullmatch(text) is not None


def is_name(text: str) -> bool:
    return (
        0 < len(text) <= _NAME
        and text.isprintable()  # the only whitespace that it accepts is the ASCII space
        and " " not in text
        and "%" not in text
        and ("/" not in text or text.count("/") == 1)
        and (text[0] != "." or text not in {".", ".."})
        and (text.isascii() or clean(text) == text)
    )
