import base64

import pytest

from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.redaction import of_environment, of_url, redacted
from policyhub.securityhub.errors import HubError

PASSWORD = "S3CRET/pass@word"
TOKEN = "T0KEN-0123456789-abcdefghij"
BASIC = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SECRETS = of_url(f"http://user:{PASSWORD}@proxy:3128") | {TOKEN}


@pytest.mark.parametrize(
    "text",
    [
        f"Cannot connect to http://user:{PASSWORD}@proxy:3128",
        "'http://user:S3CRET%2Fpass%40word@proxy'",
        f"you sent Proxy-Authorization: Basic {BASIC}",
        f"you sent Proxy-Authorization: Basic {BASIC[:18]}",
        f"Authorization: Bearer {TOKEN}",
        f"authorization: bearer {TOKEN[:20]}",
        f'{{"token":"{TOKEN}"}}',
        f"the token {TOKEN[:18]} is unknown",
        base64.b64encode(TOKEN.encode()).decode(),
        f"http://u:{PASSWORD}@h:99999, https://{TOKEN}@other and http://fine",
    ],
)
def test_known_secrets(text: str) -> None:
    """Complete, truncated, quoted or encoded: a known credential is not shown."""
    shown = redacted(text, SECRETS)
    for secret in (PASSWORD, "S3CRET", BASIC[:16], TOKEN[:16], base64.b64encode(TOKEN.encode()).decode()[:16]):
        assert secret not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a:b@host/x?y", "see https://***@host/x?y"),
        ("see https://a:b@c@host/x", "see https://***@host/x"),
        ("(socks5://a:b@host:1)", "(socks5://***@host:1)"),
        ("1://a:b@h 2://c@h", "1://***@h 2://***@h"),
        (f"no token {JWT} is known", "no token *** is known"),
        ("k8s-aws-v1.aHR0cHM6Ly9zdHM was refused", "*** was refused"),
        ("Authorization: Basic dTpwdw==", "Authorization: Basic ***"),
        ("Bearer abcdefghijklmnop", "Bearer ***"),
        (
            "https://sts/?X-Amz-Date=1&X-Amz-Security-Token=IQoJb3%2F%2B&X-Amz-Signature=0123abcd&b=c",
            "https://sts/?X-Amz-Date=1&X-Amz-Security-Token=***&X-Amz-Signature=***&b=c",
        ),
        ("'x-amz-signature=0123abcd' is unknown", "'x-amz-signature=***' is unknown"),
    ],
)
def test_secrets_by_their_form(text: str, shown: str) -> None:
    """Text that looks like a credential is not shown, whoever owns it."""
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host/path?mail=a@b",
        "image registry/x:1.2@sha256:0123 is denied",
        "system:serviceaccount:a:b cannot list pods",
        "Basic authentication is not supported",
        "bearer token missing",
        "://://://@",
        "",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """A message must stay usable for its reader."""
    assert redacted(text, {"a", "", "host"[:3]}) == text


@pytest.mark.parametrize(
    "piece",
    ["://", "a://b@", "Basic ", "eyJ", "bearer a", "@", "X-Amz-Signature=", "k8s-aws-v1.", "\\", TOKEN[:16] + " "],
)
def test_long_text_is_fast(piece: str) -> None:
    """Each pattern takes linear time: a quadratic one would take minutes here."""
    redacted(piece * (200_000 // len(piece)), SECRETS)


def test_secrets_of_the_environment() -> None:
    """Of proxies, well formed or not, and of AWS."""
    found = of_environment(
        {
            "HTTPS_PROXY": "http://u:proxy-password@h",
            "http_proxy": "u:other-password@h",
            "AWS_ENDPOINT_URL_STS": "http://u:third-password@h",
            "AWS_SECRET_ACCESS_KEY": "secret-key",
            "AWS_SESSION_TOKEN": "session",
            "PATH": "/a:b@c",
        }
    )
    assert {"proxy-password", "other-password", "third-password", "secret-key", "session"} <= found
    assert not any("/a" in secret for secret in found)


@pytest.mark.parametrize(
    "error",
    [
        Unreachable(f"http://u:{PASSWORD}@h \x1b[2J", secrets=SECRETS),
        Refused(403, TOKEN, f"Bearer {TOKEN}\n", secrets=SECRETS),
        KubeconfigError(f"x {TOKEN}", secrets=SECRETS),
        HubError("http://u:pw@h " + "x" * 5_000, code="a\nb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_printable(error: Exception) -> None:
    """On one line, truncated, without a credential or terminal control characters."""
    text = str(error)
    assert text.isprintable()
    assert len(text) <= 1_500
    for secret in (PASSWORD, TOKEN, "u:pw"):
        assert secret not in text
