"""Runs the real `policyhub doctor` command with the operator's service account."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.operator.world import SETTINGS, World

ROOT = Path(__file__).parents[3]
CLOCK = ROOT / "tests/faults/clock"
SECONDS = 120.0


@dataclass(frozen=True)
class DoctorResult:
    """Exit code and check results of one run."""

    code: int
    verdicts: list[dict[str, str]]

    def of(self, check: str, *, about: str = "") -> list[dict[str, str]]:
        """The results of a check whose subject starts with `about`."""
        return [v for v in self.verdicts if v["check"] == check and v["about"].startswith(about)]

    def states(self, check: str, *, about: str = "") -> list[str]:
        return [verdict["state"] for verdict in self.of(check, about=about)]

    def problem(self, check: str) -> dict[str, str]:
        """The only problem of a check."""
        (found,) = [verdict for verdict in self.of(check) if verdict["state"] == "problem"]
        assert self.code == 1
        assert found["remedy"]
        return found


class DoctorCli:
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder

    def run(
        self, *given: str, kubeconfig: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs policyhub commands with the credentials of the chart's service account and of the hub's account."""
        environment = {
            **os.environ,
            "POLICYHUB_EKS_ENDPOINT_HOSTS": SETTINGS["POLICYHUB_EKS_ENDPOINT_HOSTS"],
            **self.world.hub.env(),
            "KUBECONFIG": str(kubeconfig or self.world.installed.kubeconfig()),
            **(environ or {}),
        }
        return subprocess.run(  # noqa: S603  (our own command)
            [sys.executable, "-m", "policyhub", *given],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def doctor(
        self, *given: str, kubeconfig: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> DoctorResult:
        done = self.run("doctor", "-o", "json", *given, kubeconfig=kubeconfig, environ=environ)
        assert not done.stderr, done.stderr
        output: dict[str, Any] = json.loads(done.stdout)
        assert output["exitCode"] == done.returncode
        return DoctorResult(done.returncode, output["results"])

    def later(self, seconds: int) -> dict[str, str]:
        """An environment whose clock is this many seconds ahead."""
        offset = self._folder / "offset"
        offset.write_text(str(seconds))
        path = os.pathsep.join(filter(None, [str(CLOCK), os.environ.get("PYTHONPATH", "")]))
        return {"PYTHONPATH": path, "FAKE_OFFSET": str(offset)}

    def kubeconfig(self, content: dict[str, Any], name: str) -> Path:
        path = self._folder / name
        path.write_text(json.dumps(content))
        return path
