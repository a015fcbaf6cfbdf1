"""The client's decisions, against boto3 clients with scripted answers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore import exceptions as boto

from policyhub.api.reason import Reason
from policyhub.securityhub.arn import product_arn
from policyhub.securityhub.client import PAGE_ATTEMPTS, HubClient, workers
from policyhub.securityhub.errors import AccessLost, HubError, Refused, Throttled, Unavailable
from policyhub.securityhub.rate_limit import IMPORTS, READS, TokenBucket

ACCOUNT = "111122223333"
REGION = "eu-west-1"
DEFAULT = f"{ACCOUNT}:product/{ACCOUNT}/default"
ARN = f"arn:aws:securityhub:{REGION}:{DEFAULT}"

Answer = Mapping[str, Any] | Exception


def fault(code: str, status: int = 400) -> Exception:
    body = {"Error": {"Code": code, "Message": "said AWS"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = boto.ClientError(body, "BatchImportFindings")
    return error


class Aws:
    """Answers each call by a function of its request; keeps the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[Mapping[str, Any]], Answer] = lambda _request: {}
        self.requests: list[Mapping[str, Any]] = []
        self.account = ACCOUNT
        self.renewals = 0

    def securityhub(self) -> "Aws":
        return self

    def sts(self) -> "Aws":
        return self

    def renew(self) -> None:
        self.renewals += 1

    def secrets(self) -> frozenset[str]:
        return frozenset()

    def batch_import_findings(self, **request: object) -> Mapping[str, Any]:
        return self._reply(request)

    def get_findings(self, **request: object) -> Mapping[str, Any]:
        return self._reply(request)

    def describe_hub(self) -> Mapping[str, Any]:
        return self._reply({})

    def get_caller_identity(self) -> Mapping[str, Any]:
        return {"Account": self.account}

    def _reply(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.requests.append(request)
        reply = self.answer(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def sent(self) -> list[list[str]]:
        return [[finding["Id"] for finding in request["Findings"]] for request in self.requests]


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with workers(2) as pool:
        yield pool


@pytest.fixture
def seen() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def hub(aws: Aws, executor: ThreadPoolExecutor, seen: list[tuple[str, str]], waits: list[float]) -> HubClient:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    return HubClient(
        account=ACCOUNT,
        region=REGION,
        partition="aws",
        clients=aws,
        executor=executor,
        imports=TokenBucket(rate=1e9, burst=IMPORTS.burst),
        reads=TokenBucket(rate=1e9, burst=READS.burst),
        observer=lambda operation, code, _seconds: seen.append((operation, code)),
        sleep=sleep,
        jitter=lambda: 1.0,
    )


def findings(*ids: object) -> list[dict[str, Any]]:
    return [{"Id": str(ident), "AwsAccountId": ACCOUNT, "ProductArn": ARN, "Region": REGION} for ident in ids]


async def test_partial_failure(aws: Aws, hub: HubClient) -> None:
    """Failures are returned one by one, each with its kind; the rest is accepted."""
    codes = {"a": "InvalidInput", "b": "InvalidAccess", "c": "InternalFailure"}
    failed = [{"Id": ident, "ErrorCode": code, "ErrorMessage": f"why {ident}"} for ident, code in codes.items()]
    aws.answer = lambda _request: {"FailedCount": 3, "SuccessCount": 1, "FailedFindings": failed}
    result = await hub.import_findings(findings("a", "b", "c", "d"))
    assert result.accepted == {"d"}
    assert {i: f.kind for i, f in result.failures.items()} == {"a": "permanent", "b": "configuration", "c": "retry"}
    assert result.failures["a"].message == "why a"


@pytest.mark.parametrize(
    "response",
    [{"FailedCount": 1, "FailedFindings": []}, {"FailedCount": 1, "FailedFindings": [{"Id": "other"}]}],
)
async def test_unnamed_failures_are_sent_again(aws: Aws, hub: HubClient, response: Mapping[str, Any]) -> None:
    """If AWS counts failures without ids, nothing of the call counts as accepted."""
    aws.answer = lambda _request: response
    result = await hub.import_findings(findings("a", "b"))
    assert not result.accepted
    assert {failure.kind for failure in result.failures.values()} == {"retry"}


async def test_ignored_updates_are_accepted(aws: Aws, hub: HubClient) -> None:
    """An update that Security Hub ignored and does not count is not a failure."""
    aws.answer = lambda _request: {"FailedCount": 0, "SuccessCount": 0, "FailedFindings": []}
    assert (await hub.import_findings(findings("a"))).accepted == {"a"}


@pytest.mark.parametrize("bad", [{"0"}, {"57"}, {"3", "99"}, set(map(str, range(100)))], ids=["0", "57", "two", "all"])
async def test_refused_call_is_halved(aws: Aws, hub: HubClient, seen: list[tuple[str, str]], bad: set[str]) -> None:
    """One bad finding never stops the others: it ends alone as a permanent failure, within the documented number of
    calls.
    """

    def answer(request: Mapping[str, Any]) -> Answer:
        sent = {finding["Id"] for finding in request["Findings"]}
        return fault("InvalidInputException") if sent & bad else {"FailedCount": 0}

    aws.answer = answer
    result = await hub.import_findings(findings(*range(100)))
    assert result.accepted == {str(n) for n in range(100)} - bad
    assert set(result.failures) == bad
    assert {failure.kind for failure in result.failures.values()} == {"permanent"}
    assert len(aws.requests) <= 1 + min(14 * len(bad), 198)
    assert seen.count(("BatchImportFindings", "InvalidInputException")) >= 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (fault("TooManyRequestsException", 429), Throttled),
        (fault("InternalException", 500), Unavailable),
        (fault("AccessDeniedException", 403), AccessLost),
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1"), Unavailable),
    ],
    ids=["throttled", "500", "denied", "time-out"],
)
async def test_first_error_is_raised(aws: Aws, hub: HubClient, error: Exception, kind: type[Exception]) -> None:
    """An error before any result is raised, and the call is not repeated here."""
    aws.answer = lambda _request: error
    with pytest.raises(kind):
        await hub.import_findings(findings(*range(150)))
    assert len(aws.requests) == 1


