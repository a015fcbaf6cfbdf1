"""The state of the server, and the effect of each AWS operation on it.

One thread handles a call without interruption: identity, injected fault, quota, operation. Only the wait of an injected
time-out happens before or after that, in server.py.
"""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from dev.hub import query
from dev.hub.authenticator import TokenError
from dev.hub.eks import Clusters
from dev.hub.faults import TOKEN_REFUSALS, Breaker, Fault, Faults
from dev.hub.identity import ROLE_ARN, Caller, Identity
from dev.hub.imports import Importer, not_subscribed
from dev.hub.journal import Journal
from dev.hub.quota import Quotas
from dev.hub.signin import SignIn
from dev.hub.store import Hub
from dev.hub.switches import Switches
from dev.hub.timestamp import render
from dev.hub.update import Updater
from dev.hub.wire import AwsError, Scope, partition, untimely, xml_answer

Clock = Callable[[], float]

OPERATIONS = {
    ("POST", "/findings/import"): "BatchImportFindings",
    ("POST", "/findings"): "GetFindings",
    ("PATCH", "/findings/batchupdate"): "BatchUpdateFindings",
    ("GET", "/accounts"): "DescribeHub",
    ("POST", "/accounts"): "EnableSecurityHub",
    ("DELETE", "/accounts"): "DisableSecurityHub",
}

WEB_SIGN_IN = "AssumeRoleWithWebIdentity"
POD_SIGN_IN = "AssumeRoleForPodIdentity"
"""EKS Auth's name for the request to the agent of Pod Identity."""
_CLUSTERS = re.compile(r"/clusters(?:/[^/]+)?")
UNSIGNED = frozenset({WEB_SIGN_IN, POD_SIGN_IN})
"""Operations whose caller has no credentials yet. The journal attributes them to the role's account, if named."""


class Settings(msgspec.Struct):
    """Configuration of the server."""

    accounts: list[str]
    """The first is the account of access keys that are not configured."""
    regions: list[str]
    """Security Hub is enabled for each account in each of these."""
    keys: dict[str, str] = {}
    strict_keys: bool = False
    roles: dict[str, str] = {}
    quotas: bool = True
    journal_entries: int = 2_000_000
    switches: Switches = msgspec.field(default_factory=Switches)


class Request(msgspec.Struct, frozen=True):
    """One AWS request."""

    method: str
    path: str
    scope: Scope
    token: str | None
    body: bytes
    date: str = ""
    """The time of the signature."""
    query: Mapping[str, str] = {}


class Call(msgspec.Struct):
    """A call in progress."""

    request: Request
    operation: str
    caller: Caller
    fault: Fault | None
    findings: int = 0


