"""Configures kopf: what it watches, how it signs in, and that it writes nothing to objects. Only this module and `app`
import kopf.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import kopf

from policyhub.api.monitoredcluster import GROUP, PLURAL, VERSION
from policyhub.control.supervisor import Supervisor
from policyhub.kube import user_kubeconfig
from policyhub.kube.connection import in_cluster_address


def registry(supervisor: Supervisor, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
    """Handlers for the sign-in and for each event of a MonitoredCluster, which go to the supervisor's event loop."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo:
        return addressed(kopf.login_with_service_account(**kwargs), os.environ) or await login_locally()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  (kopf passes by name)
        if type == "DELETED":
            work = supervisor.forget(str(body["metadata"]["name"]), str(body["metadata"]["uid"]))
        else:
            work = supervisor.observe(json.loads(json.dumps(dict(body))))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    return handlers


def addressed(pod: kopf.ConnectionInfo | None, environ: Mapping[str, str]) -> kopf.ConnectionInfo | None:
    """Kopf's sign-in as the Pod's service account, at the address that the rest of the process uses: kopf's default is
    a name, which needs working DNS. None outside a Pod.
    """
    if pod is None:
        return None
    return replace(pod, server=in_cluster_address(environ))


async def login_locally() -> kopf.ConnectionInfo:
    """Kopf's sign-in with the kubeconfig that the rest of the process uses. Kopf signs in again when the token expires.
    Raises KubeconfigError, OSError.
    """
    access, token = await user_kubeconfig.load(os.environ.get("KUBECONFIG") or user_kubeconfig.DEFAULT)
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=access.authority,
        insecure=not access.verify,
        token=access.token if token is None else await token(),
        certificate_data=access.certificate,
        private_key_data=access.key,
        proxy_url=access.proxy,
    )


def settings() -> kopf.OperatorSettings:
    """Kopf without features that need permissions or write to objects."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.networking.request_timeout = 30
    return chosen
