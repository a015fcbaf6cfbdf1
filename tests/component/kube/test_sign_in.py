"""Where kopf finds the API server of the cluster that it runs in."""

import kopf
import pytest

from policyhub.kopf_adapter import addressed

POD = kopf.ConnectionInfo(
    server="https://kubernetes.default.svc", token="t", default_namespace="policyhub", priority=30
)


@pytest.mark.parametrize(
    ("host", "server"),
    [
        pytest.param("10.100.0.1", "https://10.100.0.1:443", id="IPv4"),
        pytest.param("fd30::1", "https://[fd30::1]:443", id="IPv6"),
    ],
)
def test_in_a_pod_kopf_needs_no_name(host: str, server: str) -> None:
    """Kopf speaks to the address that the kubelet gives, as all else does, and keeps what it found in the files."""
    signed = addressed(POD, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert signed is not None
    assert (signed.server, signed.token, signed.default_namespace) == (server, "t", "policyhub")


def test_outside_a_pod() -> None:
    """Where there is no service account, there is nothing to address."""
    assert addressed(None, {}) is None