class Service:
    """Accounts, hubs, quotas, faults and the journal of one server."""

    def __init__(self, settings: Settings, *, clock: Clock, monotonic: Clock) -> None:
        self.settings = settings
        self.switches = settings.switches
        self.clock = clock
        self.monotonic = monotonic
        self.journal = Journal(settings.journal_entries)
        self.faults = Faults()
        self.quotas = Quotas(on=settings.quotas)
        self.moved: dict[str, int] = {}
        self.version = 0
        self._nonce = secrets.token_hex(8)
        self.identity = Identity(
            default_account=settings.accounts[0],
            keys=settings.keys,
            strict=settings.strict_keys,
            roles=settings.roles,
        )
        self.sign_in = SignIn(self.identity)
        self.eks = Clusters(self.identity)
        self._importer = Importer(self.switches, self.journal, self._next_version, self.moved)
        self._updater = Updater(self.journal, self._next_version)
        self.hubs: dict[tuple[str, str], Hub] = {}
        self._open()

    def _open(self) -> None:
        for account in self.settings.accounts:
            for region in self.settings.regions:
                self.hub(account, region).enabled = True

    def _next_version(self) -> int:
        self.version += 1
        return self.version

    def hub(self, account: str, region: str) -> Hub:
        """The hub of an account and Region; disabled until someone enables it."""
        known = self.hubs.get((account, region))
        if known is None:
            known = Hub(account, region, enabled=False, since=render(self.clock()))
            self.hubs[(account, region)] = known
            known.remember(on=self.faults.lagging())
        return known

    def add_fault(self, fault: Fault) -> int:
        number = self.faults.add(fault, now=self.clock())
        self.watch_lag()
        return number

    def watch_lag(self) -> None:
        """Keeps overwritten findings while a `lag` fault exists."""
        for hub in self.hubs.values():
            hub.remember(on=self.faults.lagging())

    def reset(self) -> None:
        """Removes findings, journal, faults and sessions; refills quotas."""
        self.faults.clear()
        self.hubs.clear()
        self._open()
        self.journal.clear()
        self.quotas.reset()
        self.identity.forget()
        self.moved.clear()
        self._next_version()

    def admit(self, request: Request) -> Call:
        """All checks before the operation. Raises AwsError for a rejected call."""
        scope = request.scope
        operation = _operation(request)
        try:
            if operation in UNSIGNED:
                caller = Caller(_role_account(request), "anonymous", "")
            else:
                caller = self.identity.resolve(scope.key, request.token, region=scope.region, now=self.clock())
        except AwsError as error:
            self.note(operation, "", scope.region, 0, error)
            raise
        call = Call(request, operation, caller, self.faults.take(operation, caller.account, scope.region))
        refusal = self._refusal(call)
        if refusal is not None:
            self.note(operation, caller.account, scope.region, 0, refusal)
            raise refusal
        return call

    def _refusal(self, call: Call) -> AwsError | None:
        account, region = call.caller.account, call.request.scope.region
        kind = call.fault.kind if call.fault is not None else ""
        if self.switches.signing_time == "checked" and (late := untimely(call.request.date, now=self.clock())):
            code = "SignatureDoesNotMatch" if call.request.scope.service == "sts" else "InvalidSignatureException"
            return AwsError(code, 403, late)
        foreign = self.switches.sts_region == "first" and region != self.settings.regions[0]
        if foreign and call.request.scope.service == "sts":
            return AwsError("SignatureDoesNotMatch", 403, "Credential should be scoped to a valid region.")
        if kind == "access_denied":
            return _denied(call, "")
        if kind in TOKEN_REFUSALS:
            return AwsError(TOKEN_REFUSALS[kind][0], 403, TOKEN_REFUSALS[kind][1])
        if kind == "error500":
            self.lose(call)
            return AwsError("InternalException", 500, "Internal server error")
        securityhub = call.request.scope.service == "securityhub"
        if call.request.scope.service == "eks" and (lacking := self._undescribed(call)):
            return _denied(call, lacking)
        if securityhub and (lacking := self._lacking(call)):
            return _denied(call, lacking)
        over = securityhub and not self.quotas.take(account, region, call.operation, now=self.monotonic())
        if over or kind == "throttle":
            return AwsError("TooManyRequestsException", 429, "Too Many Requests")
        return None

    def _undescribed(self, call: Call) -> str:
        """ARN of the cluster if the caller's role may not describe it, else empty."""
        region, name = call.request.scope.region, call.request.path.rpartition("/")[2]
        arn = f"arn:{partition(region)}:eks:{region}:{call.caller.account}:cluster/{name}"
        return "" if self.identity.permits(call.caller, f"eks:{call.operation}", arn) else arn

    def _lacking(self, call: Call) -> str:
        """The resource if the caller's role lacks the permission for the operation on it, else empty."""
        caller = call.caller
        if caller.role not in self.identity.policies:
            return ""
        hub = self.hub(caller.account, call.request.scope.region)
        action = f"securityhub:{call.operation}"
        if call.operation != "BatchImportFindings":
            arn = hub.product_arn.replace(f"product/{hub.account}/default", "hub/default")
            return "" if self.identity.permits(caller, action, arn) else arn
        for finding in _decoded(call).get("Findings", []):
            arn = str(finding.get("ProductArn", ""))
            context = {"securityhub:TargetAccount": str(finding.get("AwsAccountId", ""))}
            if not self.identity.permits(caller, action, arn, context):
                return arn
        return ""

    def perform(self, call: Call) -> bytes:
        """Runs the operation, and records the call in the journal. Raises AwsError for a rejected call."""
        region = call.request.scope.region
        try:
            answer = self._run(call)
        except AwsError as error:
            self.note(call.operation, call.caller.account, region, call.findings, error)
            raise
        self.note(call.operation, call.caller.account, region, call.findings, None)
        return answer

    def lose(self, call: Call) -> None:
        """Records the findings of an import whose caller cannot know whether it was written."""
        if call.operation == "BatchImportFindings" and call.fault is not None:
            where = (self.clock(), call.caller.account, call.request.scope.region)
            self.journal.lose(_decoded(call), *where, reason=call.fault.kind)

    def note(self, operation: str, account: str, region: str, findings: int, error: AwsError | None) -> None:
        status, code = (200, "") if error is None else (error.status, error.code)
        self.journal.called((self.clock(), operation, account, region, findings, status, code))

    def _run(self, call: Call) -> bytes:
        if call.request.scope.service == "sts":
            return self._sts(call)
        if call.request.scope.service == "eks":
            return self._eks(call)
        if call.operation == POD_SIGN_IN:
            return msgspec.json.encode(self.sign_in.pod_identity(call.request.token or "", now=self.clock()))
        hub = self.hub(call.caller.account, call.request.scope.region)
        if call.operation == "EnableSecurityHub":
            return self._enable(hub)
        if not hub.enabled and call.operation != "BatchImportFindings":
            raise AwsError("InvalidAccessException", 401, not_subscribed(hub.account))
        now = self.clock()
        match call.operation:
            case "BatchImportFindings":
                body = _decoded(call)
                size, broken = len(call.request.body), Breaker(call.fault)
                answer = self._importer.run(hub, call.caller.arn, body, wire_bytes=size, now=now, broken=broken)
            case "GetFindings":
                active_only = self.switches.unfiltered_records == "active"
                wanted = query.parse(_decoded(call), nonce=self._nonce, active_only=active_only)
                moment = self.faults.moment(call.operation, hub.account, hub.region, now=now)
                answer = query.run(wanted, hub, overlay={} if moment is None else hub.past(moment))
            case "BatchUpdateFindings":
                answer = self._updater.run(hub, _decoded(call), now=now)
            case "DisableSecurityHub":
                hub.enabled = False
                answer = b"{}"
            case _:
                answer = _described(hub)
        return answer

    def _eks(self, call: Call) -> bytes:
        account, region = call.caller.account, call.request.scope.region
        if call.operation == "ListClusters":
            return self.eks.names(call.request.query, account=account, region=region)
        return self.eks.describe(unquote(call.request.path.rpartition("/")[2]), account=account, region=region)

    def authenticate(self, arn: str, token: str) -> dict[str, Any]:
        """The user that an EKS cluster maps the token to; recorded in the journal. Raises TokenError."""
        region, account = arn.split(":")[3:5]
        try:
            user = self.eks.authenticate(arn, token, now=self.clock())
        except TokenError as error:
            self.note("AuthenticateToken", account, region, 0, AwsError("Unauthorized", 401, str(error)))
            raise
        self.note("AuthenticateToken", account, region, 0, None)
        return user

    def _enable(self, hub: Hub) -> bytes:
        if hub.enabled:
            raise AwsError("ResourceConflictException", 409, "Account is already subscribed to Security Hub")
        hub.enabled = True
        hub.since = render(self.clock())
        return b"{}"

    def _sts(self, call: Call) -> bytes:
        form = dict(parse_qsl(call.request.body.decode("utf-8", "replace")))
        request = secrets.token_hex(16)
        if call.operation == "GetCallerIdentity":
            caller = call.caller
            result: dict[str, Any] = {"Arn": caller.arn, "UserId": caller.user, "Account": caller.account}
        elif call.operation == WEB_SIGN_IN:
            result = self.sign_in.web_identity(form, now=self.clock())
        else:
            accounts = {account for account, _ in self.hubs} | set(self.settings.accounts)
            result = self.identity.assume(form, call.caller, accounts=accounts, now=self.clock())
        return xml_answer(call.operation, result, request)

    def analyse(self, account: str, region: str, body: dict[str, Any]) -> bytes:
        """BatchUpdateFindings for the findings page or a test, without credentials and quota."""
        hub = self.hub(account, region)
        answer = self._updater.run(hub, body, now=self.clock())
        self.note("BatchUpdateFindings (analyst)", account, region, len(body.get("FindingIdentifiers", [])), None)
        return answer

    def stats(self) -> dict[str, Any]:
        """Counts since the last reset. Those of 429 and 5xx include injected faults."""
        calls: dict[str, dict[str, int]] = {}
        for (operation, status), number in self.journal.statuses.items():
            calls.setdefault(operation, {})[str(status)] = number
        states: Counter[str] = Counter()
        workflows: Counter[str] = Counter()
        severities: Counter[str] = Counter()
        for hub in self.hubs.values():
            for record in hub:
                states[record.record_state] += 1
                workflows[record.workflow] += 1
                severities[record.severity] += record.record_state == "ACTIVE"
        return {
            "calls": calls,
            "outcomes": dict(self.journal.outcomes),
            "redundant": self.journal.redundant,
            "moved": dict(self.moved),
            "findings": states.total(),
            "record_states": dict(states),
            "workflow": dict(workflows),
            "active_severities": dict(severities),
            "version": self.version,
        }


