"""The HTTP server: AWS calls, the control endpoint and the findings page on one port.

The page and the control endpoint reject a foreign Host or Origin, so that no web site can reach them through the
visitor's browser. AWS calls come from SDKs, which send no Origin; with one they are rejected too. If the server listens
on another address (--host), only AWS calls are possible from other machines.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from dev.hub import board, control
from dev.hub.authenticator import TokenError
from dev.hub.service import Call, Request, Service
from dev.hub.wire import AwsError, Scope, json_error, parse_scope, unsigned, xml_error

SERVICE = web.AppKey("service", Service)
CREDENTIALS = "/v1/credentials"
"""Path of the agent of EKS Pod Identity."""
AUTHENTICATOR = "/_eks/{arn:.+}"
"""Path of the token authenticator, for the API server of an EKS cluster."""
_MOST_BYTES = 32 * 1024 * 1024  # more than AWS accepts, so that a batch that is too large gets the documented error
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(service: Service) -> web.Application:
    app = web.Application(client_max_size=_MOST_BYTES, middlewares=[_local_only])
    app[SERVICE] = service
    control.mount(app, service)
    board.mount(app, service)
    app.router.add_get(CREDENTIALS, _agent)
    app.router.add_post(AUTHENTICATOR, _authenticate)
    app.router.add_route("*", "/{path:.*}", _aws)
    return app


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.match_info.handler is _aws:
        return await handler(request)
    host = request.headers.get("Host", "")
    if host.rpartition(":")[0] not in _LOCAL and host not in _LOCAL:
        return web.json_response({"error": "this Host is not served"}, status=403)
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return web.json_response({"error": "this Origin is not served"}, status=403)
    return await handler(request)


async def _aws(request: web.Request) -> web.StreamResponse:
    if "Origin" in request.headers:
        return web.json_response({"error": "AWS calls are not for browsers"}, status=403)
    service = request.app[SERVICE]
    body = await request.read()
    sts = False
    try:
        if unsigned(request.headers.get("Authorization"), body):
            scope = Scope("", service.settings.regions[0], "sts")
        else:
            scope = parse_scope(request.headers.get("Authorization"))
        sts = scope.service == "sts"
        token = request.headers.get("X-Amz-Security-Token")
        date = request.headers.get("X-Amz-Date", "")
        call = service.admit(Request(request.method, request.path, scope, token, body, date, request.query))
        if call.fault is not None and call.fault.kind.startswith("timeout"):
            return await _silent(request, service, call)
        answer = service.perform(call)
    except AwsError as error:
        return _refused(error, sts=sts)
    return web.Response(
        body=answer,
        content_type="text/xml" if sts else "application/json",
        headers={"x-amzn-RequestId": secrets.token_hex(16)},
    )


async def _agent(request: web.Request) -> web.StreamResponse:
    """The agent of EKS Pod Identity on the node: exchanges a Pod's token for credentials of its role."""
    service = request.app[SERVICE]
    scope = Scope("", service.settings.regions[0], "eks-auth")
    token = request.headers.get("Authorization")
    try:
        call = service.admit(Request(request.method, request.path, scope, token, b""))
        if call.fault is not None and call.fault.kind.startswith("timeout"):
            return await _silent(request, service, call)
        answer = service.perform(call)
    except AwsError as error:
        return web.Response(body=json_error(error), status=error.status, content_type="application/json")
    return web.Response(body=answer, content_type="application/json")


async def _authenticate(request: web.Request) -> web.StreamResponse:
    """The webhook token authenticator of a cluster's API server."""
    review = await control.decoded(request)
    try:
        user = request.app[SERVICE].authenticate(request.match_info["arn"], review["spec"]["token"])
        status = {"authenticated": True, "user": user}
    except TokenError as error:
        status = {"authenticated": False, "error": str(error)}
    return control.answer({"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status})


async def _silent(request: web.Request, service: Service, call: Call) -> web.StreamResponse:
    """Closes the connection without an answer."""
    fault = call.fault
    service.lose(call)
    if fault is not None and fault.kind == "timeout_after":
        with contextlib.suppress(AwsError):  # the journal has it; the caller gets no answer anyway
            service.perform(call)
    else:
        error = AwsError("(no answer)", 0, "")
        service.note(call.operation, call.caller.account, call.request.scope.region, 0, error)
    await asyncio.sleep(fault.delay_seconds if fault is not None else 0)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _refused(error: AwsError, *, sts: bool) -> web.Response:
    request = secrets.token_hex(16)
    if sts:
        # STS has other codes for the same two errors
        code = {"ExpiredTokenException": "ExpiredToken", "UnrecognizedClientException": "InvalidClientTokenId"}
        named = AwsError(code.get(error.code, error.code), error.status, error.message)
        return web.Response(body=xml_error(named, request), status=error.status, content_type="text/xml")
    return web.Response(
        body=json_error(error),
        status=error.status,
        content_type="application/json",
        headers={"x-amzn-ErrorType": error.code, "x-amzn-RequestId": request},
    )
