import base64
from typing import Any

import pytest
import yaml

from policyhub.kube.kubeconfig import KubeconfigError, parse

PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
SECRET = "s3cr3t-t0ken"


def kubeconfig(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    """A good one, with parts replaced; None removes a part."""
    parts = {"server": "https://10.0.0.1:6443", "certificate-authority-data": PEM, **(cluster or {})}
    credentials = {"token": SECRET, **(user or {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}, {"name": "there", "context": {}}],
        "clusters": [
            {"name": "other", "cluster": {"insecure-skip-tls-verify": True}},
            {"name": "c", "cluster": {key: value for key, value in parts.items() if value is not None}},
        ],
        "users": [
            {"name": "u", "user": {key: value for key, value in credentials.items() if value is not None}},
            {"name": "other", "user": {"exec": {"command": "rm"}}},
        ],
    }


@pytest.mark.parametrize("as_bytes", [False, True], ids=["mapping", "bytes"])
def test_token(as_bytes: bool) -> None:  # noqa: FBT001  (a parameter of the table)
    """A token and a CA are enough; entries that the current context does not use do no harm."""
    source = kubeconfig(cluster={"tls-server-name": "kubernetes", "insecure-skip-tls-verify": False})
    accepted = parse(yaml.safe_dump(source).encode() if as_bytes else source)
    assert accepted.server == "https://10.0.0.1:6443"
    assert accepted.token == SECRET
    assert accepted.authority is not None
    assert accepted.authority.startswith(b"-----BEGIN")
    assert accepted.tls_server_name == "kubernetes"


def test_certificate_and_key() -> None:
    """A client certificate with its key is a credential; line breaks in the base64 are allowed."""
    folded = PEM[:20] + "\n" + PEM[20:]
    accepted = parse(kubeconfig(user={"token": None, "client-certificate-data": folded, "client-key-data": PEM}))
    assert accepted.certificate == accepted.key == base64.b64decode(PEM)
    assert accepted.token is None


@pytest.mark.parametrize(
    "server", ["https://host", "https://host:443/k8s/clusters/c-1/", "http://127.0.0.1:8001", "http://[::1]:1", "http://localhost:1"]
)  # fmt: skip
def test_servers(server: str) -> None:
    """TLS to anywhere, a path included; plain HTTP to this machine only."""
    assert parse(kubeconfig(cluster={"server": server})).server == server.rstrip("/")


def test_repr_shows_no_credential() -> None:
    """An accepted kubeconfig can end in a traceback or log line without harm."""
    assert SECRET not in repr(parse(kubeconfig()))


CERTIFICATE = {"token": None, "client-certificate-data": PEM}


@pytest.mark.parametrize(
    ("cluster", "user", "says"),
    [
        ({}, {"exec": {"command": "aws"}}, "exec is refused"),
        ({}, {"auth-provider": {"name": "oidc"}}, "auth-provider is refused"),
        ({}, {"tokenFile": "/etc/shadow"}, "put the content into token"),
        ({}, {"client-certificate": "/a"}, "put the content into client-certificate-data"),
        ({}, {"client-key": "/a"}, "put the content into client-key-data"),
        ({"certificate-authority": "/a"}, {}, "put the content into certificate-authority-data"),
        ({"insecure-skip-tls-verify": True}, {}, "remove it and set certificate-authority-data"),
        ({"insecure-skip-tls-verify": "false"}, {}, "insecure-skip-tls-verify is refused"),
        ({}, {"username": "admin", "password": "x"}, "use a token"),
        ({}, {"as": "system:admin"}, "impersonation"),
        ({"server": "http://10.0.0.1"}, {}, "use https"),
        ({"server": "http://localhost.evil.example"}, {}, "use https"),
        ({"server": "https://user:pw@host"}, {}, "user name or password"),
        ({"server": "https://host?x=1"}, {}, "query"),
        ({"server": "ftp://host"}, {}, "not a URL such as"),
        ({"server": "file:///etc/passwd"}, {}, "not a URL such as"),
        ({"server": "https://host:99999"}, {}, "not a URL such as"),
        ({"server": "https://ho st"}, {}, "not a URL such as"),
        ({"server": 7}, {}, "not a URL such as"),
        ({"server": None}, {}, "not a URL such as"),
        ({"proxy-url": "socks5://host:1"}, {}, "SOCKS"),
        ({"server": "http://127.0.0.1:1", "proxy-url": "http://host"}, {}, "to the proxy"),
        ({"certificate-authority-data": "!!"}, {}, "certificate-authority-data is not base64 of PEM"),
        ({"certificate-authority-data": base64.b64encode(b"DER").decode()}, {}, "not base64 of PEM"),
        ({}, {"token": "two\nlines"}, "token is not one line"),
        ({}, {"token": ""}, "token is not one line"),
        ({}, {"token": {"a": 1}}, "token is not one line"),
        ({}, {"token": None}, "no credential"),
        ({}, CERTIFICATE, "only together"),
        ({}, {"token": None, "client-key-data": PEM}, "only together"),
        (
            {},
            {**CERTIFICATE, "client-key-data": base64.b64encode(b"-----BEGIN ENCRYPTED PRIVATE KEY-----").decode()},
            "store it without a pass phrase",
        ),
    ],
)  # fmt: skip
def test_refused(cluster: dict[str, Any], user: dict[str, Any], says: str) -> None:
    """Each thing that is refused says what to do instead, and shows no credential."""
    with pytest.raises(KubeconfigError, match=says) as caught:
        parse(kubeconfig(cluster=cluster, user=user))
    assert SECRET not in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    """One round of mending is enough."""
    bad = kubeconfig(cluster={"insecure-skip-tls-verify": True}, user={"exec": {}, "tokenFile": "/a", "as": "x"})
    with pytest.raises(KubeconfigError, match=r"tokenFile.*as is.*insecure-skip-tls-verify"):
        parse(bad)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"a: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"{a: " * 10_000, "not valid YAML"),
        (b"x" * 262_145, "larger than 256 KiB"),
        (b"just text", "not a mapping"),
        (b"", "not a mapping"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"{}", "has no current-context"),
        ({"current-context": "a"}, "contexts has no entries called 'a'"),
        ({"current-context": "a", "contexts": "text"}, "contexts has no entries"),
        ({"current-context": "a", "contexts": [{"name": "a"}, 7]}, "has no context"),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {}}] * 2}, "2 entries called"),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {"user": "u"}}]}, "has no cluster"),
    ],
)
def test_not_a_kubeconfig(source: bytes | dict[str, object], says: str) -> None:
    """Whatever a Secret may hold, the answer is one error that names the place."""
    with pytest.raises(KubeconfigError, match=says):
        parse(source)
