"""Removes secrets from texts: passwords in URLs, tokens and keys, also if a server or proxy echoes them.

| removed                                                                | recognised by                             |
|------------------------------------------------------------------------|-------------------------------------------|
| the credentials of a connection: plain, base64, URL-quoted, cut short  | `secrets`, passed by the caller           |
| the part before the `@` of any URL                                     | its form                                  |
| the value after `Bearer`; after `Basic`, if it is a credential         | its form                                  |
| JSON Web Tokens, EKS tokens                                            | their form                                |
| signature and session token of a presigned URL                         | their names                               |

`redacted` is applied when an error is created and when a line is logged, before the text is cut: half a token is still
a secret. Each pattern takes time linear in the length of the text. Pure: no I/O, no clock.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

HIDDEN = "***"
_MIN_LENGTH = 5
"""Characters. A shorter secret would also remove ordinary words; it is removed only if its form shows it."""
_PREFIX = 16
"""Characters of a longer secret that are enough to recognise it: servers cut what they echo."""

_AUTHORITY_END = re.compile(r"[\s/?#'\"`<>|\\^{},;]")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=:-]{12,}")
_BASIC = re.compile(r"(?i)\b(basic\s+)([A-Za-z0-9+/_-]{4,}={0,2})")
_TOKEN = re.compile(r"\b(?:eyJ[\w-]{8,}\.[\w.-]{8,}|k8s-aws-v1\.[\w-]{8,})")
_PRESIGNED = re.compile(r"(?i)(\bX-Amz-(?:Signature|Security-Token)(?:=|%3D))[^\s&'\"<>]+")
_END = re.compile(r"[\s'\"<>]")
"""Characters that no credential contains."""

_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without `secrets` and without anything that looks like a secret."""
    forms = {form for secret in secrets for form in _encodings(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
        if len(form) > _PREFIX:
            text = _without(text, form[:_PREFIX])
    text = _without_userinfo(text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _BASIC.sub(lambda found: found[1] + HIDDEN if _is_basic(found[2]) else found[0], text)
    text = _PRESIGNED.sub(rf"\1{HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)


def _without(text: str, beginning: str) -> str:
    """Without the rest of each word from `beginning` on."""
    first, *pieces = text.split(beginning)
    kept = [first]
    for piece in pieces:
        end = _END.search(piece)
        kept += (HIDDEN, piece[end.start() :] if end else "")
    return "".join(kept)


def of_url(url: str) -> frozenset[str]:
    """The secrets in a URL, or in a malformed one: everything before its last `@`."""
    userinfo, at, _ = url.rpartition("@")
    if not at:
        return frozenset()
    userinfo = userinfo.partition("://")[2] or userinfo
    user, _, password = userinfo.partition(":")
    pairs = {userinfo, f"{unquote(user)}:{unquote(password)}"}
    coded = {base64.b64encode(pair.encode(errors="replace")).decode() for pair in pairs}
    return frozenset(part for part in (*pairs, *coded, password or user, unquote(password or user)) if part)


def of_environment(environ: Mapping[str, str]) -> frozenset[str]:
    """The secrets in environment variables: of proxies, AWS and its endpoints."""
    found = {environ[name] for name in _SECRET_VARIABLES if environ.get(name)}
    for name, value in environ.items():
        if name.lower().endswith("_proxy") or name.startswith("AWS_ENDPOINT_URL"):
            found |= of_url(value)
    return frozenset(found)


def _encodings(secret: str) -> set[str]:
    """The secret as plain text, URL-quoted, and as base64."""
    if len(secret) < _MIN_LENGTH:
        return set()
    data = secret.encode(errors="replace")
    return {secret, quote(secret, safe=""), base64.b64encode(data).decode()}


def _without_userinfo(text: str) -> str:
    parts = text.split("://")
    for number, part in enumerate(parts[1:], 1):
        end = _AUTHORITY_END.search(part)
        authority = part[: end.start()] if end else part
        userinfo, at, host = authority.rpartition("@")
        if at and userinfo:
            parts[number] = f"{HIDDEN}@{host}{part[len(authority) :]}"
    return "://".join(parts)


def _is_basic(credential: str) -> bool:
    """Whether it is base64 of `user:password`, even if its end is missing."""
    whole = credential.rstrip("=")
    whole = whole[: len(whole) - len(whole) % 4]
    try:
        return b":" in base64.b64decode(whole, validate=True)
    except (binascii.Error, ValueError):
        return False
