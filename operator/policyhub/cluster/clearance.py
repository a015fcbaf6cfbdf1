"""`spec.onClusterGone: Archive`: archives the findings of a cluster that no longer exists in EKS.

| situation                                                  | then                                               |
|------------------------------------------------------------|----------------------------------------------------|
| spec.onClusterGone is Hold                                 | nothing: an admin decides                          |
| the absence is not accepted (`absence`)                    | nothing yet                                        |
| the mode is not Sync; another MonitoredCluster has the     | nothing; the condition Connected has the reason    |
| same identity and hub                                      |                                                    |
| no uid is known from an API server whose address EKS gave  | nothing: the findings may be another cluster's     |
| for this ARN                                               |                                                    |
| otherwise                                                  | active findings of the identity and these uids are |
|                                                            | archived (`archiving`), one round per ClusterGone  |

The row about the uid protects the findings of a running cluster. If the ARN was always wrong or was changed, or if a
kubeconfig gives the address, the operator reaches a cluster that EKS does not find under this ARN. So the status stores
uid and ARN together.

The data plane of the cluster has ended before the first round, so nothing new is sent.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.absence import ACCEPTED_AFTER_MS, Absence
from policyhub.cluster.archiving import Archiving, IncompleteError, Round, Sent
from policyhub.cluster.conflict import adopted
from policyhub.cluster.formatting import counted, retire_command
from policyhub.cluster.site import Site
from policyhub.kube.connection import Refused, Unreachable
from policyhub.model.text import line
from policyhub.securityhub.errors import HubError
from policyhub.sync.ledger import Ledger

log = structlog.get_logger(__name__)

ROUND_SECONDS = 2.0
"""Seconds between two rounds while Security Hub does not show everything that was sent."""
MESSAGE = 1_000
"""Maximum length of the message of a failure."""

_EXISTS = frozenset(
    {
        Reason.ACCESS_ENTRY_MISSING,
        Reason.API_ERROR,
        Reason.CLUSTER_CREATING,
        Reason.CLUSTER_DELETING,
        Reason.CLUSTER_EXTERNAL,
        Reason.CLUSTER_FAILED,
        Reason.CONFIG_MAP_ONLY,
        Reason.ENDPOINT_INVALID,
        Reason.ENDPOINT_PRIVATE,
        Reason.ENDPOINT_RESTRICTED,
        Reason.FORBIDDEN,
        Reason.UNAUTHORIZED,
        Reason.UNREACHABLE,
    }
)
"""EKS has described the cluster, or its API server has answered. Without an answer of EKS no address is tried: after
ClusterGone the former one is not known any more.
"""

Rival = Callable[[Collection[str]], Awaitable[str]]
"""The name of another MonitoredCluster, not deleted, that writes findings of these uids at the same hub under the same
identity; empty: there is none. Raises Refused, Unreachable."""


async def nobody(_: Collection[str]) -> str:
    """A `Rival` that finds none."""
    return ""


class ClusterGone(Exception):
    """The absence of the cluster is accepted, and its findings have to be archived."""


class Clearance:
    """Archives the findings of one MonitoredCluster after its cluster was deleted."""

    def __init__(
        self,
        site: Site,
        *,
        eks_arn: str,
        uid: Callable[[], str],
        earlier: Callable[[], Collection[str]],
        annotations: Callable[[], Mapping[str, str]],
        claimed: Callable[[], str],
        rival: Rival,
    ) -> None:
        """`eks_arn`: the ARN for which EKS gave the address of the API server; empty: the address comes from elsewhere.
        `uid`: the uid that this API server has reported to this process; `earlier`: those that it reported before, as
        the cluster was rebuilt. `claimed`: why another MonitoredCluster's
        claim keeps this one from sending.
        """
        self.ledger: Ledger | None = None
        """The ledger with which this process has sent findings of the cluster."""
        self._site = site
        self._eks_arn = eks_arn
        self._reached = uid
        self._earlier = earlier
        self._annotations = annotations
        self._claimed = claimed
        self._rival = rival
        self._absence = Absence()
        self._due_at = ""
        """When the findings will be archived, as text (hours and minutes, UTC)."""
        self._archiving: Archiving | None = None
        """None: archiving has not begun, or is complete."""
        self._failure = ""
        """Why the last round failed."""
        self._others = 0
        """Active findings of the identity with another uid."""
        self._done: int | None = None
        """Number of archived findings; None: not all are archived yet."""

    def explain(self, fault: Cause) -> Cause:
        """Take the reason why the cluster cannot be reached. Returns it with what happens to the findings."""
        if fault.reason in _EXISTS:
            self.found()
            return fault
        if fault.reason is not Reason.CLUSTER_GONE:
            self.unknown()
            return fault
        if not self._absence.since:
            at = datetime.fromtimestamp((self._site.wall() + ACCEPTED_AFTER_MS) // 1000, UTC)
            self._due_at = f"{at:%H:%M} UTC"
        self._absence.confirm(self._site.now())
        return self._explained(fault)

    def found(self) -> None:
        """The cluster exists."""
        self.unknown()
        self._archiving, self._done = None, None

    def unknown(self) -> None:
        """There is no answer whether the cluster exists: the hour starts again. What was archived stays so."""
        self._absence.end()
        self._failure = ""

    @property
    def due(self) -> bool:
        """Whether a round has to run now."""
        return self._requested and self._absence.accepted and self._done is None and not self._barred()

    @property
    def _requested(self) -> bool:
        return self._site.spec.on_cluster_gone == "Archive"

    @property
    def _uid(self) -> str:
        """The uid of the deleted cluster; empty: not known."""
        if not self._eks_arn:
            return ""
        return self._reached() or self._recorded or ""

    @property
    def _recorded(self) -> str | None:
        """The uid in the status, if EKS gave the address for the same ARN."""
        before = self._site.monitored.status
        return before.cluster_uid if before is not None and before.eks_arn == self._eks_arn else None

    @property
    def _uids(self) -> frozenset[str]:
        """The uids of all clusters that had this ARN, as far as is known: none of them exists any more."""
        known = {self._uid, *self._earlier(), self._recorded or ""} - {""}
        return frozenset(known) | adopted(self._annotations())

    def _barred(self) -> str:
        """Why nothing is archived, however long the cluster has been gone; empty: nothing prevents it."""
        if self._site.spec.mode != "Sync":
            return "spec.mode is not Sync"
        if not self._uid:
            return (
                "the operator has never reached a cluster at the address that EKS gave for this ARN, so they may be"
                " another cluster's findings. Check the ARN"
            )
        return self._claimed()

    def _explained(self, fault: Cause) -> Cause:
        if not self._requested:
            return fault
        gone, give_up = fault.message, "To keep its findings active, set spec.onClusterGone to Hold"
        if barred := self._barred():
            message = f"{gone}. Its findings stay, although spec.onClusterGone is Archive: {barred}"
            return replace(fault, message=message)
        if self._done is not None:
            message = f"{gone}. {counted(self._done, 'finding')} archived (spec.onClusterGone: Archive)"
            if self._others:
                message += (
                    f". Another cluster's uid is in {counted(self._others, 'active finding')} of this identity:"
                    f" {retire_command(self._site.name)} counts them"
                )
            return replace(fault, message=message, remedy="If it does not come back, delete this MonitoredCluster")
        if self._failure:
            message = f"{gone}. Not all of its findings are archived yet, and the operator tries again: {self._failure}"
            return replace(fault, message=message, remedy=f"Fix the cause. {give_up}")
        if self._archiving is not None and self._absence.accepted:
            return replace(fault, message=f"{gone}. Its findings are being archived", remedy=give_up)
        message = (
            f"{gone}. If it is still gone at {self._due_at}, its findings are archived (spec.onClusterGone: Archive)"
        )
        return replace(fault, message=message, remedy=give_up)

    async def round(self) -> float:
        """To be called right after EKS has answered ClusterGone again. Returns the seconds until the next attempt."""
        site, uid, uids = self._site, self._uid, self._uids

        async def rival() -> str:
            return await self._rival(uids)

        if self._archiving is None:
            self._archiving = Archiving(
                site.hub,
                site.engine.acknowledged,
                site.metrics,
                identity=site.monitored.identity,
                uid=uid,
                uids=uids,
                sent=Sent(ledger=self.ledger, sure=not site.sent_shortly_before),
                rival=rival,
                now=site.now,
                wall=site.wall,
            )
            log.info("cluster_gone_archiving", cluster=site.name, identity=site.monitored.identity, uid=uid)
        archiving, other = self._archiving, ""
        try:
            if (other := await rival()) or (result := await archiving.round()) is Round.OVERTAKEN:
                self._failure = f"MonitoredCluster {other or 'of another name'} has the same identity and hub"
                return site.backoff(6)
        except (HubError, IncompleteError, Refused, Unreachable) as error:
            self._failure = line(str(error), MESSAGE).rstrip(".")
            log.warning("cluster_gone_not_archived", cluster=site.name, message=self._failure)
            return site.backoff(6)
        self._failure = ""
        if result is Round.DONE:
            self._done, self._others = archiving.archived, archiving.others
            self._archiving, self.ledger = None, None
            log.info("cluster_gone_archived", cluster=site.name, archived=self._done)
        return ROUND_SECONDS
