"""Argo CD's health check of docs/install.md, run by Lua 5.1 as Argo CD does.

`make lint` installs lupa, a Lua for Python.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.component.chart.test_chart_health import CASES, Document

DOCS = (Path(__file__).parents[2] / "docs/install.md").read_text("utf-8")
KEY = "resource.customizations.health.policyhub.dev_MonitoredCluster"
BLOCK = next(block for block in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL) if KEY in block)
SCRIPT: str = yaml.safe_load(BLOCK)["data"][KEY]


@pytest.mark.parametrize(("document", "health", "_kstatus"), CASES)
def test_argo_cd_sees(document: Document, health: str, _kstatus: str) -> None:
    """What is under way progresses, what needs somebody is degraded, what waits for an approval is suspended."""
    lua = import_module("lupa.lua51").LuaRuntime()
    lua.globals().obj = table(lua, document)
    answer = dict(lua.execute(SCRIPT))
    assert answer["status"] == health
    if health in {"Degraded", "Suspended"}:
        assert "what " in answer["message"]


def table(lua: Any, value: Any) -> Any:
    """Lua's tables all the way down, as Argo CD gives them to the script."""
    if isinstance(value, dict):
        return lua.table_from({key: table(lua, item) for key, item in value.items()})
    if isinstance(value, list):
        return lua.table_from([table(lua, item) for item in value])
    return value
