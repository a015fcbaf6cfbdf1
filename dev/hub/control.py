"""The control endpoint under /_control: faults, switches, hubs, quotas, journal and findings. JSON, no credentials.

| request | effect |
|---|---|
| GET stats | counts since the last reset |
| GET journal?since=N&calls_since=M&limit=L | entries and calls after these numbers |
| GET findings?account=&region=&prefix=&record_state=&without=&after=&limit= | stored findings |
| GET, POST, DELETE faults; DELETE faults/N | list, add, clear; remove one (returns how many calls it hit) |
| GET, POST switches | read; change some |
| POST hubs {account, region, enabled} | enables or disables Security Hub |
| POST quotas {on} | enables or disables quotas, and resets them |
| POST roles {arn: external id or ""} | replaces the assumable roles |
| POST roles/recreate {arn} | acts as if the role were deleted and created again |
| POST eks/clusters [{arn, endpoint, authority, entries, …}, …] | replaces the EKS clusters |
| POST eks/later {seconds} | moves the clock of the EKS clusters' authenticators forward |
| GET eks/tokens | cluster ARN → number of different tokens that its API server sent for authentication |
| POST policies [{role, trust, permissions}, …] | replaces the roles with policies; as `iam-policy` prints |
| POST clusters [{arn, jwks}, …] | replaces the clusters whose service account tokens are accepted |
| POST associations [{cluster, namespace, serviceAccount, role}, …] | replaces the associations of Pod Identity |
| POST sessions/expire | expires the credentials of all assumed roles |
| POST sessions/lifetime {seconds} | sets the lifetime of new sessions; 0: as requested |
| POST analyst {account, region, ids, …} | BatchUpdateFindings without quota |
| POST reset | restores the state after the start |
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from dev.hub import eks
from dev.hub.faults import Fault
from dev.hub.policy import Role
from dev.hub.service import Service
from dev.hub.signin import Association, Cluster
from dev.hub.store import Record
from dev.hub.switches import Switches
from dev.hub.wire import AwsError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def decoded(request: web.Request) -> Any:
    """The body's JSON. Invalid JSON is a 400 with the reason."""
    try:
        return msgspec.json.decode(await request.read() or b"{}")
    except msgspec.DecodeError as error:
        raise _bad(str(error)) from None


def _bad(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=msgspec.json.encode({"error": message}).decode(), content_type="application/json")


def _number(request: web.Request, name: str, default: int) -> int:
    try:
        return max(0, int(request.query.get(name, default)))
    except ValueError:
        raise _bad(f"{name} should be a number") from None


def mount(app: web.Application, service: Service) -> None:
    routes = Control(service)
    app.router.add_get("/_control/stats", routes.stats)
    app.router.add_get("/_control/journal", routes.journal)
    app.router.add_get("/_control/findings", routes.findings)
    app.router.add_get("/_control/faults", routes.faults)
    app.router.add_post("/_control/faults", routes.add_fault)
    app.router.add_delete("/_control/faults", routes.clear_faults)
    app.router.add_delete(r"/_control/faults/{number:\d+}", routes.remove_fault)
    app.router.add_get("/_control/switches", routes.switches)
    app.router.add_post("/_control/switches", routes.set_switches)
    app.router.add_post("/_control/hubs", routes.set_hub)
    app.router.add_post("/_control/quotas", routes.set_quotas)
    app.router.add_post("/_control/roles", routes.set_roles)
    app.router.add_post("/_control/roles/recreate", routes.recreate_role)
    app.router.add_post("/_control/eks/clusters", routes.set_eks)
    app.router.add_post("/_control/eks/later", routes.set_later)
    app.router.add_get("/_control/eks/tokens", routes.tokens)
    app.router.add_post("/_control/policies", routes.set_policies)
    app.router.add_post("/_control/clusters", routes.set_clusters)
    app.router.add_post("/_control/associations", routes.set_associations)
    app.router.add_post("/_control/sessions/expire", routes.expire)
    app.router.add_post("/_control/sessions/lifetime", routes.set_lifetime)
    app.router.add_post("/_control/analyst", routes.analyst)
    app.router.add_post("/_control/reset", routes.reset)


