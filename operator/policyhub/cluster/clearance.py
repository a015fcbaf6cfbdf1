"""`spec.onClusterGone: Archive`: the findings of a cluster that EKS no longer has.

| what is known                                              | then                                               |
|------------------------------------------------------------|----------------------------------------------------|
| the spec says Hold                                         | nothing: a person decides                          |
| `absence` does not stand                                   | nothing yet                                        |
| the mode is not Sync; another MonitoredCluster has the     | nothing, and Connected says why                    |
| same identity and hub                                      |                                                    |
| no uid that was told by an API server that EKS named for   | nothing: which cluster's findings they are is not  |
| this very ARN                                              | known                                              |
| all else                                                   | active findings of the identity and that uid are   |
|                                                            | archived (`archiving`), a round after each answer  |

The last but one is what keeps a living cluster's findings: one whose ARN was wrong all along, or was changed, or that a
kubeconfig led to, is found by its kubeconfig and not by EKS. So uid and ARN are written into the status together.

The cluster's data plane has ended before the first round, so that nothing new is sent.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.absence import STANDS_MS, Absence
from policyhub.cluster.archiving import Archiving, IncompleteError, Round, Sent
from policyhub.cluster.conflict import adopted
from policyhub.cluster.formatting import counted
from policyhub.cluster.site import Site
from policyhub.kube.connection import Refused, Unreachable
from policyhub.securityhub.errors import HubError
from policyhub.sources.text import line
from policyhub.sync.ledger import Ledger

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""Between two rounds while Security Hub does not show all that was sent."""
MESSAGE = 1_000
"""Characters of a failure."""

Rival = Callable[[Collection[str]], Awaitable[str]]
"""The name of another MonitoredCluster, not deleted, that writes findings of these uids at the same hub under the same
identity; empty where there is none. Raises Refused, Unreachable."""


async def nobody(_: Collection[str]) -> str:
    """Where there are no others."""
    return ""


class ClusterGone(Exception):  # noqa: N818  (it says what happened)
    """The cluster's absence stands, and its findings are to be archived."""


class Clearance:
    """Of one MonitoredCluster."""

    def __init__(
        self,
        site: Site,
        *,
        eks_arn: str,
        uid: Callable[[], str],
        annotations: Callable[[], Mapping[str, str]],
        claimed: Callable[[], str],
        rival: Rival,
    ) -> None:
        """`eks_arn`: under which EKS names the API server that is connected to; empty where it names none. `uid`: what
        that has told this process. `claimed`: why another MonitoredCluster's claim keeps this one from sending.
        """
        self.ledger: Ledger | None = None
        """What this process has sent of the cluster by."""
        self._site = site
        self._eks_arn = eks_arn
        self._reached = uid
        self._annotations = annotations
        self._claimed = claimed
        self._rival = rival
        self._absence = Absence()
        self._due_at = ""
        """By the wall clock."""
        self._archiving: Archiving | None = None
        """Begun."""
        self._trouble = ""
        """Why it could not be ended."""
        self._others = 0
        """Active findings of the identity with another uid."""
        self._done: int | None = None
        """Findings that were archived, when all were."""

    def explain(self, fault: Cause) -> Cause:
        """Take why the cluster cannot be connected to. With what becomes of its findings."""
        if fault.reason is not Reason.CLUSTER_GONE:
            self.found()
            return fault
        if not self._absence.since:
            at = datetime.fromtimestamp((self._site.wall() + STANDS_MS) // 1000, UTC)
            self._due_at = f"{at:%H:%M} UTC"
        self._absence.confirm(self._site.now())
        return self._explained(fault)

    def found(self) -> None:
        """The cluster is there, or nothing is known of it."""
        self._absence.end()
        self._archiving, self._trouble, self._done = None, "", None

    @property
    def due(self) -> bool:
        """Whether a round is to be made now."""
        return self._asked and self._absence.stands and self._done is None and not self._barred()

    @property
    def _asked(self) -> bool:
        return self._site.spec.on_cluster_gone == "Archive"

    @property
    def _uid(self) -> str:
        """Of the cluster that is gone; empty where that is not known."""
        if not self._eks_arn:
            return ""
        before = self._site.monitored.status
        kept = before.cluster_uid if before is not None and before.eks_arn == self._eks_arn else None
        return self._reached() or kept or ""

    def _barred(self) -> str:
        """Why nothing is archived, however long the cluster is gone."""
        if self._site.spec.mode != "Sync":
            return "spec.mode is not Sync"
        if not self._uid:
            return (
                "the operator has never reached a cluster where EKS said that this ARN is, so these need not be its"
                " findings. Check the ARN"
            )
        return self._claimed()

    def _explained(self, fault: Cause) -> Cause:
        if not self._asked:
            return fault
        said, give_up = fault.message, "To keep its findings active, set spec.onClusterGone to Hold"
        if barred := self._barred():
            return replace(fault, message=f"{said}. Its findings stay, whatever spec.onClusterGone says: {barred}")
        if self._done is not None:
            told = f"{said}. {counted(self._done, 'finding')} archived, as spec.onClusterGone says"
            if self._others:
                told += (
                    f". Another cluster's uid is in {counted(self._others, 'active finding')} of this identity:"
                    f" policyhub retire {self._site.name} counts them"
                )
            return replace(fault, message=told, remedy="If it does not come back, delete this MonitoredCluster")
        if self._trouble:
            told = f"{said}. Its findings are not all archived yet, which is tried again: {self._trouble}"
            return replace(fault, message=told, remedy=f"Fix the cause. {give_up}")
        if self._archiving is not None:
            return replace(fault, message=f"{said}. Its findings are being archived", remedy=give_up)
        told = f"{said}. If EKS still says so at {self._due_at}, its findings are archived, as spec.onClusterGone says"
        return replace(fault, message=told, remedy=give_up)

    async def round(self) -> float:
        """Right after EKS has said once more that the cluster is gone. Seconds until the next one."""
        site, uid = self._site, self._uid
        uids = frozenset({uid}) | adopted(self._annotations())

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
            if (other := await rival()) or (came := await archiving.round()) is Round.OVERTAKEN:
                self._trouble = f"MonitoredCluster {other or 'of another name'} has the same identity and hub"
                return site.backoff(6)
        except (HubError, IncompleteError, Refused, Unreachable) as error:
            self._trouble = line(str(error), MESSAGE).rstrip(".")
            log.warning("cluster_gone_not_archived", cluster=site.name, message=self._trouble)
            return site.backoff(6)
        self._trouble = ""
        if came is Round.DONE:
            self._done, self._others = archiving.archived, archiving.others
            self._archiving, self.ledger = None, None
            log.info("cluster_gone_archived", cluster=site.name, archived=self._done)
        return LOOK_SECONDS
