"""One Security Hub: imports findings and reads them back. The only place that calls Security Hub.

Invariants
* Each import and each read takes a token of its bucket first. Only later pages of a reading are retried here; the
  caller retries everything else.
* The last check, in the thread of the call, is whether it may be sent at all (`may_send` of `credentials.Clients`).
* Credentials that fail are dropped: the next call signs in again.
* One finding never fails a whole import: a refused call is halved until the bad finding is alone.
* Only our own findings are read: each request filters by account, Region and product ARN, and each result is checked
  again, because an administrator account or an aggregation Region also gets findings of other accounts and Regions.

botocore blocks, so it runs in the executor. A method can be cancelled at any time: a running call continues to its end,
its outcome is unknown, and sending the same again is harmless.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, Protocol, TypeVar

import structlog

from policyhub.securityhub import batch, errors
from policyhub.securityhub.advice import AWS_SIDE
from policyhub.securityhub.arn import product_arn
from policyhub.securityhub.batch import Finding
from policyhub.securityhub.credentials import SecurityHub, Sts
from policyhub.securityhub.errors import Failure
from policyhub.securityhub.rate_limit import TokenBucket

log = structlog.get_logger(__name__)

_IMPORT = "BatchImportFindings"
WORKERS = 4
PAGE = 100
"""MaxResults of GetFindings, at its maximum."""
PAGE_ATTEMPTS = 8
"""For one later page, in about half a minute; then the reading fails, and its caller can report that."""
PAGE_WAIT_SECONDS = 8.0
"""The longest wait between two attempts, with full jitter, in addition to the pace of the bucket."""
MAX_FILTER_VALUES = 20
"""Values that GetFindings accepts for one attribute."""

Filters = Mapping[str, Sequence[Mapping[str, str]]]
"""AwsSecurityFindingFilters: attributes are ANDed, the values of one attribute ORed."""
_STATES: Filters = {"RecordState": [{"Value": state, "Comparison": "EQUALS"} for state in ("ACTIVE", "ARCHIVED")]}

T = TypeVar("T")


class Factory(Protocol):
    """Makes the botocore clients; called in worker threads only."""

    def securityhub(self) -> SecurityHub: ...

    def sts(self) -> Sts: ...

    def renew(self) -> None: ...

    def secrets(self) -> frozenset[str]:
        """What must not be shown, see `credentials.Clients`."""


class Observer(Protocol):
    """Called after each call, with AWS's code or `OK`. Runs in a worker thread: must be thread-safe and fast."""

    def __call__(self, operation: str, code: str, seconds: float) -> None: ...


@dataclass(slots=True)
class ImportResult:
    """Each finding of the import is in exactly one of the two (of two with the same id, the later one counts)."""

    accepted: set[str] = field(default_factory=set)
    """Ids that Security Hub acknowledged, also for updates that it ignored (UpdatedAt not later)."""
    failures: dict[str, Failure] = field(default_factory=dict)

    def accept(self, ident: str) -> None:
        self.accepted.add(ident)
        self.failures.pop(ident, None)

    def fail(self, ident: str, failure: Failure) -> None:
        self.failures[ident] = failure
        self.accepted.discard(ident)


@dataclass(frozen=True, slots=True)
class Page:
    findings: tuple[dict[str, Any], ...]
    """May be empty although more pages follow."""
    token: str
    """For the request of the next page; empty on the last."""


def workers(size: int = WORKERS) -> ThreadPoolExecutor:
    """Threads for botocore. Shut down with `wait=False, cancel_futures=True`; a running call ends by its time-out."""
    return ThreadPoolExecutor(max_workers=size, thread_name_prefix="hub")


