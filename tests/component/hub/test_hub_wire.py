"""The Security Hub client with real botocore against the local hub, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dev.hub.process import HubProcess
from policyhub.api.reason import Reason
from policyhub.securityhub.arn import product_arn
from policyhub.securityhub.client import HubClient, workers
from policyhub.securityhub.credentials import Clients, Loader, models
from policyhub.securityhub.errors import AccessLost, NotLeader, Refused, Throttled, Unavailable
from policyhub.securityhub.inventory import Inventory, Part, strip_for_import
from policyhub.securityhub.rate_limit import TokenBucket

ACCOUNT = "111122223333"
OTHER = "444455556666"
REGION = "eu-west-1"
ROLE = f"arn:aws:iam::{OTHER}:role/policyhub"
MISTRUSTING = f"arn:aws:iam::{OTHER}:role/elsewhere"
PREFIX = "policyhub/prod/"
ENVIRONMENT = (
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL_SECURITYHUB",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_USE_FIPS_ENDPOINT",
    "HTTP_PROXY",
    "http_proxy",
)

Connect = Callable[..., HubClient]


def finding(number: int, *, account: str = ACCOUNT, digest: str = "d1", day: int = 1, **more: Any) -> dict[str, Any]:
    """A finding whose id is evenly distributed by its number."""
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"{PREFIX}{number * 40503 % 65536:04x}{number:028x}",
        "ProductArn": product_arn(partition="aws", region=REGION, account=account),
        "ProductName": "policyhub",
        "GeneratorId": "policyhub/kyverno/require-labels",
        "AwsAccountId": account,
        "CreatedAt": "2026-01-01T00:00:00.123Z",
        "UpdatedAt": f"2026-01-{day:02}T00:00:00.456Z",
        "Title": "require-labels: Deployment shop/cart",
        "Description": "the label app is missing: 語",
        "FindingProviderFields": {
            "Severity": {"Label": "HIGH", "Original": "high"},
            "Types": ["Software and Configuration Checks/Kubernetes Policies/kyverno"],
        },
        "ProductFields": {
            "policyhub/digest": digest,
            "policyhub/cluster-uid": "u1",
            "policyhub/source": "kyverno",
            "policyhub/policy": "require-labels",
        },
        "Resources": [{"Type": "Other", "Id": f"kubernetes/{number}", "Details": {"Other": {"Kind": "Deployment"}}}],
        "Compliance": {"Status": "FAILED"},
        "RecordState": "ACTIVE",
        **more,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[HubProcess]:
    roles = {ROLE: "tell-nobody", MISTRUSTING: "another"}
    with HubProcess.start(accounts=(ACCOUNT, OTHER), regions=(REGION,), quotas=False, roles=roles) as process:
        yield process


@pytest.fixture(scope="module")
def loader() -> Loader:
    return models()


@pytest.fixture
def hub_server(server: HubProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubProcess]:
    """A fresh server with its environment, without this machine's AWS settings."""
    server.reset()
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    yield server
    server.enable(on=True)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with workers(2) as pool:
        yield pool


@pytest.fixture
def seen() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def connect(
    hub_server: HubProcess, executor: ThreadPoolExecutor, loader: Loader, seen: list[tuple[str, str]]
) -> Connect:
    """Makes a client of the hub that does not wait for rate-limit tokens."""

    def make(*, account: str = ACCOUNT, region: str = REGION, **options: Any) -> HubClient:
        return HubClient(
            account=account,
            region=region,
            partition="aws",
            clients=Clients(region=region, version="0", loader=loader, **options),
            executor=executor,
            imports=TokenBucket(rate=1e9, burst=30),
            reads=TokenBucket(rate=1e9, burst=6),
            observer=lambda operation, code, _seconds: seen.append((operation, code)),
        )

    return make


