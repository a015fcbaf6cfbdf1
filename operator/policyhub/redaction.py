"""What must not be shown: passwords in URLs, tokens and keys, also where a server or proxy sends back what it was sent.

| taken out                                                              | known how                                 |
|------------------------------------------------------------------------|-------------------------------------------|
| the credentials of a connection, plain, as base64, quoted, cut short   | `secrets`, given by whoever holds them    |
| what stands before the `@` of any URL                                  | by its form                               |
| what follows `Bearer`; what follows `Basic`, where it is a credential  | by its form                               |
| JSON Web Tokens, EKS tokens                                            | by their form                             |
| signature and session token of a presigned URL                         | by their names                            |

`redacted` is applied where an error is made and where a line is logged, before the text is cut: half a token is one.
Each pattern takes time linear in the text. Pure: no I/O, no clock.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

HIDDEN = "***"
_SHORTEST = 5
"""Characters. A shorter secret would take ordinary words with it, and stands only where its form shows it."""
_BEGINNING = 16
"""So many characters of a longer secret are enough to know it by: servers cut what they send back."""

_AUTHORITY_END = re.compile(r"[\s/?#'\"`<>|\\^{},;]")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=:-]{12,}")
_BASIC = re.compile(r"(?i)\b(basic\s+)([A-Za-z0-9+/_-]{4,}={0,2})")
_TOKEN = re.compile(r"\b(?:eyJ[\w-]{8,}\.[\w.-]{8,}|k8s-aws-v1\.[\w-]{8,})")
_PRESIGNED = re.compile(r"(?i)(\bX-Amz-(?:Signature|Security-Token)(?:=|%3D))[^\s&'\"<>]+")
_END = re.compile(r"[\s'\"<>]")
"""What no credential holds."""

_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without `secrets`, and without what looks like one."""
    forms = {form for secret in secrets for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
        if len(form) > _BEGINNING:
            text = _without(text, form[:_BEGINNING])
    text = _without_userinfo(text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _BASIC.sub(lambda found: found[1] + HIDDEN if _is_basic(found[2]) else found[0], text)
    text = _PRESIGNED.sub(rf"\1{HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)


def _without(text: str, beginning: str) -> str:
    """Without the words that contain this, from there on."""
    first, *pieces = text.split(beginning)
    kept = [first]
    for piece in pieces:
        end = _END.search(piece)
        kept += (HIDDEN, piece[end.start() :] if end else "")
    return "".join(kept)


def of_url(url: str) -> frozenset[str]:
    """The secrets in a URL, or in what should have been one: whatever stands before its last `@`."""
    userinfo, at, _ = url.rpartition("@")
    if not at:
        return frozenset()
    userinfo = userinfo.partition("://")[2] or userinfo
    user, _, password = userinfo.partition(":")
    pairs = {userinfo, f"{unquote(user)}:{unquote(password)}"}
    coded = {base64.b64encode(pair.encode(errors="replace")).decode() for pair in pairs}
    return frozenset(part for part in (*pairs, *coded, password or user, unquote(password or user)) if part)


def of_environment(environ: Mapping[str, str]) -> frozenset[str]:
    """The secrets that the environment names: of proxies, of AWS and its endpoints."""
    found = {environ[name] for name in _VARIABLES if environ.get(name)}
    for name, value in environ.items():
        if name.lower().endswith("_proxy") or name.startswith("AWS_ENDPOINT_URL"):
            found |= of_url(value)
    return frozenset(found)


def _forms(secret: str) -> set[str]:
    """As it is, quoted as in a URL, as base64."""
    if len(secret) < _SHORTEST:
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
    """Base64 of `user:password`; cut short it may lack its end."""
    whole = credential.rstrip("=")
    whole = whole[: len(whole) - len(whole) % 4]
    try:
        return b":" in base64.b64decode(whole, validate=True)
    except (binascii.Error, ValueError):
        return False