class HubClient:
    def __init__(
        self,
        *,
        account: str,
        region: str,
        partition: str,
        clients: Factory,
        executor: Executor,
        readers: Executor | None = None,
        imports: TokenBucket,
        reads: TokenBucket,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Without `readers`, `executor` also reads: an import may then wait for a reading to end."""
        self.account = account
        self.region = region
        self.partition = partition
        self.archiving = asyncio.Semaphore(1)
        """Held while the findings of a removed cluster are archived: one cluster at a time, so that the engine's calls
        get every second turn, however many clusters were removed.
        """
        self.product_arn = product_arn(partition=partition, region=region, account=account)
        self.imports = imports
        self.reads = reads
        self._clients = clients
        self._executor = executor
        self._readers = readers or executor
        self._observer = observer
        self._clock = clock
        self._taken = 0
        """Tokens from `ready` that no import has used yet."""
        self._sleep = sleep
        self._jitter = jitter

    async def ready(self) -> None:
        """Wait until an import may be sent, so that it is sent as soon as its content is decided. The next import uses
        this token for its first call; if there is no import, return the token with `release_token`.
        """
        await self.imports.acquire()
        self._taken += 1

    def release_token(self) -> None:
        """After `ready`: there is nothing to import."""
        self._taken -= 1
        self.imports.return_token()

    async def import_findings(self, findings: Sequence[Finding], *, sizes: Sequence[int] | None = None) -> ImportResult:
        """Import any number of findings, in as few calls as the limits allow, one after the other. `sizes` as in
        `batch.split`.

        Raises HubError only if no finding has an outcome yet, so that no acknowledgement is lost: once a finding was
        accepted or refused, an error of a later call becomes the Failure of all that was not sent or not acknowledged.

        A call that is refused as a whole is halved. Each half takes its own token: one bad finding among 100 costs up
        to 14 more calls, 100 bad ones 198.
        """
        plan = batch.split(findings, sizes=sizes)
        result = ImportResult(failures=dict(plan.refused))
        queue = deque(plan.batches)
        has_outcome = False
        while queue:
            part = queue.popleft()
            try:
                response = await self._import(part)
            except errors.Refused as error:
                if len(part) > 1:
                    middle = len(part) // 2
                    queue.extendleft((part[middle:], part[:middle]))
                    continue
                result.fail(part[0]["Id"], Failure(error.code, error.message, "permanent"))
            except errors.HubError as error:
                if not has_outcome:
                    raise
                kind = _kind(error)
                for finding in part:
                    result.fail(finding["Id"], Failure(error.code, error.message, kind))
                rest = Failure(error.code, error.message, "unsent" if kind == "retry" else kind)
                for finding in chain.from_iterable(queue):
                    result.fail(finding["Id"], rest)
                break
            else:
                self._record(part, response, result)
            has_outcome = True
        return result

    async def get_findings(self, filters: Filters, *, token: str = "", urgent: bool = False) -> Page:
        """One page of our own findings, in both record states unless `filters` names one. `token` comes from the
        previous page; `urgent` as in TokenBucket.
        """
        request: dict[str, object] = {"Filters": {**_STATES, **filters, **self._own()}, "MaxResults": PAGE}
        if token:
            request["NextToken"] = token
        response = await self._paced(
            self.reads, "GetFindings", lambda: self._clients.securityhub().get_findings(**request), urgent=urgent
        )
        found = response.get("Findings", ())
        ours = tuple(finding for finding in found if self._is_own(finding))
        if len(ours) < len(found):
            log.warning("foreign_findings_dropped", account=self.account, region=self.region, n=len(found) - len(ours))
        return Page(ours, response.get("NextToken") or "")

    async def find(self, filters: Filters, *, urgent: bool = False) -> AsyncGenerator[Page, None]:
        """All pages, until Security Hub returns no token. Pages may be short or empty.

        A later page that is throttled or not answered is requested again, up to PAGE_ATTEMPTS times: a restart would
        read everything again. If a token is refused or leads to itself, it raises Unavailable: tokens expire, and the
        caller starts again.
        """
        page = await self.get_findings(filters, urgent=urgent)
        while page.token:
            yield page
            following = await self._following(filters, page.token, urgent=urgent)
            if following.token == page.token:
                raise errors.Unavailable(
                    f"GetFindings in {self.account}, {self.region}: stuck, the next page is the same page",
                    code="TokenStuck",
                    advice=AWS_SIDE,
                )
            page = following
        yield page

    async def _following(self, filters: Filters, token: str, *, urgent: bool) -> Page:
        for attempt in count(1):
            try:
                return await self.get_findings(filters, token=token, urgent=urgent)
            except errors.Refused as error:
                raise errors.Unavailable(error.message, code=error.code, advice=AWS_SIDE) from error
            except (errors.Throttled, errors.Unavailable) as error:
                if attempt == PAGE_ATTEMPTS:
                    raise
                wait = min(PAGE_WAIT_SECONDS, 2.0**attempt) * self._jitter()
                log.info("page_delayed", account=self.account, region=self.region, code=error.code, attempt=attempt)
                await self._sleep(wait)
        raise AssertionError("unreachable")  # count() does not end

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The existing findings among `ids`, by id; 20 per call, before other readings, because the caller waits."""
        distinct_ids = list(dict.fromkeys(ids))
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(distinct_ids), MAX_FILTER_VALUES):
            requested = distinct_ids[start : start + MAX_FILTER_VALUES]
            filters = {"Id": [{"Value": ident, "Comparison": "EQUALS"} for ident in requested]}
            async with aclosing(self.find(filters, urgent=True)) as pages:
                async for page in pages:
                    found.update((finding["Id"], finding) for finding in page.findings if finding["Id"] in requested)
        return found

    async def caller_account(self) -> str:
        """The account of our credentials (STS; needs no permission)."""
        return str((await self.caller())["Account"])

    async def caller(self) -> Mapping[str, Any]:
        """The full answer of GetCallerIdentity."""
        return await self._call("GetCallerIdentity", lambda: self._clients.sts().get_caller_identity())

    async def describe_hub(self) -> Mapping[str, Any]:
        """The answer of DescribeHub: the hub's ARN and when it was enabled. The operator itself does not need it."""
        return await self._call("DescribeHub", lambda: self._clients.securityhub().describe_hub())

    async def verify_account(self) -> None:
        """Raise AccessLost(AccountMismatch) if our credentials belong to another account than the findings."""
        caller = await self.caller_account()
        if caller != self.account:
            raise errors.mismatch(caller=caller, account=self.account, region=self.region)

    async def _import(self, part: Sequence[Finding]) -> Mapping[str, Any]:
        return await self._paced(
            self.imports,
            _IMPORT,
            lambda: self._clients.securityhub().batch_import_findings(Findings=part),
        )

    def _record(self, part: Sequence[Finding], response: Mapping[str, Any], result: ImportResult) -> None:
        ids = {finding["Id"] for finding in part}
        failed: dict[str, Failure] = {}
        for entry in response.get("FailedFindings") or ():
            failure = errors.failed(entry.get("ErrorCode"), entry.get("ErrorMessage"))
            if failure.kind == "configuration":
                failure = errors.advise(failure, account=self.account, region=self.region)
            failed[str(entry.get("Id"))] = failure
        named = failed.keys() & ids
        unnamed = int(response.get("FailedCount") or 0) - len(named)
        if unnamed > 0:  # some of the others failed, but which is unknown: sending them again is safe
            log.warning("failures_unnamed", account=self.account, region=self.region, n=unnamed)
        for ident in ids:
            if ident in named:
                result.fail(ident, failed[ident])
            elif unnamed > 0:
                result.fail(ident, Failure("Unnamed", "Security Hub reports failures without naming them", "retry"))
            else:
                result.accept(ident)

    def _own(self) -> Filters:
        return {
            "AwsAccountId": [{"Value": self.account, "Comparison": "EQUALS"}],
            "Region": [{"Value": self.region, "Comparison": "EQUALS"}],
            "ProductArn": [{"Value": self.product_arn, "Comparison": "EQUALS"}],
        }

    def _is_own(self, finding: Finding) -> bool:
        return (
            finding.get("AwsAccountId") == self.account
            and finding.get("ProductArn") == self.product_arn
            and finding.get("Region", self.region) == self.region
        )

    async def _paced(self, bucket: TokenBucket, operation: str, call: Callable[[], T], *, urgent: bool = False) -> T:
        """Take a token, call, and adjust the rate to the answer: additive increase, multiplicative decrease."""
        if bucket is self.imports and self._taken > 0:
            self._taken -= 1
        else:
            await bucket.acquire(urgent=urgent)
        try:
            answer = await self._call(operation, call)
        except errors.Throttled:
            bucket.throttled()
            raise
        bucket.answered()
        return answer

    async def _call(self, operation: str, call: Callable[[], T]) -> T:
        executor = self._executor if operation == _IMPORT else self._readers
        return await asyncio.get_running_loop().run_in_executor(executor, self._blocking, operation, call)

    def _blocking(self, operation: str, call: Callable[[], T]) -> T:
        started = self._clock()
        code = "OK"
        try:
            return call()
        except errors.CALL_ERRORS as error:
            secrets = self._clients.secrets()
            error = errors.translate(
                error, operation=operation, account=self.account, region=self.region, secrets=secrets
            )
            code = error.code
            if isinstance(error, errors.AccessLost) and error.kind in errors.CREDENTIALS:
                self._clients.renew()
            raise error from None  # botocore's text may contain what is redacted in ours
        except errors.HubError as error:  # not permitted: it was not sent
            code = error.code
            raise
        finally:
            if self._observer is not None:
                self._observer(operation, code, self._clock() - started)


def _kind(error: errors.HubError) -> errors.FailureKind:
    match error:
        case errors.AccessLost():
            return "configuration"
        case errors.Throttled() | errors.NotLeader():
            return "unsent"
        case _:
            return "retry"
