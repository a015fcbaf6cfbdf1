"""Where the probes and the metrics answer."""

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from policyhub.probes import serve


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_without_a_host_both_families_answer(address: str) -> None:
    """A kubelet asks the Pod by its address, which is of one family or the other."""
    if address == "[::1]" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with (
        serve(host=None, port=0, registry=CollectorRegistry(), lacking=lambda: "") as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}:{port}/healthz") as answer,
    ):
        assert answer.status == 200


async def test_a_host_is_the_only_one() -> None:
    """With a host, that address alone listens."""
    async with serve(host="127.0.0.1", port=0, registry=CollectorRegistry(), lacking=lambda: "") as port:
        with socket.socket() as other:
            other.bind(("127.0.0.2", port))  # free
