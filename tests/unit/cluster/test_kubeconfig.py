"""What is written into a kubeconfig, and what is read from other people's."""

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster.kubeconfig import Access, KubeconfigError, access, merge, with_token, write

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def _foreign(user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k.invalid:6443/prefix/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def test_own_kubeconfig_reads_back() -> None:
    """A kubeconfig written here gives the address, authority and token that went in."""
    config = with_token(name="alpha", url="https://127.0.0.1:1", ca=PEM, token="t", user="op", namespace="ns")
    assert access(config) == Access("https://127.0.0.1:1", PEM, token="t")
    assert config["contexts"] == [{"name": "alpha", "context": {"cluster": "alpha", "user": "op", "namespace": "ns"}}]
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode() == PEM


def test_merged_clusters_keep_their_users() -> None:
    """Merged kubeconfigs have a context each, and users of the same name stay apart."""
    merged = merge([with_token(name=name, url=f"https://{name}", ca=PEM, token=f"t-{name}") for name in ("a", "b")])
    assert merged["current-context"] == "a"
    assert access(merged, "a").token == "t-a"
    assert access(merged, "b") == Access("https://b", PEM, token="t-b")


def test_written_file_is_private(tmp_path: Path) -> None:
    """A kubeconfig file is for its owner alone, also where a readable one lay before."""
    path = tmp_path / "config"
    path.write_text("old")
    path.chmod(0o644)
    write(with_token(name="a", url="https://a", ca=None, token="t"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert access(yaml.safe_load(path.read_text())) == Access("https://a", None, token="t")


def test_foreign_kubeconfig_files_count_from_its_folder(tmp_path: Path) -> None:
    """Relative paths in a kubeconfig count from the folder it lies in."""
    for name in ("ca", "crt", "key", "token"):
        (tmp_path / name).write_text(f"{name}\n")
    user = {"client-certificate": "crt", "client-key": "key", "tokenFile": "token"}
    read = access(_foreign(user, **{"certificate-authority": "ca"}), folder=tmp_path)
    assert read == Access("https://k.invalid:6443/prefix", "ca\n", token="token", certificate="crt\n", key="key\n")


def test_exec_plugin_gives_the_token(tmp_path: Path) -> None:
    """An exec plug-in, as cloud providers use, is run and its token taken."""
    plugin = tmp_path / "plugin"
    plugin.write_text('#!/bin/sh\necho "{\\"status\\": {\\"token\\": \\"$WHO-$1\\"}}"\n')
    plugin.chmod(0o755)
    spec = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "args": ["x"],
        "env": [{"name": "WHO", "value": "me"}],
    }
    assert access(_foreign({"exec": spec})).token == "me-x"
    plugin.write_text("#!/bin/sh\necho no login >&2; exit 4\n")
    with pytest.raises(KubeconfigError, match="ended with 4: no login"):
        access(_foreign({"exec": spec}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({}, "no current context", id="empty"),
        pytest.param({"current-context": "c"}, "no context 'c'", id="dangling context"),
        pytest.param({**_foreign({}), "clusters": None}, "no cluster 'k'", id="dangling cluster"),
        pytest.param({**_foreign({}), "users": []}, "no user 'u'", id="dangling user"),
        pytest.param(_foreign({}, **{"insecure-skip-tls-verify": True}), "not verified", id="unverified"),
        pytest.param(_foreign({}, **{"certificate-authority-data": "%"}), "is not base64", id="broken authority"),
    ],
)
def test_unusable_kubeconfig(config: dict[str, Any], message: str) -> None:
    """A kubeconfig that gives no verified connection is refused with what is wrong about it."""
    with pytest.raises(KubeconfigError, match=message):
        access(config)
