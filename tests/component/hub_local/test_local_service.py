"""Identity, quotas, faults, the control endpoint and the process of the local hub."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from dev.hub.process import HubProcess
from dev.hub.sample import finding, later, product_arn

OTHER = "444455556666"
ROLE = f"arn:aws:iam::{OTHER}:role/path/importer"


def assumed(client: Any, **options: Any) -> dict[str, str]:
    given = client("sts").assume_role(RoleArn=ROLE, RoleSessionName="test", **options)["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def code(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"], refused.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_caller(client: Any) -> None:
    """An access key belongs to its account."""
    assert client("sts").get_caller_identity()["Account"] == "111122223333"
    assert client("sts", account=OTHER).get_caller_identity()["Account"] == OTHER
    assert client("sts", aws_access_key_id="AKIAANYOTHER").get_caller_identity()["Account"] == "111122223333"


def test_assumed_role(hub: HubProcess, client: Any) -> None:
    """An assumed role belongs to the role's account, and can import there."""
    session = assumed(client)
    me = client("sts", **session).get_caller_identity()
    assert (me["Account"], me["Arn"]) == (OTHER, f"arn:aws:sts::{OTHER}:assumed-role/importer/test")
    answer = client(**session).batch_import_findings(Findings=[finding(account=OTHER)])
    assert answer["SuccessCount"] == 1
    assert code(lambda: client(**session).batch_import_findings(Findings=[finding()])) == ("AccessDeniedException", 403)
    hub.expire_sessions()
    assert code(client(**session).describe_hub) == ("ExpiredTokenException", 403)
    assert code(client("sts", **session).get_caller_identity) == ("ExpiredToken", 403)


def test_unknown_session(client: Any) -> None:
    """Unknown temporary credentials are rejected."""
    made_up = {"aws_access_key_id": "ASIAMADEUP", "aws_secret_access_key": "x", "aws_session_token": "y"}
    assert code(client(**made_up).describe_hub) == ("UnrecognizedClientException", 403)


def test_external_id(hub: HubProcess, client: Any) -> None:
    """A role with an external id requires it; an unknown role cannot be assumed."""
    hub.roles({ROLE: "agreed"})
    assert assumed(client, ExternalId="agreed")
    assert code(lambda: assumed(client)) == ("AccessDenied", 403)
    assert code(lambda: assumed(client, ExternalId="guessed")) == ("AccessDenied", 403)
    hub.roles({"arn:aws:iam::111122223333:role/another": ""})
    assert code(lambda: assumed(client, ExternalId="agreed")) == ("AccessDenied", 403)


def test_unknown_action(client: Any) -> None:
    """An unsupported STS action is rejected by name."""
    assert code(client("sts").get_session_token) == ("InvalidAction", 400)


def test_throttling(hub: HubProcess, client: Any) -> None:
    """Over quota the answer is 429 TooManyRequestsException, for that account, Region and operation alone."""
    hub.quotas(on=True)
    securityhub = client()
    codes = []
    for _ in range(20):
        try:
            securityhub.get_findings(MaxResults=1)
        except ClientError as error:
            codes.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))
    assert set(codes) == {("TooManyRequestsException", 429)}
    assert hub.stats()["calls"]["GetFindings"] == {"200": 20 - len(codes), "429": len(codes)}
    securityhub.batch_import_findings(Findings=[finding()])
    client(account=OTHER).get_findings(MaxResults=1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttle", ("TooManyRequestsException", 429)),
        ("error500", ("InternalException", 500)),
        ("access_denied", ("AccessDeniedException", 403)),
        ("expired", ("ExpiredTokenException", 403)),
    ],
)
def test_fault(hub: HubProcess, client: Any, kind: str, expected: tuple[str, int]) -> None:
    """An injected error hits its operation as often as requested, and writes nothing."""
    securityhub = client()
    hub.fault(kind, operation="BatchImportFindings", count=1)
    assert code(lambda: securityhub.batch_import_findings(Findings=[finding()])) == expected
    assert hub.findings() == []
    assert securityhub.batch_import_findings(Findings=[finding()])["SuccessCount"] == 1
    assert [call["status"] for call in hub.calls()] == [expected[1], 200]


