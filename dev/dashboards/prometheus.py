"""Runs a Prometheus (Debian's package) that scrapes operators on this machine, and queries it."""

import json
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from dev.cluster.process import Launcher
from dev.dashboards.board import Query
from dev.testbed import OperatorError, until

SCRAPE_SECONDS = 1
START_SECONDS = 30.0
RATE_INTERVAL = "15s"
"""Value for Grafana's $__rate_interval, scaled to the scrape interval."""

Result = list[dict[str, Any]]


class PrometheusError(Exception):
    """It did not start, or rejected a query; the message has its output."""


class Prometheus:
    """A child process, which dies with this one."""

    def __init__(self, folder: Path, targets: Sequence[str], *, rules: Path | None = None) -> None:
        """`targets`: host:port; `rules`: a file of alerts to evaluate."""
        self._folder = folder
        self._targets = targets
        self._rules = rules
        self._launcher = Launcher()
        self.url = ""

    @staticmethod
    def installed() -> str | None:
        """Path of the program; None if it is not installed."""
        return shutil.which("prometheus")

    def __enter__(self) -> Self:
        program = self.installed()
        if program is None:
            raise PrometheusError("there is no prometheus on PATH (Debian: prometheus)")
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "5s"},
            "rule_files": [str(self._rules)] if self._rules is not None else [],
            "scrape_configs": [{"job_name": "policyhub", "static_configs": [{"targets": list(self._targets)}]}],
        }
        path = self._folder / "prometheus.yml"
        path.write_text(json.dumps(configuration))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        child = self._launcher.start(
            "prometheus",
            [
                program,
                f"--config.file={path}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            log=self._folder / "prometheus.log",
        )
        with suppress(OperatorError):
            until(lambda: child.returncode is not None or self._ready(), seconds=START_SECONDS, what="prometheus")
        if not self._ready():
            self._launcher.close()
            raise PrometheusError(f"prometheus did not start:\n{child.tail()}")
        return self

    def __exit__(self, *_: object) -> None:
        self._launcher.close()

    def _ready(self) -> bool:
        with suppress(URLError, OSError, PrometheusError):  # not started yet, or not ready
            return self._get("/-/ready", {}) != ""
        return False

    def now(self, expr: str) -> Result:
        """The current value of each series."""
        return self._result("/api/v1/query", {"query": expr})

    def over(self, expr: str, *, seconds: int, step: int = 1) -> Result:
        """The values of each series in the last seconds."""
        end = time.time()
        return self._result(
            "/api/v1/query_range", {"query": expr, "start": str(end - seconds), "end": str(end), "step": str(step)}
        )

    def alerts(self) -> Result:
        """Pending and firing alerts."""
        found: Result = json.loads(self._get("/api/v1/alerts", {}))["data"]["alerts"]
        return found

    def rules(self) -> Result:
        """The rules with their health at the last evaluation."""
        groups = json.loads(self._get("/api/v1/rules", {}))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _result(self, path: str, parameters: Mapping[str, str]) -> Result:
        found: Result = json.loads(self._get(path, parameters))["data"]["result"]
        return found

    def _get(self, path: str, parameters: Mapping[str, str]) -> str:
        url = f"{self.url}{path}?{urlencode(parameters)}"
        try:
            with build_opener(ProxyHandler({})).open(url, timeout=30) as answer:
                text: str = answer.read().decode()
        except URLError as error:
            body = error.read().decode() if hasattr(error, "read") else ""
            if body:
                raise PrometheusError(f"{parameters.get('query', path)}: {body}") from error
            raise
        return text


def filled(query: Query, variables: Mapping[str, str]) -> str:
    """The query as Grafana sends it, with its variables replaced."""
    expr = query.expr.replace("$__rate_interval", RATE_INTERVAL)
    for name, value in variables.items():
        expr = expr.replace(f"${name}", value)
    return expr


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