@pytest.mark.parametrize(
    ("error", "called", "rest"),
    [
        (fault("TooManyRequestsException", 429), "unsent", "unsent"),
        (fault("ExpiredToken", 403), "configuration", "configuration"),
        (fault("InternalException", 500), "retry", "unsent"),
    ],
    ids=["throttled", "expired", "unknown"],
)
async def test_later_error_keeps_what_was_accepted(
    aws: Aws, hub: HubClient, error: Exception, called: str, rest: str
) -> None:
    """An error of a later call loses no acknowledgement: unsent findings are returned as unsent failures; only the
    findings in the failed call may have been written.
    """
    aws.answer = lambda _request: {"FailedCount": 0} if len(aws.requests) == 1 else error
    result = await hub.import_findings(findings(*range(250)))
    assert result.accepted == {str(n) for n in range(100)}
    assert {result.failures[str(n)].kind for n in range(100, 200)} == {called}
    assert {result.failures[str(n)].kind for n in range(200, 250)} == {rest}
    assert len(aws.requests) == 2


async def test_later_version_of_an_id_counts(aws: Aws, hub: HubClient) -> None:
    """Two findings of one id are two calls; the result is the later one's."""
    failed = [{"Id": "a", "ErrorCode": "InvalidInput"}]
    aws.answer = lambda _request: (
        {"FailedCount": 1, "FailedFindings": failed} if len(aws.requests) == 1 else {"FailedCount": 0}
    )
    result = await hub.import_findings(findings("a", "a"))
    assert aws.sent == [["a"], ["a"]]
    assert (result.accepted, result.failures) == ({"a"}, {})


async def test_too_large_a_finding_is_not_sent(aws: Aws, hub: HubClient) -> None:
    """It fails locally, even if it is the only one: no call is made."""
    big = {"Id": "big", "Description": "x" * 300_000}
    result = await hub.import_findings([big])
    assert result.failures["big"].kind == "permanent"
    assert not aws.requests


