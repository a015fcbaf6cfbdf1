"""Properties of the chart that need no rendering."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import policyhub
from dev.chart import schema
from dev.chart.values import parse
from policyhub.settings import Settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/policyhub"
TEMPLATES = CHART / "templates"


def test_every_value_is_used() -> None:
    """Every documented value is used by a template."""
    text = "".join(path.read_text("utf-8") for path in TEMPLATES.iterdir())
    for value in parse((CHART / "values.yaml").read_text("utf-8")):
        assert f".Values.{value.path[0]}" in text
        for child in (entry for entry in value.walk() if not entry.children):
            assert re.search(rf"\.{child.path[-1]}\b", text), child.name


@pytest.mark.parametrize("folder", sorted((ROOT / "charts").iterdir()), ids=lambda path: path.name)
def test_versions_agree(folder: Path) -> None:
    """Each chart has the version of the operator beside it."""
    chart = yaml.safe_load((folder / "Chart.yaml").read_text("utf-8"))
    assert (chart["name"], chart["appVersion"]) == (folder.name, policyhub.__version__)


def test_settings_exist() -> None:
    """Every setting that the chart itself sets exists, and `settings` offers the others."""
    own = schema.own_settings((TEMPLATES / "_env.tpl").read_text("utf-8"))
    assert own
    assert own <= Settings.model_fields.keys()
    document: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    offered = document["properties"]["settings"]["properties"]
    assert len(offered) == len(Settings.model_fields) - len(own)
    assert {"hubQuotaShare", "relistInterval"} <= offered.keys()


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_an_uninstall_waits_for_nothing(path: Path) -> None:
    """The chart has no hook and no finalizer: `helm uninstall` leaves nothing waiting."""
    text = path.read_text("utf-8")
    assert "helm.sh/hook" not in text
    assert "finalizers:" not in text
