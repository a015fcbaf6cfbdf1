"""Which Kubernetes API the tests use."""

from pathlib import Path

import pytest
import yaml

from dev.cluster import StartError, open_plane
from dev.cluster.kubeconfig import merge, with_token
from dev.cluster.local import Binaries
from dev.cluster.plane import KubeconfigPlane
from policyhub.kube.kubeconfig import KubeconfigError


def _kubeconfig(folder: Path) -> Path:
    path = folder / "config"
    configs = [with_token(name=name, url=f"https://{name}.invalid", ca=None, token="t") for name in ("one", "two")]
    path.write_text(yaml.safe_dump(merge(configs)))
    return path


def test_explicit_kubeconfig_comes_first(tmp_path: Path) -> None:
    """POLICYHUB_KUBECONFIG precedes KUBEBUILDER_ASSETS, and an argument precedes both."""
    path = _kubeconfig(tmp_path)
    assets = {"KUBEBUILDER_ASSETS": str(tmp_path)}
    assert isinstance(open_plane(environ={"POLICYHUB_KUBECONFIG": str(path), **assets}), KubeconfigPlane)
    assert isinstance(open_plane(kubeconfig=path, environ={"POLICYHUB_KUBECONFIG": "/missing"}), KubeconfigPlane)


def test_contexts_give_clusters(tmp_path: Path) -> None:
    """A cluster is the context of its name, else the current one; no two names share a context."""
    with KubeconfigPlane(_kubeconfig(tmp_path)) as plane:
        assert plane.cluster("two").url == "https://two.invalid"
        assert plane.cluster("alpha").url == "https://one.invalid"
        assert plane.cluster("alpha") is plane.cluster("alpha")
        with pytest.raises(KubeconfigError, match="no further context for cluster 'beta'"):
            plane.cluster("beta")


def test_plug_in(tmp_path: Path) -> None:
    """The plug-in of a kubeconfig's user, as cloud providers have, gives the token."""
    plugin = tmp_path / "plugin"
    plugin.write_text("""#!/bin/sh\necho '{"status": {"token": "from the plug-in"}}'\n""")
    plugin.chmod(0o755)
    config = with_token(name="one", url="https://one.invalid", ca=None, token="t")
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    config["users"][0]["user"] = user
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    with KubeconfigPlane(path) as plane:
        assert plane.cluster("one").access.token == "from the plug-in"


def test_unreadable_kubeconfig(tmp_path: Path) -> None:
    """A missing kubeconfig, or one that is not a YAML mapping, is rejected with its path."""
    with pytest.raises(KubeconfigError, match="cannot be read"):
        KubeconfigPlane(tmp_path / "missing")
    (tmp_path / "list").write_text("[]")
    with pytest.raises(KubeconfigError, match="is not a kubeconfig"):
        KubeconfigPlane(tmp_path / "list")


def test_assets_must_hold_the_programs(tmp_path: Path) -> None:
    """If programs are missing in KUBEBUILDER_ASSETS, that is an error, not a reason to build."""
    environ = {"KUBEBUILDER_ASSETS": str(tmp_path)}
    with pytest.raises(StartError, match="KUBEBUILDER_ASSETS is set"):
        Binaries.find(environ=environ)
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch(mode=0o755)
    assert Binaries.find(environ=environ) == Binaries(tmp_path / "etcd", tmp_path / "kube-apiserver")
