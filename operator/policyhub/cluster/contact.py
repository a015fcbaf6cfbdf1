"""Whether the API server of a monitored cluster answers, and whether it is still the same cluster.

| event                                            | then                                                              |
|--------------------------------------------------|-------------------------------------------------------------------|
| the first connection fails                       | retried with increasing back-off, each time over a new connection |
| the credentials are refused (401), or there is   | *stale*: a new connection is made, because the kubeconfig may     |
| no answer for a minute                           | have changed                                                      |
| another cluster answers (uid of kube-system)     | *replaced*: everything that was read is forgotten                 |
| EKS has answered ClusterGone for an hour, and    | *gone*: the caller runs a round of `clearance`, and calls         |
| the findings have to be archived                 | `reach` again                                                     |
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.clearance import Clearance, ClusterGone
from policyhub.cluster.site import Site
from policyhub.cluster.state import State
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import NotTried
from policyhub.kube.kubeconfig import KubeconfigError

log = structlog.get_logger(__name__)

STALE_AFTER = 6
"""Failed checks in a row after which a new connection is made: a minute at the default interval."""

Connect = Callable[[], Awaitable[Connection]]
Explain = Callable[[Exception], Awaitable[Cause]]


class Stale(Exception):
    """A new connection is needed: the credentials are refused, or the API server has not answered for a minute."""


class ClusterReplaced(Exception):
    """Another cluster answers in place of the monitored one."""


class Contact:
    """The contact with one monitored cluster."""

    def __init__(self, site: Site, state: State, clearance: Clearance, *, connect: Connect, explain: Explain) -> None:
        """`connect` makes a new connection; `explain` finds out why it failed or was lost."""
        self._site = site
        self._state = state
        self._clearance = clearance
        self._connect = connect
        self._explain = explain
        self._unreachable = 0

    async def reach(self) -> Connection:
        """Try until there is a connection and the uid of the cluster is known. Raises ClusterGone."""
        failures = 0
        while True:
            try:
                connection = await self._connect()
                self._clearance.found()
                try:
                    self._state.cluster_uid = await connection.cluster_uid()
                except BaseException:
                    await connection.close()
                    raise
            except (Refused, Unreachable, KubeconfigError) as error:
                await self._lost(error)
                if self._clearance.due:
                    raise ClusterGone from None
                failures += 1
                await asyncio.sleep(self._site.backoff(failures))
                continue
            except Exception:  # unknown, but not another ClusterGone of EKS
                self._clearance.unknown()
                raise
            self._state.connection = None
            self._unreachable = 0
            return connection

    async def confirm(self, connection: Connection) -> bool:
        """Whether the API server answers and is the same cluster. Raises Stale, ClusterReplaced."""
        try:
            uid = await connection.cluster_uid()
        except (Refused, Unreachable) as error:
            await self._lost(error)
            self._unreachable += isinstance(error, Unreachable)
            if self._unreachable == STALE_AFTER or (isinstance(error, Refused) and error.status == 401):
                raise Stale from error
            return False
        self._unreachable = 0
        self._state.connection = None
        if uid != self._state.cluster_uid:
            raise ClusterReplaced(f"kube-system has uid {uid}, it was {self._state.cluster_uid}")
        return True

    async def _lost(self, error: Exception) -> None:
        fault = self._clearance.explain(await self._explain(error))
        if fault != self._state.connection:
            log.warning("cluster_unreachable", cluster=self._site.name, reason=fault.reason, message=str(error))
        self._state.connection = fault


async def from_error(error: Exception) -> Cause:
    """An `Explain` that has only the error itself."""
    return connection_fault(error)


def connection_fault(error: BaseException) -> Cause:
    """The cause of the condition Connected for this error."""
    match error:
        case Refused(status=401):
            return Cause(Reason.UNAUTHORIZED, f"the API server rejects the credentials: {error}")
        case Refused(status=403):
            return Cause(
                Reason.FORBIDDEN,
                f"the operator may not get the namespace kube-system: {error}",
            )
        case Refused():
            return Cause(Reason.API_ERROR, str(error))
        case KubeconfigError():
            return Cause(Reason.KUBECONFIG_INVALID, error.found, remedy=error.remedy)
        case NotTried():
            return error.cause
        case _:
            return Cause(Reason.UNREACHABLE, str(error))
