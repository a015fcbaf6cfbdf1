"""What a kubeconfig from a Secret may ask of this process: a server, a CA, one credential, nothing else.

Whoever may write the Secret is not trusted with this process: a kubeconfig can run programs (`exec`, `auth-provider`),
read the operator's own files (`tokenFile`, `certificate-authority` …), switch TLS verification off, or send the token
over plain HTTP. All of that is refused, with one error that names every problem and its remedy. Only the current
context's cluster and user count; the other entries are never used.

Pure: no I/O, no clock.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import yaml

MAX_BYTES = 262_144
"""Some tens of times what one cluster needs; YAML made to be slow costs two seconds at this length."""

_PROGRAMS = {
    "exec": "it runs a program in the operator; use a service account token or client-certificate-data",
    "auth-provider": "it is an authentication plug-in; use a service account token or client-certificate-data",
}
_FILES = {
    "tokenFile": "token",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
    "certificate-authority": "certificate-authority-data",
}
_UNSUPPORTED = {
    "username": "API servers no longer take passwords; use a token",
    "password": "API servers no longer take passwords; use a token",
    "as": "impersonation is not supported; use a credential of the account itself",
    "as-uid": "impersonation is not supported; use a credential of the account itself",
    "as-groups": "impersonation is not supported; use a credential of the account itself",
    "as-user-extra": "impersonation is not supported; use a credential of the account itself",
}


class KubeconfigError(Exception):
    """The kubeconfig cannot be used. The text names every problem and how to mend it, and holds no credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How an API server is reached, and as whom: what a kubeconfig comes to."""

    server: str
    authority: bytes | None = field(default=None, repr=False)
    """PEM; None trusts the system's authorities."""
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    verify: bool = True


def parse(source: bytes | Mapping[str, object]) -> Access:
    """The current context's cluster and user. Raises KubeconfigError."""
    cluster, user = pair(_document(source))
    problems = [f"{key} is refused: {reason}" for key, reason in _PROGRAMS.items() if user.get(key)]
    problems += [
        f"{key} is refused: it names a file of the operator; put the content into {instead}"
        for key, instead in _FILES.items()
        if (cluster if key == "certificate-authority" else user).get(key)
    ]
    problems += [f"{key} is refused: {reason}" for key, reason in _UNSUPPORTED.items() if user.get(key)]
    if cluster.get("insecure-skip-tls-verify"):
        problems.append("insecure-skip-tls-verify is refused: remove it and set certificate-authority-data")
    server = cluster.get("server")
    problems += _server_problems(server)
    problems += _proxy_problems(cluster.get("proxy-url"), server)
    authority = pem(cluster, "certificate-authority-data", problems)
    certificate = pem(user, "client-certificate-data", problems)
    key = pem(user, "client-key-data", problems)
    token = user.get("token")
    if token is not None and not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
        problems.append("token is not one line of printable characters")
    if (certificate is None) != (key is None):
        problems.append("client-certificate-data and client-key-data are of use only together")
    if key is not None and b"ENCRYPTED" in key:  # OpenSSL would ask for the pass phrase on a terminal
        problems.append("client-key-data is encrypted: store it without a pass phrase")
    if not problems and token is None and certificate is None:
        problems.append("the user has no credential: set token, or client-certificate-data and client-key-data")
    if problems:
        raise KubeconfigError("kubeconfig refused: " + "; ".join(problems))
    return Access(
        server=str(server).rstrip("/"),
        authority=authority,
        certificate=certificate,
        key=key,
        token=str(token) if token is not None else None,
        tls_server_name=_optional(cluster, "tls-server-name"),
        proxy=_optional(cluster, "proxy-url"),
    )


def pair(document: Mapping[str, object]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """The cluster and the user of the current context. Raises KubeconfigError."""
    context = _entry(document, "contexts", _text(document, "current-context", "the kubeconfig"))
    cluster = _entry(document, "clusters", _text(context, "cluster", "its current context"))
    return cluster, _entry(document, "users", _text(context, "user", "its current context"))


def _document(source: bytes | Mapping[str, object]) -> Mapping[str, object]:
    if isinstance(source, Mapping):
        return source
    if len(source) > MAX_BYTES:
        raise KubeconfigError("kubeconfig refused: it is larger than 256 KiB")
    try:
        document = yaml.safe_load(source)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        # The parser's own message would quote the text around the fault, which may be a credential.
        raise KubeconfigError("kubeconfig refused: it is not valid YAML") from None
    if not isinstance(document, dict):
        raise KubeconfigError("kubeconfig refused: it is not a mapping with clusters, users and contexts")
    return document


def _text(node: Mapping[str, object], key: str, where: str) -> str:
    value = node.get(key)
    if not isinstance(value, str) or not value:
        raise KubeconfigError(f"kubeconfig refused: {where} has no {key}; set it to a name")
    return value


def _optional(node: Mapping[str, object], key: str) -> str | None:
    value = node.get(key)
    return str(value) if value else None


def _entry(document: Mapping[str, object], kind: str, name: str) -> Mapping[str, object]:
    """The content of the one entry called `name`: {"name": …, "cluster" | "user" | "context": {…}}."""
    entries = document.get(kind)
    found = [e for e in entries if isinstance(e, dict) and e.get("name") == name] if isinstance(entries, list) else []
    if len(found) != 1:
        raise KubeconfigError(
            f"kubeconfig refused: {kind} has {len(found) or 'no'} entries called {name!r}; it needs one"
        )
    content = found[0].get(kind.removesuffix("s"))
    if not isinstance(content, dict):
        raise KubeconfigError(f"kubeconfig refused: {name!r} in {kind} has no {kind.removesuffix('s')}")
    return content


def _split(url: object) -> SplitResult | None:
    """None: not a URL with a host and a valid port."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError:
        return None
    return parts if parts.hostname else None


def _server_problems(server: object) -> list[str]:
    parts = _split(server)
    if parts is None or parts.scheme not in {"https", "http"}:
        return ["server is not a URL such as https://host:6443"]
    problems = []
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        problems.append("server is plain http, which would show the credential to the network; use https")
    if parts.username is not None or parts.password is not None:
        problems.append("server holds a user name or password; move the credential to the user as a token")
    if parts.query or parts.fragment:
        problems.append("server holds a query or fragment; leave only scheme, host, port and path")
    return problems


def _proxy_problems(proxy: object, server: object) -> list[str]:
    if not proxy:
        return []
    parts = _split(proxy)
    if parts is None or parts.scheme not in {"https", "http"}:
        return ["proxy-url is not an http or https URL (SOCKS is not supported)"]
    if isinstance(server, str) and server.startswith("http:"):
        return ["proxy-url with a plain http server would show the credential to the proxy; use https"]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pem(node: Mapping[str, object], key: str, problems: list[str]) -> bytes | None:
    """The PEM text that `key` holds as base64; what is wrong with it is added to `problems`."""
    value = node.get(key)
    if not value:
        return None
    try:
        content = base64.b64decode("".join(str(value).split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if b"-----BEGIN" not in content:
        problems.append(f"{key} is not base64 of PEM text")
        return None
    return content
