"""Kubeconfigs that dev/cluster writes."""

import stat
from pathlib import Path

import yaml

from dev.cluster.kubeconfig import merge, with_token, write
from policyhub.kube.kubeconfig import Access, parse

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_own_kubeconfig_reads_back() -> None:
    """The address, authority and token are read back."""
    config = with_token(name="alpha", url="https://127.0.0.1:1", ca=PEM, token="t", user="op", namespace="ns")
    assert parse(config) == Access(server="https://127.0.0.1:1", authority=PEM.encode(), token="t")
    assert config["contexts"] == [{"name": "alpha", "context": {"cluster": "alpha", "user": "op", "namespace": "ns"}}]


def test_merged_clusters_keep_their_users() -> None:
    """Merged kubeconfigs have one context each, and users of the same name stay separate."""
    merged = merge([with_token(name=name, url=f"https://{name}", ca=PEM, token=f"t-{name}") for name in ("a", "b")])
    assert parse(merged).token == "t-a"
    assert parse({**merged, "current-context": "b"}) == Access(server="https://b", authority=PEM.encode(), token="t-b")


def test_written_file_is_private(tmp_path: Path) -> None:
    """Only its owner can read it, even if a readable file was replaced."""
    path = tmp_path / "config"
    path.write_text("old")
    path.chmod(0o644)
    write(with_token(name="a", url="https://a", ca=None, token="t"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse(yaml.safe_load(path.read_text())) == Access(server="https://a", token="t")
