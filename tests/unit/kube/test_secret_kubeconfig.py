import base64
import unicodedata
from typing import Any

import pytest
import yaml
from yarl import URL

from policyhub.kube.kubeconfig import KubeconfigError, is_link_local, parse

PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
SECRET = "s3cr3t-t0ken"


def kubeconfig(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    """A valid one, with parts replaced; None removes a part."""
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
    """A token and a CA are sufficient; entries outside the current context are ignored."""
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
    """TLS to any host, with a path; plain HTTP to this machine only."""
    assert parse(kubeconfig(cluster={"server": server})).server == server.rstrip("/")


def test_repr_shows_no_credential() -> None:
    """An accepted kubeconfig can appear in a traceback or log line."""
    assert SECRET not in repr(parse(kubeconfig()))


CERTIFICATE = {"token": None, "client-certificate-data": PEM}


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
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
def test_refused(cluster: dict[str, Any], user: dict[str, Any], message: str) -> None:
    """Each rejection says what to do instead, and shows no credential."""
    with pytest.raises(KubeconfigError, match=message) as caught:
        parse(kubeconfig(cluster=cluster, user=user))
    assert SECRET not in str(caught.value)


def test_all_problems_are_named_at_once() -> None:
    """One correction is sufficient."""
    bad = kubeconfig(cluster={"insecure-skip-tls-verify": True}, user={"exec": {}, "tokenFile": "/a", "as": "x"})
    with pytest.raises(KubeconfigError, match=r"tokenFile.*as is.*insecure-skip-tls-verify"):
        parse(bad)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"a: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"{a: " * 10_000, "nested more than 20 levels"),
        (b"[" * 60_000, "not valid YAML"),
        (b"a: &x 1\n*x : 2", "anchors or aliases"),
        (b"- " * 30_000, "nested more than 20 levels"),
        (b"[" + b"a," * 30_000 + b"]", "more than 10,000 parts"),
        (b"x" * 65_537, "larger than 64 KiB"),
        (b"a: &x [1]\nb: *x", "anchors or aliases"),
        (b"a: &x 1", "anchors or aliases"),
        (b"&x a: 1", "anchors or aliases"),
        (b"a: {b: {<<: {c: 1}}}", "merge keys"),
        (b"a: !!binary aGk=", "holds YAML tags"),
        (b"!a b: 1", "holds YAML tags"),
        (b"[a]: 1", "a key of a mapping is no text"),
        (b"a: 1\na: 2", "one key twice"),
        (b"a: 1\n---\nb: 1", "more than one document"),
        (b"just text", "not a mapping"),
        (b"", "not a mapping"),
        (b"!!python/object/apply:os.system ['true']", "holds YAML tags"),
        (b"{}", "has no current-context"),
        ({"current-context": "a"}, "contexts has no entries called 'a'"),
        ({"current-context": "a", "contexts": "text"}, "contexts has no entries"),
        ({"current-context": "a", "contexts": [{"name": "a"}, 7]}, "has no context"),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {}}] * 2}, "2 entries called"),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {"user": "u"}}]}, "has no cluster"),
    ],
)
def test_not_a_kubeconfig(source: bytes | dict[str, object], message: str) -> None:
    """Whatever a Secret contains, the answer is one error that names the place."""
    with pytest.raises(KubeconfigError, match=message):
        parse(source)


def test_a_number_of_thousands_of_digits() -> None:
    """A number is not text, however long: nothing converts it."""
    source = yaml.safe_dump(kubeconfig()).replace(SECRET, "7" * 20_000).encode()
    with pytest.raises(KubeconfigError, match="token is not one line"):
        parse(source)


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("12ab34cd", True), ("2026-11-28", True), ("10.0.0.1", True), ("'123'", True), ("1e", True), ("0x", True),
        ("123", False), ("1.5", False), ("1e5", False), ("0x1f", False), ("true", False), (".inf", False), ("-1", 0),
    ],
)  # fmt: skip
def test_text_values(token: str, text: bool) -> None:  # noqa: FBT001  (a column of the table)
    """A value that YAML reads as a number or boolean is not text; a similar one is."""
    source = yaml.safe_dump(kubeconfig()).replace(SECRET, token).encode()
    if text:
        assert parse(source).token == token.strip("'")
    else:
        with pytest.raises(KubeconfigError, match="token is not one line"):
            parse(source)