async def test_reads_only_own_findings(aws: Aws, hub: HubClient) -> None:
    """The filter has account, Region, product ARN and, by default, both record states; foreign results are dropped."""
    ours = findings("mine")[0]
    foreign = [ours | {"AwsAccountId": "9"}, ours | {"Region": "us-east-1"}, ours | {"ProductArn": "arn:x"}]
    aws.answer = lambda _request: {"Findings": [*foreign, ours]}
    page = await hub.get_findings({"Id": [{"Value": "m", "Comparison": "PREFIX"}], "Region": []})
    assert page.findings == (ours,)
    filters = aws.requests[0]["Filters"]
    assert {name: [entry["Value"] for entry in values] for name, values in filters.items()} == {
        "Id": ["m"],
        "AwsAccountId": [ACCOUNT],
        "Region": [REGION],
        "ProductArn": [ARN],
        "RecordState": ["ACTIVE", "ARCHIVED"],
    }
    assert "NextToken" not in aws.requests[0]
    active = [{"Value": "ACTIVE", "Comparison": "EQUALS"}]
    await hub.get_findings({"RecordState": active})
    assert aws.requests[1]["Filters"]["RecordState"] == active


def paged(*pages: tuple[list[dict[str, Any]], str]) -> Callable[[Mapping[str, Any]], Answer]:
    tokens = ["", *(token for _, token in pages)]
    return lambda request: dict(
        zip(("Findings", "NextToken"), pages[tokens.index(request.get("NextToken", ""))], strict=True)
    )


async def test_find_goes_on_over_empty_pages(aws: Aws, hub: HubClient) -> None:
    """Pages may be short or empty; only a missing token ends the read."""
    aws.answer = paged((findings("a"), "t1"), ([], "t2"), (findings("b"), ""))
    pages = [page async for page in hub.find({})]
    assert [[finding["Id"] for finding in page.findings] for page in pages] == [["a"], [], ["b"]]


async def collect(pages: AsyncIterator[object]) -> list[object]:
    return [page async for page in pages]


async def test_stuck_token_is_unavailable(aws: Aws, hub: HubClient) -> None:
    """A token that leads to itself does not loop for ever."""
    aws.answer = lambda _request: {"Findings": findings("a"), "NextToken": "same"}
    with pytest.raises(Unavailable, match="stuck"):
        await collect(hub.find({}))


async def test_refused_token_is_unavailable(aws: Aws, hub: HubClient) -> None:
    """An expired token requires a new start. A rejected filter stays rejected."""
    aws.answer = lambda request: (
        fault("InvalidInputException") if "NextToken" in request else {"Findings": [], "NextToken": "t"}
    )
    with pytest.raises(Unavailable):
        await collect(hub.find({}))
    aws.answer = lambda _request: fault("InvalidInputException")
    with pytest.raises(Refused):
        await collect(hub.find({}))


@pytest.mark.parametrize("code", ["TooManyRequestsException", "InternalException"])
async def test_a_later_page_is_retried(aws: Aws, hub: HubClient, waits: list[float], code: str) -> None:
    """Earlier pages are not read again because a later page was throttled or not answered; each wait is longer."""
    pages = paged((findings("a"), "t1"), (findings("b"), "t2"), (findings("c"), ""))
    refused = iter([1, 3, 4, 5])
    refuse = next(refused)

    def answer(request: Mapping[str, Any]) -> Answer:
        nonlocal refuse
        if len(aws.requests) - 1 == refuse:
            refuse = next(refused, -1)
            return fault(code, 500)
        return pages(request)

    aws.answer = answer
    found = [finding["Id"] async for page in hub.find({}) for finding in page.findings]
    assert found == ["a", "b", "c"]
    assert [request.get("NextToken", "") for request in aws.requests] == ["", "t1", "t1", "t2", "t2", "t2", "t2"]
    assert waits == [2, 2, 4, 8]


async def test_a_first_page_is_not_retried(aws: Aws, hub: HubClient, waits: list[float]) -> None:
    """Nothing is lost by starting again, so the caller retries."""
    aws.answer = lambda _request: fault("TooManyRequestsException")
    with pytest.raises(Throttled):
        await collect(hub.find({}))
    assert (len(aws.requests), waits) == (1, [])


async def test_patience_ends(aws: Aws, hub: HubClient) -> None:
    """A page that never arrives is an error, which can be reported."""
    aws.answer = lambda request: (
        fault("InternalException", 500) if "NextToken" in request else {"Findings": [], "NextToken": "t"}
    )
    with pytest.raises(Unavailable):
        await collect(hub.find({}))
    assert len(aws.requests) == 1 + PAGE_ATTEMPTS


