"""Which proxy is used for a cluster."""

import pytest

from policyhub.kube.kubeconfig import Access
from policyhub.kube.trust import proxy_for

HTTPS, HTTP = "https://cluster.example.com:6443", "http://127.0.0.1:8001"
OWN, THEIRS = "http://own.example.com:1", "http://someone:secret@proxy.example.com:3128"


@pytest.mark.parametrize(
    ("server", "own", "environ", "by"),
    [
        (HTTPS, None, {}, None),
        (HTTPS, None, {"HTTPS_PROXY": THEIRS}, THEIRS),
        (HTTPS, None, {"https_proxy": THEIRS}, THEIRS),
        (HTTPS, OWN, {"HTTPS_PROXY": THEIRS}, OWN),
        (HTTPS, OWN, {"NO_PROXY": "cluster.example.com"}, OWN),
        (HTTPS, None, {"HTTP_PROXY": THEIRS}, None),
        (HTTPS, None, {"HTTPS_PROXY": THEIRS, "NO_PROXY": "a.example.com,.example.com"}, None),
        (HTTPS, None, {"HTTPS_PROXY": THEIRS, "NO_PROXY": "example.org"}, THEIRS),
        (HTTPS, None, {"HTTPS_PROXY": "https://proxy.example.com"}, None),
        (HTTPS, None, {"HTTPS_PROXY": "proxy.example.com:3128"}, "http://proxy.example.com:3128"),
        (HTTP, None, {"HTTP_PROXY": THEIRS, "HTTPS_PROXY": THEIRS}, None),
    ],
    ids=[
        "none",
        "of the environment",
        "in small letters",
        "of the access",
        "of the access, whatever NO_PROXY says",
        "for other schemes",
        "not for this domain",
        "not for another domain",
        "by TLS, which aiohttp does not speak to a proxy of the environment",
        "without a scheme",
        "plain http",
    ],
)
def test_proxy_selection(
    server: str, own: str | None, environ: dict[str, str], by: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubeconfig's proxy precedes the environment's; plain http uses none."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(Access(server=server, proxy=own)) == by