@pytest.mark.parametrize("place", ["server", "certificate-authority-data", "tls-server-name", "proxy-url"])
@pytest.mark.parametrize("value", [7, ["https://host"], {"a": 1}, True], ids=str)
def test_values_that_are_not_text(place: str, value: object) -> None:
    """A structure in place of text is named; it is never converted to text, which can take gigabytes."""
    with pytest.raises(KubeconfigError, match="refused"):
        parse(kubeconfig(cluster={place: value}))


ALIASES = b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)
)


def test_alias_expansion_is_rejected() -> None:
    """Six hundred bytes can expand to gigabytes: the first alias is rejected."""
    with pytest.raises(KubeconfigError, match="anchors or aliases"):
        parse(ALIASES + b"clusters: [{name: k, cluster: {server: 'https://h', tls-server-name: *a8}}]")


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"server": "http://127.0.0.1:8001"}, "use https"),
        ({"server": "HTTP://localhost"}, "use https"),
        ({"server": "http://[::1]:1"}, "use https"),
        ({"server": "https://169.254.169.254"}, "link-local"),
        ({"server": "https://169.254.169.254.:443/x"}, "link-local"),
        ({"server": "https://2852039166"}, "link-local"),
        ({"server": "https://0xa9fea9fe"}, "link-local"),
        ({"server": "https://169.254.43518"}, "link-local"),
        ({"server": "https://[fe80::1%25eth0]"}, "link-local"),
        ({"server": "https://[::ffff:169.254.169.254]"}, "link-local"),
        ({"server": "https://[64:ff9b::a9fe:a9fe]"}, "link-local"),
        ({"server": "https://[64:ff9b:1::a9fe:a9fe]"}, "link-local"),
        ({"server": "https://[::ffff:0:a9fe:a9fe]"}, "link-local"),
        ({"server": "https://[fd00:ec2::254]"}, "link-local"),
        ({"proxy-url": "http://169.254.169.254:80"}, "proxy-url is a link-local"),
    ],
)
def test_refused_from_a_secret(cluster: dict[str, Any], message: str) -> None:
    """A Secret leads neither to this machine without TLS nor to the addresses of cloud metadata services."""
    with pytest.raises(KubeconfigError, match=message):
        parse(kubeconfig(cluster=cluster), untrusted=True)


ADDRESS = "169.254.170.83"


@pytest.mark.parametrize("place", ["server", "proxy-url"])
@pytest.mark.parametrize("letter", sorted(set(ADDRESS)))
def test_unicode_does_not_hide_an_address(place: str, letter: str) -> None:
    """Whatever character a URL parser takes for a letter of an address: the connection goes to that address."""
    others = [c for c in map(chr, range(0x80, 0x20000)) if unicodedata.normalize("NFKC", c) == letter]
    urls = [f"https://{ADDRESS.replace(letter, other)}" for other in [*others, *("\u3002\uff61" * (letter == "."))]]
    assert ADDRESS in {URL(url).host for url in urls}
    for url in urls:
        with pytest.raises(KubeconfigError, match=f"{place} has a host in other letters"):
            parse(kubeconfig(cluster={place: url}), untrusted=True)


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "fd00::1", "2001:db8::1", "169.253.0.1", "", "1.2.3.4.5"])
def test_private_addresses_are_allowed(host: str) -> None:
    """API servers have private addresses."""
    assert not is_link_local(host)


def test_an_error_contains_only_a_short_name() -> None:
    """A name in a kubeconfig can be any text: it is truncated and printed on one line."""
    with pytest.raises(KubeconfigError) as caught:
        parse({"current-context": "a\x1b[2J\n" * 10_000})
    assert len(str(caught.value)) <= 1_000
    assert str(caught.value).isprintable()
