"""moto's server, a Security Hub that this project did not write. It ignores filters, so GetFindings returns every
finding of the account, and an import changes exactly the members that it contains.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

ACCOUNT = "111122223333"
REGION = "eu-west-1"
START_SECONDS = 60.0
IMPORT = "POST /findings/import "


class Moto:
    """A running server with Security Hub enabled, and a client. For an operator it looks like a `HubProcess`."""

    url = ""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "moto.log"
        environment = {**os.environ, "MOTO_ACCOUNT_ID": ACCOUNT}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def __enter__(self) -> Self:
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", self._log.read_text())):
            if time.monotonic() > end or self._process.poll() is not None:
                self.__exit__(None, None, None)
                raise RuntimeError(f"moto's server did not start: {self._log.read_text()}")
            time.sleep(0.1)  # no event signals a new line
        self.url = found[1]
        self._client = boto3.client(
            "securityhub",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="an-analyst",
            aws_secret_access_key="verified-by-nobody",
        )
        self._client.enable_security_hub(EnableDefaultStandards=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def env(self, *, account: str = ACCOUNT) -> dict[str, str]:
        """Environment that directs an AWS SDK here, away from this machine's own settings."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": f"AKIA{account}",
            "AWS_SECRET_ACCESS_KEY": "verified-by-nobody",
            "AWS_SESSION_TOKEN": "",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def findings(self) -> dict[str, dict[str, Any]]:
        """All findings of the account, by id."""
        pages = self._client.get_paginator("get_findings").paginate()
        return {finding["Id"]: finding for page in pages for finding in page["Findings"]}

    def write(self, *findings: dict[str, Any]) -> None:
        """Write as somebody else: moto accepts every member from everybody."""
        answer = self._client.batch_import_findings(Findings=list(findings))
        assert answer["SuccessCount"] == len(findings), answer

    def imports(self) -> int:
        """All calls of BatchImportFindings."""
        return self._log.read_text().count(IMPORT)
