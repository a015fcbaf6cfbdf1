"""Whether the API server of a monitored cluster answers, and whether it is still the same cluster that does.

| what happens                                     | then                                                              |
|--------------------------------------------------|-------------------------------------------------------------------|
| it cannot be reached, at the first attempt       | tried again, at growing intervals, by a fresh connection          |
| the credentials are refused (401), or it stays   | *stale*: a fresh connection is made, since the kubeconfig may     |
| away for a minute                                | have changed                                                      |
| another cluster answers (uid of kube-system)     | *replaced*: all that was read is forgotten                        |
| EKS has said for an hour that it is gone, and    | *gone*: the caller has a round of `clearance` made, and comes     |
| its findings are to be archived                  | back                                                              |
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
"""Failed attempts in a row, a minute at the default pace, after which a fresh connection is made."""

Connect = Callable[[], Awaitable[Connection]]
Explain = Callable[[Exception], Awaitable[Cause]]


class Stale(Exception):  # noqa: N818  (it says what happened)
    """A fresh connection is needed: the credentials ended, or the server has not answered for long."""


class ClusterReplaced(Exception):  # noqa: N818  (it says what happened)
    """Another cluster answers where the monitored one was."""


class Contact:
    """With one monitored cluster."""

    def __init__(self, site: Site, state: State, clearance: Clearance, *, connect: Connect, explain: Explain) -> None:
        """`connect` makes a fresh connection; `explain` says why it failed or was lost."""
        self._site = site
        self._state = state
        self._clearance = clearance
        self._connect = connect
        self._explain = explain
        self._unreachable = 0

    async def reach(self) -> Connection:
        """A connection to an API server that has told which cluster it is. Raises ClusterGone."""
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
            except Exception:  # whatever it is, EKS has not said again that the cluster is gone
                self._clearance.found()
                raise
            self._state.connection = None
            self._unreachable = 0
            return connection

    async def confirm(self, connection: Connection) -> bool:
        """Whether it answers, and is the same. Raises Stale, ClusterReplaced."""
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


async def plainly(error: Exception) -> Cause:
    """Where no more is known of it than the error itself says."""
    return connection_fault(error)


def connection_fault(error: BaseException) -> Cause:
    """Why a cluster cannot be worked with, for the condition Connected."""
    match error:
        case Refused(status=401):
            return Cause(Reason.UNAUTHORIZED, f"the API server refuses the credentials: {error}")
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
