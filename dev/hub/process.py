"""Runs the server as a separate process, for tests, demo and benchmarks: `with HubProcess.start() as hub: …`.

The child ends with its parent, however that ends: it reads a pipe whose other end only the parent has, and stops at
its end. (PR_SET_PDEATHSIG would follow the thread that started it, not the process.) Uses only the standard library,
and ignores the environment's proxy settings.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from dev.hub.identity import SECRET

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0  # a cold start takes one or two on a busy machine
_STOP_SECONDS = 5.0
_PAGE = 5_000


def access_key(account: str) -> str:
    """The access key of an account of the server."""
    return f"AKIA{account}"


class HubProcess:
    """A running server. Thread-safe."""

    def __init__(
        self, process: subprocess.Popen[str], url: str, accounts: Sequence[str], regions: Sequence[str], errors: IO[str]
    ) -> None:
        self._process = process
        self._errors = errors
        self._opener = build_opener(ProxyHandler({}))
        self.url = url
        self.accounts = tuple(accounts)
        self.regions = tuple(regions)

    @classmethod
    def start(
        cls,
        *,
        accounts: Sequence[str] = ("111122223333",),
        regions: Sequence[str] = ("eu-west-1",),
        quotas: bool = True,
        roles: Mapping[str, str] | None = None,
        strict_keys: bool = False,
        switches: Mapping[str, str] | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> Self:
        """Returns when the server answers. `roles`: ARN of an assumable role → its external id or "".

        Each account gets an access key (`env(account=…)`); any other key belongs to the first account.
        """
        command = [sys.executable, "-m", "dev.hub", "--follow-stdin", "--port", str(port), "--host", host]
        for account in accounts:
            command += ["--account", account, "--key", f"{access_key(account)}={account}"]
        for region in regions:
            command += ["--region", region]
        for arn, external in (roles or {}).items():
            command += ["--role", f"{arn}={external}"]
        for name, choice in (switches or {}).items():
            command += ["--switch", f"{name}={choice}"]
        command += ["--strict-keys"] * strict_keys + ["--no-quotas"] * (not quotas)
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT, text=True
        )
        hub = cls(process, "", accounts, regions, errors)
        hub.url = hub._first_line()
        return hub

    def _first_line(self) -> str:
        output = self._process.stdout
        if output is not None and select.select([output], [], [], _START_SECONDS)[0]:
            line = output.readline().strip()
            if line:
                return line
        self.stop()
        raise RuntimeError(f"The local Security Hub did not start: {self._last_words}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Returns when the process has ended. May be called again."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if not self._errors.closed:
            self._errors.seek(0)
            self._last_words = self._errors.read()[-2_000:]
            self._errors.close()

    _last_words = ""

    def env(self, *, account: str | None = None) -> dict[str, str]:
        """Environment variables that point an unmodified AWS SDK to this server, without the machine's settings."""
        return {
            **self.place(),
            "AWS_ACCESS_KEY_ID": access_key(account or self.accounts[0]),
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": "",
        }

    def place(self) -> dict[str, str]:
        """`env` without credentials."""
        host = self.url.removeprefix("http://").rpartition(":")[0]
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), host, "127.0.0.1"]))
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": self.regions[0],
            "AWS_DEFAULT_REGION": self.regions[0],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def irsa(self, *, role: str, token: Path) -> dict[str, str]:
        """What EKS adds to a Pod whose service account has a role: together with `place`, an SDK signs in with IRSA."""
        return {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}

    def pod_identity(self, *, token: Path) -> dict[str, str]:
        """What EKS adds to a Pod whose service account has an association, with this server as the agent."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }

    def findings(self, **filters: str) -> list[dict[str, Any]]:
        """All stored findings, without quotas and faults.

        Filters: account, region, prefix (of the Id), record_state, workflow, severity, cluster, without (text that the
        JSON must not contain).
        """
        found: list[dict[str, Any]] = []
        while True:
            page = self._get("findings", **filters, after=str(len(found)), limit=str(_PAGE))
            found += page["findings"]
            if not page["findings"] or len(found) >= page["total"]:
                return found

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        """Journal entries after number `since` (`seq` of an earlier answer), oldest first."""
        return list(self._log("entries", "seq", since=since, calls_since=0))

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """AWS calls after number `since`, oldest first, including rejected ones."""
        return list(self._log("calls", "call", since=0, calls_since=since))

    def _log(self, part: str, number: str, **after: int) -> Iterator[dict[str, Any]]:
        key = "since" if part == "entries" else "calls_since"
        other = "calls_since" if part == "entries" else "since"
        position = after[key]
        while True:
            # skips the other log: its numbers are lower
            page = self._get("journal", **{key: str(position), other: str(2**53)})[part]
            if not page:
                return
            yield from page
            position = page[-1][number]

    def stats(self) -> dict[str, Any]:
        """Counts since the last reset: calls by operation and status, outcomes, findings by state."""
        return self._get("stats")

    def fault(self, kind: str, **options: object) -> int:
        """Adds a fault (dev/hub/faults.py lists kinds and options). Returns its number, for `clear_fault`."""
        return int(self._send("POST", "faults", {"kind": kind, **options})["id"])

    def clear_fault(self, number: int) -> int:
        """Removes a fault; returns the number of calls that it has hit."""
        return int(self._send("DELETE", f"faults/{number}")["hits"])

    def clear_faults(self) -> None:
        self._send("DELETE", "faults")

    def analyst(
        self,
        ids: Sequence[str],
        *,
        workflow: str | None = None,
        note: str | None = None,
        account: str | None = None,
        region: str | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        """Updates findings of the default product as an analyst does; `values` as in BatchUpdateFindings."""
        body: dict[str, Any] = {"account": account or self.accounts[0], "region": region or self.regions[0]}
        if workflow is not None:
            values["Workflow"] = {"Status": workflow}
        if note is not None:
            values["Note"] = {"Text": note, "UpdatedBy": "analyst"}
        return self._send("POST", "analyst", {**body, "ids": list(ids), **values})

    def switch(self, **choices: str) -> None:
        """Sets switches (dev/hub/switches.py lists them)."""
        self._send("POST", "switches", choices)

    def quotas(self, *, on: bool) -> None:
        """Enables or disables quotas, and refills the buckets."""
        self._send("POST", "quotas", {"on": on})

    def enable(self, *, on: bool) -> None:
        """Enables or disables Security Hub in the first account and Region."""
        self._send("POST", "hubs", {"account": self.accounts[0], "region": self.regions[0], "enabled": on})

    def roles(self, roles: Mapping[str, str]) -> None:
        """Replaces the assumable roles."""
        self._send("POST", "roles", dict(roles))

    def policies(self, roles: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the roles with policies: `[{"role": ARN, "trust": …, "permissions": …}]`, as `policyhub iam-policy`
        prints them.
        """
        self._send("POST", "policies", [dict(role) for role in roles])

    def clusters(self, keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Replaces the clusters whose service account tokens are accepted: cluster ARN → its JSON Web Key Set."""
        self._send("POST", "clusters", [{"arn": arn, "jwks": jwks} for arn, jwks in keys.items()])

    def eks(self, clusters: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the EKS clusters (`dev.hub.eks.Cluster`)."""
        self._send("POST", "eks/clusters", [dict(cluster) for cluster in clusters])

    def authenticator(self, arn: str) -> str:
        """URL of the token authenticator for a cluster's API server."""
        return f"{self.url}/_eks/{arn}"

    def review(self, arn: str, token: str) -> dict[str, Any]:
        """The status of the TokenReview that a cluster's API server would get."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status: dict[str, Any] = self._send("POST", f"/_eks/{arn}", review)["status"]
        return status

    def tokens(self, arn: str) -> int:
        """The number of different tokens that a cluster's API server has sent for authentication."""
        return int(self._get("eks/tokens").get(arn, 0))

    def pass_time(self, seconds: int) -> None:
        """Sets the clock of all clusters' authenticators this far ahead."""
        self._send("POST", "eks/later", {"seconds": seconds})

    def recreate_role(self, arn: str) -> None:
        """Acts as if the role were deleted and created again."""
        self._send("POST", "roles/recreate", {"arn": arn})

    def associate(self, cluster: str, service_account: str, role: str) -> None:
        """Makes this the only association of Pod Identity; `service_account` is `namespace/name`."""
        namespace, _, name = service_account.partition("/")
        association = {"cluster": cluster, "namespace": namespace, "serviceAccount": name, "role": role}
        self._send("POST", "associations", [association])

    def session_lifetime(self, seconds: int) -> None:
        """Sets the lifetime of new sessions; 0: as requested."""
        self._send("POST", "sessions/lifetime", {"seconds": seconds})

    def expire_sessions(self) -> None:
        """Expires the credentials of all assumed roles."""
        self._send("POST", "sessions/expire")

    def reset(self) -> None:
        """Removes findings, journal and faults; switches stay, and whether quotas are enabled."""
        self._send("POST", "reset")

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        return self._send("GET", f"{path}?{urlencode(query)}" if query else path)

    def _send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        where = path if path.startswith("/") else f"/_control/{path}"
        request = Request(self.url + where, data=data, method=method)  # noqa: S310  (our own http address)
        request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=60) as response:
                answer: dict[str, Any] = json.load(response)
        except HTTPError as error:
            with error:
                raise ValueError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return answer
