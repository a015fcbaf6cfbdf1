"""Charts are rendered by the real helm."""

from pathlib import Path

import pytest
import yaml

from dev.cluster.helm import HelmError, render
from dev.cluster.toolchain import RECIPES

TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
data:
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  size: {{ required "size is required" .Values.size | quote }}
---
{{- if .Values.absent }}
kind: Nothing
{{- end }}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    for name in ("templates", "crds"):
        (tmp_path / name).mkdir()
    (tmp_path / "Chart.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v2", "name": "small", "version": "0.1.0", "kubeVersion": ">=1.30.0-0"})
    )
    (tmp_path / "templates" / "map.yaml").write_text(TEMPLATE)
    (tmp_path / "crds" / "crd.yaml").write_text("kind: CustomResourceDefinition\n")
    return tmp_path


def test_render(chart: Path) -> None:
    """A rendered chart is a list of objects: CRDs first, no empty documents, for the local Kubernetes version."""
    crd, config_map = render(chart, "my-release", "my-namespace", {"size": 3})
    assert crd["kind"] == "CustomResourceDefinition"
    assert config_map["metadata"] == {"name": "my-release", "namespace": "my-namespace"}
    assert config_map["data"] == {"kubernetes": RECIPES["kube-apiserver"].version, "size": "3"}


def test_render_failure(chart: Path) -> None:
    """Helm's error message about values reaches the caller."""
    with pytest.raises(HelmError, match="size is required"):
        render(chart, "r", "n", {})