async def test_by_ids_reads_twenty_at_once(aws: Aws, hub: HubClient) -> None:
    """45 ids, some twice, are three calls; findings with other ids are dropped."""

    def answer(request: Mapping[str, Any]) -> Answer:
        return {"Findings": findings(*(entry["Value"] for entry in request["Filters"]["Id"][1:]), "stranger")}

    aws.answer = answer
    found = await hub.by_ids([*map(str, range(45)), "7", "7"])
    assert [len(request["Filters"]["Id"]) for request in aws.requests] == [20, 20, 5]
    assert set(found) == set(map(str, range(45))) - {"0", "20", "40"}


async def test_by_no_ids_makes_no_call(aws: Aws, hub: HubClient) -> None:
    """An empty filter would match everything."""
    assert await hub.by_ids([]) == {}
    assert not aws.requests


async def test_account_is_verified(aws: Aws, hub: HubClient) -> None:
    """Credentials of another account are found before the first import."""
    await hub.verify_account()
    aws.account = "999900001111"
    with pytest.raises(AccessLost, match="999900001111") as caught:
        await hub.verify_account()
    assert caught.value.kind == Reason.ACCOUNT_MISMATCH


async def test_each_call_takes_a_token(aws: Aws, executor: ThreadPoolExecutor) -> None:
    """Imports and reads wait for the token of their own bucket."""
    waits: list[str] = []

    def bucket(name: str) -> TokenBucket:
        now = [0.0]

        async def sleep(seconds: float) -> None:
            waits.append(name)
            now[0] += seconds

        return TokenBucket(rate=1, burst=1, clock=lambda: now[0], sleep=sleep)

    hub = HubClient(
        account=ACCOUNT,
        region=REGION,
        partition="aws",
        clients=aws,
        executor=executor,
        imports=bucket("imports"),
        reads=bucket("reads"),
    )
    aws.answer = lambda _request: {"FailedCount": 0, "Findings": []}
    await hub.import_findings(findings(*range(300)))
    assert waits == ["imports", "imports"]
    await hub.get_findings({})
    await hub.get_findings({})
    assert waits[2:] == ["reads"]


async def test_cancelled_call_leaves_the_client_usable(aws: Aws, hub: HubClient) -> None:
    """A cancelled import returns at once; its call ends on its own and affects nobody."""
    entered, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def answer(_request: Mapping[str, Any]) -> Answer:
        loop.call_soon_threadsafe(entered.set)
        release.wait(10)
        return fault("InternalException", 500)

    aws.answer = answer
    task = asyncio.create_task(hub.import_findings(findings("a")))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    aws.answer = lambda _request: {"FailedCount": 0}
    assert (await hub.import_findings(findings("a"))).accepted == {"a"}


@pytest.mark.parametrize(
    ("error", "renewals"),
    [
        (boto.NoCredentialsError(), 1),
        (fault("ExpiredTokenException", 403), 1),
        (fault("UnrecognizedClientException", 403), 1),
        (fault("AccessDeniedException", 403), 0),
        (fault("InternalException", 500), 0),
    ],
    ids=["none", "expired", "unknown", "denied", "500"],
)
async def test_failed_credentials_are_not_kept(aws: Aws, hub: HubClient, error: Exception, renewals: int) -> None:
    """After missing, expired or unknown credentials the next call signs in again."""
    aws.answer = lambda _request: error
    with pytest.raises(HubError):
        await hub.import_findings(findings("a"))
    assert aws.renewals == renewals


@pytest.mark.parametrize(
    ("partition", "region", "arn"),
    [
        ("aws", REGION, ARN),
        ("aws-cn", "cn-north-1", f"arn:aws-cn:securityhub:cn-north-1:{DEFAULT}"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            f"arn:aws-us-gov:securityhub:us-gov-west-1:{DEFAULT}",
        ),
    ],
)
def test_product_arn_follows_the_partition(partition: str, region: str, arn: str) -> None:
    """The default product's ARN carries partition, Region and account."""
    assert product_arn(partition=partition, region=region, account=ACCOUNT) == arn