def test_expired_credentials_of_sts(hub: HubProcess, client: Any) -> None:
    """STS has its own error code; removing a fault returns the number of calls that it hit."""
    number = hub.fault("expired")
    assert code(lambda: client("sts").get_caller_identity()) == ("ExpiredToken", 403)
    assert hub.clear_fault(number) == 1
    assert client("sts").get_caller_identity()["Account"] == "111122223333"


@pytest.mark.parametrize(("kind", "written"), [("error500", 0), ("timeout_before", 0), ("timeout_after", 1)])
def test_lost_answer(hub: HubProcess, client: Any, kind: str, *, written: int) -> None:
    """The journal lists the findings of a call whose answer got lost, with the outcome `lost`."""
    number = hub.fault(kind, operation="BatchImportFindings", delay_seconds=0)
    with pytest.raises((ClientError, ConnectionClosedError)):
        client().batch_import_findings(Findings=[finding()])
    lost, *rest = hub.journal()
    (call,) = hub.calls()
    assert (lost["kind"], lost["id"], lost["detail"], lost["call"]) == ("lost", "one", kind, call["call"])
    assert lost["updated_at"] == finding()["UpdatedAt"]
    assert [entry["outcome"] for entry in rest] == ["created"] * written
    assert hub.stats()["outcomes"] == ({"created": 1} if written else {})
    assert hub.clear_fault(number) == 1


@pytest.mark.parametrize(("kind", "written"), [("timeout_before", 0), ("timeout_after", 1)])
def test_no_answer(hub: HubProcess, client: Any, kind: str, *, written: int) -> None:
    """A call without an answer may have been written or not; the client cannot know."""
    hub.fault(kind, operation="BatchImportFindings", count=1, delay_seconds=30)
    with pytest.raises(ReadTimeoutError):
        client(read_timeout=0.5).batch_import_findings(Findings=[finding()])
    assert len(hub.findings()) == written


def test_cut_connection(hub: HubProcess, client: Any) -> None:
    """With no delay the connection ends at once."""
    hub.fault("timeout_after", operation="BatchImportFindings", count=1, delay_seconds=0)
    with pytest.raises(ConnectionClosedError):
        client().batch_import_findings(Findings=[finding()])
    assert len(hub.findings()) == 1


def test_partial_fault(hub: HubProcess, client: Any) -> None:
    """An injected partial failure fails some findings with InternalFailure, always the same ones."""
    failed = []
    for _ in range(2):
        hub.reset()
        hub.fault("partial", count=1, share=0.3, seed=5)
        answer = client().batch_import_findings(Findings=[finding(str(n)) for n in range(50)])
        assert {item["ErrorCode"] for item in answer["FailedFindings"]} == {"InternalFailure"}
        failed.append([item["Id"] for item in answer["FailedFindings"]])
    assert failed[0] == failed[1]
    assert 1 <= len(failed[0]) < 50


def test_findings_without_a_text(hub: HubProcess, client: Any) -> None:
    """Findings can be filtered by a text that their JSON must not contain; quotes in a value do not match JSON
    quotes.
    """
    titled = [finding("one", Title="mine"), finding("two", Title='says "Title":"mine"'), finding("three")]
    client().batch_import_findings(Findings=titled)
    assert [found["Id"] for found in hub.findings(without='"Title":"mine"')] == ["three", "two"]


def test_lag(hub: HubProcess, client: Any) -> None:
    """With lag GetFindings returns an earlier state, while the findings themselves are current."""
    securityhub = client()
    securityhub.batch_import_findings(Findings=[finding("old", Title="before")])
    number = hub.fault("lag", operation="GetFindings", delay_seconds=3600)
    securityhub.batch_import_findings(Findings=[finding("old", Title="after", UpdatedAt=later(1)), finding("new")])
    assert [found["Title"] for found in securityhub.get_findings()["Findings"]] == ["before"]
    assert len(hub.findings()) == 2
    hub.clear_fault(number)
    assert [found["Id"] for found in securityhub.get_findings()["Findings"]] == ["new", "old"]