class _HubState(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    region: str
    enabled: bool


class _Quotas(msgspec.Struct, forbid_unknown_fields=True):
    on: bool


class _Lifetime(msgspec.Struct, forbid_unknown_fields=True):
    seconds: int


class _Role(msgspec.Struct, forbid_unknown_fields=True):
    arn: str


class Control:
    """The handlers, around the one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def stats(self, _: web.Request) -> web.Response:
        return answer(self._service.stats())

    async def journal(self, request: web.Request) -> web.Response:
        return answer(
            self._service.journal.read(
                _number(request, "since", 0),
                calls_since=_number(request, "calls_since", 0),
                limit=_number(request, "limit", 50_000),
            )
        )

    async def findings(self, request: web.Request) -> web.Response:
        """Ordered by account, Region and key. `after`: how many to skip. `without`: text that none may contain."""
        wanted = request.query
        records: list[Record] = []
        for (account, region), hub in sorted(self._service.hubs.items()):
            if wanted.get("account", account) != account or wanted.get("region", region) != region:
                continue
            low, high = hub.span(wanted.get("prefix", ""))
            records.extend(hub.records[name] for name in hub.index()[low:high])
        for name in ("record_state", "workflow", "severity", "cluster"):
            if name in wanted:
                records = [r for r in records if getattr(r, name) == wanted[name]]
        if lacking := wanted.get("without", "").encode():
            records = [r for r in records if lacking not in r.body]
        start = _number(request, "after", 0)
        page = records[start : start + _number(request, "limit", 5_000)]
        body = b'{"findings":[' + b",".join(r.body for r in page) + b'],"total":' + str(len(records)).encode() + b"}"
        return web.Response(body=body, content_type="application/json")

    async def faults(self, _: web.Request) -> web.Response:
        return answer({"faults": self._service.faults.listed()})

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.convert(await decoded(request), Fault)
        except msgspec.ValidationError as error:
            raise _bad(str(error)) from None
        return answer({"id": self._service.add_fault(fault)})

    async def clear_faults(self, _: web.Request) -> web.Response:
        self._service.faults.clear()
        self._service.watch_lag()
        return answer({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        known = self._service.faults.remove(number)
        self._service.watch_lag()
        return answer({"removed": known, "hits": self._service.faults.hits(number)})

    async def switches(self, _: web.Request) -> web.Response:
        return answer(self._service.switches)

    async def set_switches(self, request: web.Request) -> web.Response:
        changes = await decoded(request)
        switches = self._service.switches
        try:
            wanted = msgspec.convert({**msgspec.to_builtins(switches), **changes}, Switches)
        except (msgspec.ValidationError, TypeError) as error:
            raise _bad(str(error)) from None
        for name in Switches.__struct_fields__:
            setattr(switches, name, getattr(wanted, name))
        return answer(switches)

    async def set_hub(self, request: web.Request) -> web.Response:
        wanted = await self._convert(request, _HubState)
        self._service.hub(wanted.account, wanted.region).enabled = wanted.enabled
        return answer({})

    async def set_quotas(self, request: web.Request) -> web.Response:
        wanted = await self._convert(request, _Quotas)
        self._service.quotas.on = wanted.on
        self._service.quotas.reset()
        return answer({})

    async def set_roles(self, request: web.Request) -> web.Response:
        self._service.identity.roles = await self._convert(request, dict[str, str])
        return answer({})

    async def recreate_role(self, request: web.Request) -> web.Response:
        self._service.identity.recreate((await self._convert(request, _Role)).arn)
        return answer({})

    async def set_eks(self, request: web.Request) -> web.Response:
        self._service.eks.replace(await self._convert(request, list[eks.Cluster]))
        return answer({})

    async def set_later(self, request: web.Request) -> web.Response:
        self._service.eks.later = (await self._convert(request, _Lifetime)).seconds
        return answer({})

    async def tokens(self, _: web.Request) -> web.Response:
        return answer({arn: len(seen) for arn, seen in self._service.eks.seen.items()})

    async def set_policies(self, request: web.Request) -> web.Response:
        roles = await self._convert(request, list[Role])
        self._service.identity.policies = {role.role: role for role in roles}
        return answer({})

    async def set_clusters(self, request: web.Request) -> web.Response:
        self._service.sign_in.clusters = await self._convert(request, list[Cluster])
        return answer({})

    async def set_associations(self, request: web.Request) -> web.Response:
        self._service.sign_in.associations = await self._convert(request, list[Association])
        return answer({})

    async def set_lifetime(self, request: web.Request) -> web.Response:
        self._service.identity.lifetime = (await self._convert(request, _Lifetime)).seconds
        return answer({})

    async def expire(self, _: web.Request) -> web.Response:
        return answer({"sessions": self._service.identity.expire(now=self._service.clock())})

    async def analyst(self, request: web.Request) -> web.Response:
        body = await decoded(request)
        try:
            account, region, ids = body.pop("account"), body.pop("region"), body.pop("ids")
            arns = body.pop("arn", None)
        except (KeyError, AttributeError):
            raise _bad("account, region and ids are needed") from None
        return answer(act(self._service, account, region, [(i, arns) for i in ids], body))

    async def reset(self, _: web.Request) -> web.Response:
        self._service.reset()
        return answer({})

    async def _convert(self, request: web.Request, kind: Any) -> Any:
        try:
            return msgspec.convert(await decoded(request), kind)
        except msgspec.ValidationError as error:
            raise _bad(str(error)) from None


def act(
    service: Service, account: str, region: str, findings: list[tuple[str, str | None]], values: dict[str, Any]
) -> dict[str, Any]:
    """Updates findings as an analyst does, a hundred in a call. Without product ARN: of the default product."""
    default = service.hub(account, region).product_arn
    identifiers = [{"Id": identifier, "ProductArn": arn or default} for identifier, arn in findings]
    processed: list[Any] = []
    unprocessed: list[Any] = []
    for start in range(0, len(identifiers), 100):
        body = {"FindingIdentifiers": identifiers[start : start + 100], **values}
        try:
            part = msgspec.json.decode(service.analyse(account, region, body))
        except AwsError as error:
            raise _bad(error.message) from None
        processed += part["ProcessedFindings"]
        unprocessed += part["UnprocessedFindings"]
    return {"ProcessedFindings": processed, "UnprocessedFindings": unprocessed}