def _described(hub: Hub) -> bytes:
    return msgspec.json.encode(
        {
            "HubArn": f"arn:{partition(hub.region)}:securityhub:{hub.region}:{hub.account}:hub/default",
            "SubscribedAt": hub.since,
            "AutoEnableControls": False,
            "ControlFindingGenerator": "SECURITY_CONTROL",
        }
    )


def _operation(request: Request) -> str:
    if request.scope.service == "securityhub":
        operation = OPERATIONS.get((request.method, request.path.rstrip("/")))
        if operation is None:
            raise AwsError(
                "UnknownOperationException",
                404,
                f"{request.method} {request.path[:100]} is no operation of this server",
            )
        return operation
    if request.scope.service == "sts":
        action = dict(parse_qsl(request.body.decode("utf-8", "replace"))).get("Action", "")
        if action not in {"GetCallerIdentity", "AssumeRole", WEB_SIGN_IN}:
            raise AwsError("InvalidAction", 400, f"Could not find operation {action[:100]} on this server")
        return action
    if request.scope.service == "eks-auth":
        return POD_SIGN_IN
    if request.scope.service == "eks" and request.method == "GET" and _CLUSTERS.fullmatch(request.path):
        return "ListClusters" if request.path == "/clusters" else "DescribeCluster"
    raise AwsError("UnknownOperationException", 404, f"Service {request.scope.service} is not part of this server")


def _denied(call: Call, resource: str) -> AwsError:
    """STS has a shorter code."""
    service = call.request.scope.service
    code = "AccessDenied" if service == "sts" else "AccessDeniedException"
    where = f" on resource: {resource}" if resource else ""
    message = f"User: {call.caller.arn} is not authorized to perform: {service}:{call.operation}{where}"
    return AwsError(code, 403, message)


def _role_account(request: Request) -> str:
    """Account of the role in an unsigned call; empty if it names none."""
    match = ROLE_ARN.match(dict(parse_qsl(request.body.decode("utf-8", "replace"))).get("RoleArn", ""))
    return match[2] if match else ""


def _decoded(call: Call) -> Any:
    try:
        body = msgspec.json.decode(call.request.body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AwsError("SerializationException", 400, f"The request body is no JSON: {error}") from None
    items = body.get("Findings", body.get("FindingIdentifiers")) if type(body) is dict else None
    call.findings = len(items) if type(items) is list else 0
    return body