def test_journal(hub: HubProcess, client: Any) -> None:
    """The journal can be read from any number, and has the outcome of each finding's import."""
    client().batch_import_findings(Findings=[finding(ProductFields={"tool/cluster": "prod"})])
    (entry,) = hub.journal()
    assert {name: entry[name] for name in ("id", "outcome", "record_state", "cluster", "account", "region")} == {
        "id": "one",
        "outcome": "created",
        "record_state": "ACTIVE",
        "cluster": "prod",
        "account": "111122223333",
        "region": "eu-west-1",
    }
    client().batch_import_findings(Findings=[finding("two")])
    assert [item["id"] for item in hub.journal(since=entry["seq"])] == ["two"]
    assert [(call["operation"], call["findings"]) for call in hub.calls()] == [("BatchImportFindings", 1)] * 2
    assert hub.journal()[1]["call"] == hub.calls()[1]["call"]


def request(hub: HubProcess, path: str, **headers: str) -> int:
    connection = HTTPConnection(hub.url.removeprefix("http://"))
    try:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_foreign_pages(hub: HubProcess) -> None:
    """A web page of another origin reaches neither page nor control endpoint through a browser."""
    assert request(hub, "/_control/stats") == 200
    assert request(hub, "/_control/stats", Origin=hub.url) == 200
    assert request(hub, "/_control/stats", Origin="https://example.com") == 403
    assert request(hub, "/", Host="rebound.example.com") == 403
    assert request(hub, "/_control/stats", Host="rebound.example.com", Authorization="x") == 403
    assert request(hub, "/accounts", Origin=hub.url, Authorization="x") == 403
    assert request(hub, "/nothing") == 403


def test_wrong_control_request(hub: HubProcess) -> None:
    """An invalid control request gets an error message."""
    with pytest.raises(ValueError, match="'explode'"):
        hub.fault("explode")
    with pytest.raises(ValueError, match="omitted_fields"):
        hub.switch(omitted_fields="sometimes")


def test_environment(hub: HubProcess) -> None:
    """The environment works in a process with its own proxy, CA bundle and AWS settings."""
    program = (
        "import boto3; c = boto3.client('sts'); print(c.get_caller_identity()['Account']); c.close();"
        "c = boto3.client('securityhub'); print(c.describe_hub()['HubArn']); c.close()"
    )
    awkward = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "left over",
        "AWS_CA_BUNDLE": os.devnull,
    }
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        env={**os.environ, **awkward, **hub.env()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["111122223333", "arn:aws:securityhub:eu-west-1:111122223333:hub/default"]


def test_dies_with_its_parent() -> None:
    """A server whose parent is killed stops on its own."""
    program = (
        "import os, signal; from dev.hub.process import HubProcess; hub = HubProcess.start();"
        "print(hub.pid, hub.url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    pid, url = killed.stdout.split()
    descriptor = os.pidfd_open(int(pid)) if _alive(int(pid)) else None
    if descriptor is not None:
        assert select.select([descriptor], [], [], 30)[0], f"{url} outlived its parent"
        os.close(descriptor)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_port_file(tmp_path: Path) -> None:
    """The port file contains the listening port."""
    root = Path(__file__).resolve().parents[3]
    target = tmp_path / "port"
    command = [sys.executable, "-m", "dev.hub", "--port-file", str(target), "--account", OTHER]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - same
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{target.read_text()}"
        connection = HTTPConnection(url.removeprefix("http://"))
        connection.request("GET", "/_control/stats")
        assert json.load(connection.getresponse())["findings"] == 0
        connection.close()
        process.terminate()


def test_analyst_in_another_account(hub: HubProcess, client: Any) -> None:
    """The analyst shortcut reaches any account's findings and reports missing ones."""
    client(account=OTHER).batch_import_findings(Findings=[finding(account=OTHER)])
    answer = hub.analyst(["one", "nothing"], workflow="RESOLVED", account=OTHER)
    assert [item["ProductArn"] for item in answer["ProcessedFindings"]] == [product_arn(OTHER)]
    assert len(answer["UnprocessedFindings"]) == 1
