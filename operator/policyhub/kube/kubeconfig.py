"""Parses and validates a kubeconfig from a Secret: a server, a CA and one credential, nothing else.

Authors of the Secret are not trusted. A kubeconfig can run programs (`exec`, `auth-provider`), read the operator's own
files (`tokenFile`, `certificate-authority` …), switch TLS verification off, or send the token over plain HTTP. All of
that is refused, with one error that names every problem and its remedy. Only the cluster and user of the current
context are used.

The YAML is read event by event, and may contain only what JSON can express: no aliases (577 bytes of them expand to
gigabytes), anchors, tags, merge keys or duplicate keys, and no more than `_DEPTH` levels. Used values must be text.

| `untrusted` (from a Secret)                       | else (tests, a mapping that a program made)     |
|------------------------------------------------|-------------------------------------------------|
| https only                                     | http to this machine, for `kubectl proxy`       |
| no link-local address: the cloud's credentials | any address                                     |

Pure: no I/O, no clock.
"""

import base64
import binascii
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

import yaml

from policyhub.model.text import line
from policyhub.redaction import redacted

MAX_BYTES: Final = 65_536
"""Of a kubeconfig in a Secret. For one cluster, with a bundle of ten CAs, a client certificate and a key, it has 25 KB.
One with all clusters of a company does not belong in a Secret that the operator reads."""
_MAX_KEY: Final = 8_192
"""Bytes of a private key as PEM: RSA of 8,192 bits has 6.3 KB. Each handshake signs with it on the event loop."""
_DEPTH: Final = 20
"""Levels of YAML; a kubeconfig has 5, an exec plug-in's `env` 6."""
_MAX_EVENTS: Final = 10_000
_MAX_TEXT: Final = 1_000
_LOADER: Final[type[yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]+")

_PROGRAMS = {
    "exec": "it runs a program in the operator; use a service account token or client-certificate-data, or for an EKS"
    " cluster spec.connection.eks",
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
    """The kubeconfig cannot be used. The text names every problem and how to fix it, and holds no credential."""

    def __init__(self, message: str, *, secrets: Iterable[str] = (), remedy: str = "") -> None:
        """`remedy` is the next step; it is never cut, unlike the message."""
        self.found = line(redacted(message, secrets), _MAX_TEXT)
        self.remedy = remedy
        super().__init__(f"{self.found}. {remedy}" if remedy else self.found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The result of parsing a kubeconfig: how to reach an API server, and with which credential."""

    server: str
    authority: bytes | None = field(default=None, repr=False)
    """PEM; None: the system's CAs."""
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    verify: bool = True
    untrusted: bool = False
    """From a Secret: names that resolve to link-local addresses are rejected."""


def parse(source: bytes | Mapping[str, object], *, untrusted: bool = False) -> Access:
    """The current context's cluster and user; `untrusted`: from a Secret. Raises KubeconfigError.

    Do not call it on the event loop with bytes: hostile YAML can take a tenth of a second.
    """
    document = _document(source)
    try:
        return _access(document, untrusted=untrusted)
    except KubeconfigError as error:  # the message may quote a credential in the place of a name
        raise KubeconfigError(str(error), secrets=_credentials(document)) from None


def _access(document: Mapping[str, object], *, untrusted: bool) -> Access:
    cluster, user = current_entries(document)
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
    problems += server_problems(server, untrusted=untrusted)
    problems += _proxy_problems(cluster.get("proxy-url"), server, untrusted=untrusted)
    authority = pem(cluster, "certificate-authority-data", problems)
    certificate = pem(user, "client-certificate-data", problems)
    key = pem(user, "client-key-data", problems)
    token = user.get("token")
    if token is not None and not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
        problems.append("token is not one line of printable characters")
    if (certificate is None) != (key is None):
        problems.append("client-certificate-data and client-key-data are of use only together")
    if key is not None and len(key) > _MAX_KEY:
        problems.append("client-key-data is larger than a key of 8,192 bits; use a smaller one")
    if key is not None and b"ENCRYPTED" in key:  # OpenSSL would ask for the pass phrase on a terminal
        problems.append("client-key-data is encrypted: store it without a pass phrase")
    name = cluster.get("tls-server-name")
    if name and not (isinstance(name, str) and len(name) <= 253 and _HOST.fullmatch(name)):
        problems.append("tls-server-name is not a host name")
    if not problems and token is None and certificate is None:
        problems.append("the user has no credential: set token, or client-certificate-data and client-key-data")
    if problems:
        raise KubeconfigError("kubeconfig refused: " + "; ".join(problems))
    return Access(
        server=str(server).rstrip("/"),
        authority=authority,
        certificate=certificate,
        key=key,
        token=token if isinstance(token, str) else None,
        tls_server_name=_optional(cluster, "tls-server-name"),
        proxy=_optional(cluster, "proxy-url"),
        untrusted=untrusted,
    )


def _credentials(document: Mapping[str, object]) -> set[str]:
    users = document.get("users")
    contents = [entry.get("user") for entry in users if isinstance(entry, dict)] if isinstance(users, list) else []
    values = [user.get(key) for user in contents if isinstance(user, dict) for key in ("token", "password")]
    return {value for value in values if isinstance(value, str)}


def current_entries(document: Mapping[str, object]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """The cluster and the user of the current context. Raises KubeconfigError."""
    context = _entry(document, "contexts", _text(document, "current-context", "the kubeconfig"))
    cluster = _entry(document, "clusters", _text(context, "cluster", "its current context"))
    return cluster, _entry(document, "users", _text(context, "user", "its current context"))


def _document(source: bytes | Mapping[str, object]) -> Mapping[str, object]:
    if isinstance(source, Mapping):
        return source
    if len(source) > MAX_BYTES:
        raise KubeconfigError(
            f"kubeconfig refused: it is larger than {MAX_BYTES // 1024} KiB; leave only this cluster's entries in it"
        )
    try:
        document = _Yaml(source).document()
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError):
        # The parser's own message would quote the text around the fault, which may be a credential.
        raise KubeconfigError("kubeconfig refused: it is not valid YAML") from None
    if not isinstance(document, dict):
        raise KubeconfigError("kubeconfig refused: it is not a mapping with clusters, users and contexts")
    return document


_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:e[-+]?[0-9]+)?|[-+]?0[xob][0-9a-f_]+|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)
_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULLS: Final = frozenset({"", "~", "null"})


class _NotAString:
    """A number; no used member may be one."""


_NOT_A_STRING: Final = _NotAString()


class _Yaml:
    """Parses one document of mappings, sequences, text and booleans; anything else is refused."""

    def __init__(self, source: bytes) -> None:
        self._events = self._counted(yaml.parse(source, Loader=_LOADER))

    def document(self) -> object:
        """Raises KubeconfigError, yaml.YAMLError, ValueError."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        document = self._node(next(self._events), _DEPTH)
        next(self._events)  # the document's end
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise KubeconfigError("kubeconfig refused: it holds more than one document")
        return document

    def _counted(self, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        for number, event in enumerate(events):
            if number >= _MAX_EVENTS:
                raise KubeconfigError(
                    f"kubeconfig refused: it has more than {_MAX_EVENTS:,} parts; leave only this cluster's entries"
                )
            yield event

    def _node(self, event: yaml.Event, depth: int) -> object:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise KubeconfigError("kubeconfig refused: it holds YAML anchors or aliases; write what they stand for")
        if getattr(event, "tag", None) is not None:
            raise KubeconfigError("kubeconfig refused: it holds YAML tags (!…); leave them out")
        if depth == 0:
            raise KubeconfigError(f"kubeconfig refused: it is nested more than {_DEPTH} levels deep")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[object] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth - 1))
            return items
        return self._mapping(depth)

    def _mapping(self, depth: int) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(item := next(self._events), yaml.MappingEndEvent):
            if isinstance(item, yaml.ScalarEvent | yaml.AliasEvent):
                self._node(item, 1)  # refuses aliases, anchors and tags
            if not isinstance(item, yaml.ScalarEvent):
                raise KubeconfigError("kubeconfig refused: a key of a mapping is no text")
            key: str = item.value
            if key == "<<" and item.implicit[0]:
                raise KubeconfigError("kubeconfig refused: it holds YAML merge keys (<<); write what they stand for")
            if key in mapping:
                raise KubeconfigError("kubeconfig refused: a mapping has one key twice; leave one of them out")
            mapping[key] = self._node(next(self._events), depth - 1)
        return mapping


def _scalar(event: yaml.ScalarEvent) -> object:
    value: str = event.value
    if not event.implicit[0]:  # in quotes
        return value
    small = value.lower()
    if small in _NULLS:
        return None
    if small in _BOOLEANS:
        return _BOOLEANS[small]
    return _NOT_A_STRING if _NUMBER.fullmatch(value) else value


def _text(node: Mapping[str, object], key: str, where: str) -> str:
    value = node.get(key)
    if not isinstance(value, str) or not value:
        raise KubeconfigError(f"kubeconfig refused: {where} has no {key}; set it to a name")
    return value


def _optional(node: Mapping[str, object], key: str) -> str | None:
    value = node.get(key)
    return value if isinstance(value, str) and value else None


def _entry(document: Mapping[str, object], kind: str, name: str) -> Mapping[str, object]:
    """The content of the one entry called `name`: {"name": …, "cluster" | "user" | "context": {…}}."""
    entries = document.get(kind)
    found = [e for e in entries if isinstance(e, dict) and e.get("name") == name] if isinstance(entries, list) else []
    if len(found) != 1:
        raise KubeconfigError(
            f"kubeconfig refused: {kind} has {len(found) or 'no'} entries called {name[:100]!r}; it needs one"
        )
    content = found[0].get(kind.removesuffix("s"))
    if not isinstance(content, dict):
        raise KubeconfigError(f"kubeconfig refused: {name[:100]!r} in {kind} has no {kind.removesuffix('s')}")
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


def server_problems(server: object, *, untrusted: bool) -> list[str]:
    """The problems of an API server's address; empty if there are none."""
    parts = _split(server)
    if parts is None or parts.scheme not in {"https", "http"}:
        return ["server is not a URL such as https://host:6443"]
    problems = []
    if parts.scheme == "http" and (untrusted or not _is_loopback(parts.hostname or "")):
        problems.append("server is plain http, which would show the credential to the network; use https")
    problems += _host_problems("server", parts.hostname or "", whose="the API server's own", untrusted=untrusted)
    if parts.username is not None or parts.password is not None:
        problems.append("server holds a user name or password; move the credential to the user as a token")
    if parts.query or parts.fragment:
        problems.append("server holds a query or fragment; leave only scheme, host, port and path")
    return problems


def _proxy_problems(proxy: object, server: object, *, untrusted: bool) -> list[str]:
    if not proxy:
        return []
    parts = _split(proxy)
    if parts is None or parts.scheme not in {"https", "http"}:
        return ["proxy-url is not an http or https URL (SOCKS is not supported)"]
    if isinstance(server, str) and server.lower().startswith("http:"):
        return ["proxy-url with a plain http server would show the credential to the proxy; use https"]
    return _host_problems("proxy-url", parts.hostname or "", whose="the proxy's own", untrusted=untrusted)


def _host_problems(member: str, host: str, *, whose: str, untrusted: bool) -> list[str]:
    """A host that is not ASCII may still be an address: aiohttp treats full-width digits and ideographic full stops as
    plain ones, and connects without resolving a name.
    """
    if not host.isascii():
        return [f"{member} has a host in other letters than DNS knows; write the name as DNS has it (xn--…)"]
    if untrusted and is_link_local(host):
        return [f"{member} is a link-local address, where clouds hand out credentials; use {whose}"]
    return []


_CLOUD: Final = ipaddress.ip_network("fd00:ec2::/32")
"""The IPv6 addresses of the metadata services of EC2 and EKS, which use 169.254.0.0/16 on IPv4."""
_IPV4_INSIDE = ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")
"""IPv6 addresses whose last four bytes are an IPv4 address (RFC 6052, 8215, 4291, 2765)."""
_TRANSLATED: Final = tuple(map(ipaddress.IPv6Network, _IPV4_INSIDE))


def is_link_local(host: str) -> bool:
    """Whether it is an address in 169.254.0.0/16, fe80::/10 or fd00:ec2::/32, in any notation. False for a name."""
    host = host.partition("%")[0].rstrip(".")
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # 0xa9fea9fe, 2852039166, 169.254.43518
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _TRANSLATED):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF).is_link_local
        if address.sixtofour is not None and address.sixtofour.is_link_local:
            return True
    return address.is_link_local or address in _CLOUD


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pem(node: Mapping[str, object], key: str, problems: list[str]) -> bytes | None:
    """The PEM text that `key` contains as base64. Appends to `problems`."""
    value = node.get(key)
    if not value:
        return None
    try:
        content = base64.b64decode("".join(value.split()), validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        content = b""
    if b"-----BEGIN" not in content:
        problems.append(f"{key} is not base64 of PEM text")
        return None
    return content
