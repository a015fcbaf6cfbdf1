"""How kopf finds the API server of its own cluster."""

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
def test_in_a_pod_kopf_uses_the_kubelets_address(host: str, server: str) -> None:
    """As all other code does, with the credentials from the mounted files."""
    signed = addressed(POD, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert signed is not None
    assert (signed.server, signed.token, signed.default_namespace) == (server, "t", "policyhub")


def test_outside_a_pod() -> None:
    """Without a service account there is no address."""
    assert addressed(None, {}) is None
