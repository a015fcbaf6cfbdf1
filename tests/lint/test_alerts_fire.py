"""Every alert of the chart, evaluated by Prometheus' own promtool: when it fires, what it says, and when it does not.

`make lint` runs this. Debian's package `prometheus` contains promtool.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.component.alerts.test_alerts import ALERTS, FILE, FIRING, RULES, SILENT, Case


def promtool(*arguments: str) -> str:
    """Its output."""
    program = shutil.which("promtool")
    assert program, "promtool is not installed, so no alert can be evaluated: install Debian's package prometheus"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603  (found on PATH)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def evaluate(folder: Path, series: Mapping[str, str], *tests: dict[str, Any]) -> None:
    """Run promtool's own unit tests over these series."""
    document = {
        "rule_files": [str(FILE)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": list(tests),
            }
        ],
    }
    path = folder / "rules.test.yaml"
    path.write_text(json.dumps(document))
    promtool("test", "rules", str(path))


def said(case: Case) -> dict[str, str]:
    """The annotations, as Prometheus fills them for this case."""
    rule = next(r for r in RULES if r["alert"] == case.alert and r["labels"]["severity"] == case.severity)

    def fill(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: case.labels[found[1]], text)
        return re.sub(r"\{\{ \$value( \| humanizeDuration)? \}\}", case.value, text)

    return {name: fill(text) for name, text in rule["annotations"].items()}


@pytest.mark.parametrize("case", FIRING, ids=lambda case: f"{case.alert} {case.name}".strip())
def test_an_alert_fires_when_it_should_and_says_what_is_wrong(case: Case, tmp_path: Path) -> None:
    """It is silent before its time, then fires with its labels, and its annotations name what they are about."""
    alert = {"exp_labels": {**case.labels, "severity": case.severity}, "exp_annotations": said(case)}
    evaluate(
        tmp_path,
        case.series,
        {"alertname": case.alert, "eval_time": case.quiet, "exp_alerts": []},
        {"alertname": case.alert, "eval_time": case.fires, "exp_alerts": [alert]},
    )


@pytest.mark.parametrize(("series", "at"), SILENT.values(), ids=SILENT.keys())
def test_no_alert_fires_without_a_reason(series: Mapping[str, str], at: str, tmp_path: Path) -> None:
    """None of them fires at any time up to then."""
    silent = [{"alertname": alert, "eval_time": at, "exp_alerts": []} for alert in ALERTS]
    evaluate(tmp_path, series, *silent)


def test_promtool_finds_nothing_to_say() -> None:
    """The rules are what Prometheus loads."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(FILE))