@pytest.fixture(params=["unset", "set"])
def bundle(request: pytest.FixtureRequest, hub_server: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA bundle in the environment, which plain HTTP ignores."""
    if request.param == "set":
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/bundle.pem")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")


async def test_250_findings_are_three_calls(
    bundle: None, connect: Connect, hub_server: HubProcess, seen: list[tuple[str, str]]
) -> None:
    """250 findings arrive complete, whatever CA bundle the environment names."""
    sent = [finding(n) for n in range(250)]
    result = await connect().import_findings(sent)
    assert result.accepted == {f["Id"] for f in sent}
    assert not result.failures
    assert seen == [("BatchImportFindings", "OK")] * 3
    stored = {f["Id"]: f for f in hub_server.findings(account=ACCOUNT)}
    assert stored.keys() == result.accepted
    assert stored[sent[7]["Id"]].items() >= {k: v for k, v in sent[7].items() if k != "ProductFields"}.items()


async def test_partial_failure(connect: Connect) -> None:
    """A finding that AWS rejects fails alone, with AWS's message; the rest is accepted."""
    good, bad = finding(1), finding(2, Title="t" * 300)
    result = await connect().import_findings([good, bad])
    assert result.accepted == {good["Id"]}
    failure = result.failures[bad["Id"]]
    assert (failure.code, failure.kind) == ("InvalidInput", "permanent")
    assert "Title" in failure.message


async def test_internal_failures_are_retried(connect: Connect, hub_server: HubProcess) -> None:
    """Failures that AWS calls internal are accepted when they are sent again."""
    hub_server.fault("partial", operation="BatchImportFindings", count=1)
    hub, sent = connect(), [finding(n) for n in range(40)]
    result = await hub.import_findings(sent)
    assert {failure.kind for failure in result.failures.values()} == {"retry"}
    again = await hub.import_findings([f for f in sent if f["Id"] in result.failures])
    assert again.accepted == set(result.failures)
    assert len(hub_server.findings()) == 40


async def test_a_refused_call_loses_only_the_bad_finding(connect: Connect, hub_server: HubProcess) -> None:
    """AWS rejects a whole call for an invalid product ARN; all other findings arrive all the same."""
    sent = [finding(n) for n in range(100)]
    sent[37]["ProductArn"] = "arn:aws:securityhub:::product/nonsense"
    result = await connect().import_findings(sent)
    assert len(result.accepted) == 99
    assert result.failures[sent[37]["Id"]].kind == "permanent"
    assert len(hub_server.findings()) == 99


async def test_six_megabytes(connect: Connect, seen: list[tuple[str, str]]) -> None:
    """Large findings go in as many calls as the size limit requires, and none is rejected for it."""
    wide = {f"key{n}": "語" * 1_000 for n in range(40)}
    result = await connect().import_findings([finding(n) | {"ProductFields": wide} for n in range(60)])
    assert len(result.accepted) == 60
    assert seen == [("BatchImportFindings", "OK")] * 2


@pytest.mark.parametrize(
    ("fault", "expected", "code"),
    [
        ("throttle", Throttled, "TooManyRequestsException"),
        ("error500", Unavailable, "InternalException"),
        ("access_denied", AccessLost, "AccessDeniedException"),
    ],
)
async def test_errors_of_a_call(  # noqa: PLR0917 - three fixtures and the columns of the table
    connect: Connect,
    hub_server: HubProcess,
    seen: list[tuple[str, str]],
    fault: str,
    expected: type[Exception],
    code: str,
) -> None:
    """Throttling, 5xx and denial are raised after one attempt, reach the observer, and end with the fault."""
    hub = connect()
    hub_server.fault(fault, operation="BatchImportFindings", count=1)
    with pytest.raises(expected, match="BatchImportFindings in account 111122223333, eu-west-1"):
        await hub.import_findings([finding(1)])
    assert len(hub_server.calls()) == 1
    await hub.import_findings([finding(1)])
    assert seen == [("BatchImportFindings", code), ("BatchImportFindings", "OK")]


async def test_denial_names_the_permission(connect: Connect, hub_server: HubProcess) -> None:
    """The message has the missing permission."""
    hub_server.fault("access_denied", operation="GetFindings")
    with pytest.raises(AccessLost, match="permission securityhub:GetFindings, and must be a role of account 1111"):
        await connect().by_ids(["x"])


async def test_the_real_quota_throttles(connect: Connect, hub_server: HubProcess) -> None:
    """Above the burst the service throttles a client without a rate limit."""
    hub_server.quotas(on=True)
    hub = connect()
    try:
        with pytest.raises(Throttled):
            await asyncio.gather(*(hub.get_findings({}) for _ in range(40)))
    finally:
        hub_server.quotas(on=False)


@pytest.mark.parametrize(("fault", "written"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_time_out_has_an_unknown_outcome(
    connect: Connect, hub_server: HubProcess, seen: list[tuple[str, str]], fault: str, written: int
) -> None:
    """A timeout is Unavailable, written or not; sending the same again results in one finding, sent once."""
    hub_server.fault(fault, operation="BatchImportFindings", count=1, delay_seconds=60)
    with pytest.raises(Unavailable):
        await connect(read_timeout=0.3).import_findings([finding(1)])
    assert seen == [("BatchImportFindings", "ReadTimeoutError")]
    assert len(hub_server.findings()) == written
    assert (await connect().import_findings([finding(1)])).accepted == {finding(1)["Id"]}
    outcomes = [entry["outcome"] for entry in hub_server.journal()]
    assert outcomes == ["lost", "created", *(["ignored"] * written)]


async def test_lost_connection(connect: Connect, hub_server: HubProcess, seen: list[tuple[str, str]]) -> None:
    """A connection that ends without an answer is Unavailable."""
    hub_server.fault("timeout_before", count=1, delay_seconds=0)
    with pytest.raises(Unavailable):
        await connect().import_findings([finding(1)])
    assert seen == [("BatchImportFindings", "ConnectionClosedError")]


async def test_nobody_listens(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a listener is Unavailable."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Unavailable):
            await connect().get_findings({})


@pytest.mark.parametrize("url", ["not a url", "http://"])
async def test_an_invalid_endpoint(connect: Connect, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """It is a configuration error."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(AccessLost) as caught:
        await connect().get_findings({})
    assert caught.value.kind == Reason.MISCONFIGURED


async def test_not_enabled(connect: Connect, hub_server: HubProcess) -> None:
    """If Security Hub is disabled, imports fail per finding and reads as a whole; both are configuration errors."""
    hub_server.enable(on=False)
    hub = connect()
    result = await hub.import_findings([finding(1)])
    assert {failure.kind for failure in result.failures.values()} == {"configuration"}
    with pytest.raises(AccessLost) as caught:
        await hub.get_findings({})
    assert caught.value.kind == Reason.NOT_ENABLED


async def test_wrong_account(connect: Connect) -> None:
    """Findings of another account are denied; a call of STS shows it before the first import."""
    hub = connect(account=OTHER)
    with pytest.raises(AccessLost) as denied:
        await hub.import_findings([finding(1, account=OTHER)])
    assert denied.value.kind == Reason.ACCESS_DENIED
    with pytest.raises(AccessLost) as caught:
        await hub.verify_account()
    assert caught.value.kind == Reason.ACCOUNT_MISMATCH
    await connect().verify_account()


async def test_wrong_region(connect: Connect) -> None:
    """Findings of another Region are denied."""
    elsewhere = finding(1) | {"ProductArn": product_arn(partition="aws", region="us-east-1", account=ACCOUNT)}
    with pytest.raises(AccessLost):
        await connect().import_findings([elsewhere])


async def test_assumed_role(connect: Connect, hub_server: HubProcess) -> None:
    """With a role of the findings' account the import succeeds; the role is assumed once."""
    hub = connect(account=OTHER, role_arn=ROLE, external_id="tell-nobody")
    await hub.verify_account()
    result = await hub.import_findings([finding(1, account=OTHER)])
    assert result.accepted
    assert len(hub_server.findings(account=OTHER)) == 1
    assert [call["operation"] for call in hub_server.calls()].count("AssumeRole") == 1


@pytest.mark.parametrize(
    ("role", "external_id", "kind"),
    [(ROLE, "wrong", "AccessDenied"), (MISTRUSTING, "", "AccessDenied"), ("arn:none", "", "Misconfigured")],
    ids=["external id", "no external id", "no role"],
)
async def test_role_that_cannot_be_assumed(connect: Connect, role: str, external_id: str, kind: str) -> None:
    """A refused AssumeRole is reported as such, whichever call needed it."""
    hub = connect(account=OTHER, role_arn=role, external_id=external_id)
    with pytest.raises(AccessLost, match=r"^AssumeRole in account 444455556666") as caught:
        await hub.get_findings({})
    assert caught.value.kind == kind


async def test_expired_session_is_replaced(connect: Connect, hub_server: HubProcess) -> None:
    """When a role's session ends early, one call fails and the next has a new session."""
    hub = connect(account=OTHER, role_arn=ROLE, external_id="tell-nobody")
    await hub.get_findings({})
    hub_server.expire_sessions()
    with pytest.raises(AccessLost) as caught:
        await hub.get_findings({})
    assert caught.value.kind == Reason.CREDENTIALS_EXPIRED
    await hub.get_findings({})


async def test_late_credentials(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nothing is sent; credentials that appear later are used."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    hub = connect()
    with pytest.raises(AccessLost) as caught:
        await hub.get_findings({})
    assert caught.value.kind == Reason.CREDENTIALS_MISSING
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA{ACCOUNT}")
    await hub.get_findings({})


async def test_missing_identity_token(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing web identity token file is a credentials error."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token")
    with pytest.raises(AccessLost) as caught:
        await connect().get_findings({})
    assert caught.value.kind == Reason.CREDENTIALS_MISSING


async def test_paging(connect: Connect) -> None:
    """All findings of both record states are read, page by page."""
    hub = connect()
    sent = [finding(n, RecordState="ARCHIVED" if n % 2 else "ACTIVE") for n in range(250)]
    await hub.import_findings(sent)
    pages = [page async for page in hub.find({"Id": [{"Value": PREFIX, "Comparison": "PREFIX"}]})]
    assert [len(page.findings) for page in pages] == [100, 100, 50]
    assert {f["Id"] for page in pages for f in page.findings} == {f["Id"] for f in sent}


async def test_refused_filter(connect: Connect) -> None:
    """A filter that the service does not know is rejected."""
    with pytest.raises(Refused):
        await connect().get_findings({"Keyword": [{"Value": "x"}]})


async def test_by_ids(connect: Connect, seen: list[tuple[str, str]]) -> None:
    """Findings are read by id, 20 a call; unknown ids are absent."""
    hub = connect()
    sent = [finding(n) for n in range(45)]
    await hub.import_findings(sent)
    seen.clear()
    found = await hub.by_ids([*(f["Id"] for f in sent), f"{PREFIX}nothing"])
    assert found.keys() == {f["Id"] for f in sent}
    assert seen == [("GetFindings", "OK")] * 3


async def inventory(hub: HubClient) -> list[Part]:
    return [part async for part in Inventory(hub, cluster="prod", unsplit_below=1, split_above=200).parts()]


@pytest.mark.parametrize(("count", "parts", "calls"), [(0, 1, 1), (100, 1, 1), (250, 16, 2 + 16)])
async def test_inventory(connect: Connect, seen: list[tuple[str, str]], count: int, parts: int, calls: int) -> None:
    """A small cluster is read in one call, a large one in sixteen parts, without findings of other clusters."""
    hub = connect()
    sent = [finding(n) for n in range(count)]
    await hub.import_findings([*sent, finding(1) | {"Id": "policyhub/prod-eu/" + "0" * 32}])
    seen.clear()
    read = await inventory(hub)
    assert len(read) == parts
    assert len(seen) == calls
    held = {f.id: f for part in read for f in part.findings}
    assert held.keys() == {f["Id"] for f in sent}
    assert {f.digest for f in held.values()} <= {"d1"}
    assert {(f.created_at, f.updated_at) for f in held.values()} <= {(1767225600123, 1767225600456)}
    assert {(f.workflow_status, f.severity, f.cluster_uid) for f in held.values()} <= {("NEW", "HIGH", "u1")}


async def test_inventory_survives_failures(connect: Connect, hub_server: HubProcess) -> None:
    """An inventory with throttling and errors is complete in the end, and repeats only failed parts."""
    hub = connect()
    sent = [finding(n) for n in range(250)]
    await hub.import_findings(sent)
    hub_server.fault("throttle", operation="GetFindings", probability=0.3, seed=1)
    hub_server.fault("error500", operation="GetFindings", probability=0.2, seed=2)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    parts = [
        part async for part in Inventory(hub, cluster="prod", sleep=sleep, unsplit_below=1, split_above=200).parts()
    ]
    assert waits
    assert sorted(part.prefix for part in parts) == [PREFIX + digit for digit in "0123456789abcdef"]
    assert {f.id for part in parts for f in part.findings} == {f["Id"] for f in sent}
    reads = [call for call in hub_server.calls() if call["operation"] == "GetFindings"]
    failed = sum(call["status"] != 200 for call in reads)
    assert 18 <= len(reads) - failed <= 18 + 1  # a failed estimate is repeated after one more page


@pytest.fixture(params=["cleared", "kept"])
async def omitted(request: pytest.FixtureRequest, hub_server: HubProcess) -> AsyncIterator[None]:
    """Both documented behaviours for optional fields that an update omits."""
    hub_server.switch(omitted_fields=request.param)
    yield
    hub_server.switch(omitted_fields="cleared")


async def test_archiving_keeps_triage(omitted: None, connect: Connect, hub_server: HubProcess) -> None:
    """A finding that is read, stripped and imported as ARCHIVED changes only its state and times."""
    hub, ident = connect(), finding(1)["Id"]
    await hub.import_findings([finding(1)])
    hub_server.analyst(
        [ident],
        workflow="NOTIFIED",
        note="looked at it",
        Severity={"Label": "LOW"},
        Types=["Effects/Mine"],
        Confidence=17,
        UserDefinedFields={"ticket": "1"},
        VerificationState="BENIGN_POSITIVE",
    )
    before = (await hub.by_ids([ident]))[ident]
    assert before["Severity"]["Label"] == "LOW"
    body = strip_for_import(before) | {"RecordState": "ARCHIVED", "UpdatedAt": "2026-01-02T00:00:00.000Z"}
    result = await hub.import_findings([body])
    assert result.accepted == {ident}
    after = (await hub.by_ids([ident]))[ident]
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"RecordState", "UpdatedAt", "ProcessedAt"}
    assert after["RecordState"] == "ARCHIVED"


async def test_cancelled_import(connect: Connect, hub_server: HubProcess) -> None:
    """Cancelling does not wait for the answer; the client stays usable, and the finding exists once."""
    hub = connect()
    hub_server.fault("timeout_after", operation="BatchImportFindings", count=1, delay_seconds=2)
    task = asyncio.create_task(hub.import_findings([finding(1)]))
    while not await asyncio.to_thread(hub_server.findings):  # noqa: ASYNC110 - another process, asked over HTTP
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await hub.import_findings([finding(1)])
    assert len(hub_server.findings()) == 1


async def test_many_at_once(connect: Connect, hub_server: HubProcess) -> None:
    """Calls of several tasks share threads and connections, and all arrive."""
    hub = connect()
    results = await asyncio.gather(*(hub.import_findings([finding(100 * n + m) for m in range(30)]) for n in range(8)))
    assert sum(len(result.accepted) for result in results) == 240
    assert len(hub_server.findings()) == 240


@pytest.mark.parametrize("role", ["", ROLE], ids=["own identity", "assumed role"])
async def test_a_withheld_call_is_not_sent(
    connect: Connect, hub_server: HubProcess, seen: list[tuple[str, str]], role: str
) -> None:
    """Without permission nothing is sent, not even a sign-in; with permission the same call succeeds."""
    allowed: list[float] = []

    def may_send(seconds: float) -> bool:
        return seconds in allowed

    options = {"role_arn": role, "external_id": "tell-nobody"} if role else {}
    hub = connect(
        account=OTHER if role else ACCOUNT, may_send=may_send, connect_timeout=1.0, read_timeout=2.0, **options
    )
    mine = finding(1, account=hub.account)
    for call in (hub.import_findings([mine]), hub.by_ids(["x"]), hub.verify_account()):
        with pytest.raises(NotLeader):
            await call
    assert not hub_server.calls()
    assert {code for _, code in seen} == {"NotLeader"}
    allowed.append(3.0)
    assert (await hub.import_findings([mine])).accepted


async def test_permission_is_checked_after_the_sign_in(connect: Connect, hub_server: HubProcess) -> None:
    """A slow sign-in does not delay its call past the permission: each request checks."""
    answers = iter([True, False])
    hub = connect(account=OTHER, may_send=lambda _: next(answers), role_arn=ROLE, external_id="tell-nobody")
    with pytest.raises(NotLeader):
        await hub.import_findings([finding(1, account=OTHER)])
    assert [call["operation"] for call in hub_server.calls()] == ["AssumeRole"]
