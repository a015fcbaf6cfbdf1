"""Archives all active findings of one cluster, round by round, until Security Hub shows none.

| caller                        | when                                                                       |
|-------------------------------|----------------------------------------------------------------------------|
| `policyhub.control.deletion`  | a MonitoredCluster with `deletionPolicy: Archive` is deleted               |
| `clearance`                   | EKS reports that the cluster does not exist (`onClusterGone: Archive`)     |

A round reads the active findings and archives them. GetFindings lags behind imports. So a round that finds nothing
proves nothing (`Round.LAGS`) while an import of this process is in flight, while GetFindings does not show an
acknowledged import yet, or while it may not show yet what another process sent (`LAG_MS`).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.cluster.formatting import counted
from policyhub.findings.identity import prefix
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.inventory import from_asff
from policyhub.securityhub.retirement import Retirement
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of
from policyhub.sync.plan import Change

LAG_MS = 60_000
"""How long GetFindings may lag behind another process, counted from the start of the archiving. That process may have
sent findings until it ended, because it did not know of the deletion.
"""
REASONS = 3
"""How many reasons for rejections a message names."""


class IncompleteError(Exception):
    """Some findings are still active after a round because Security Hub rejected them."""


class Round(Enum):
    """The result of a round."""

    OVERTAKEN = auto()
    """Another MonitoredCluster writes these findings now."""
    LAGS = auto()
    """Findings may still be active: Security Hub may not show the last imports yet, an import is in flight, or somebody
    updated a finding after it was read. Another round follows.
    """
    DONE = auto()
    """Security Hub shows no active finding of this cluster, and no import can be missing."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What this process has sent for the cluster."""

    ledger: Ledger | None
    """None: this process never handled the cluster."""
    sure: bool
    """Whether no other process can have sent anything recently."""

    def certain(self, begun: WallMs) -> WallMs:
        """A read that starts at this time or later shows everything that other processes sent."""
        return UNDATED if self.ledger is not None and self.sure else begun + LAG_MS

    @property
    def flying(self) -> bool:
        """Whether an import is in flight."""
        return self.ledger is not None and bool(self.ledger.agenda.in_flight)


@dataclass(frozen=True, slots=True)
class Writer:
    """The archiving as a `Follower` of `Acknowledged`: it records its imports there, and ignores those of ledgers."""

    cluster_uid: str

    def note_other_import(self, id_: str, known: ObservedFinding | None, *, now: SteadyMs) -> None:
        pass


class Archiving:
    """Archives the findings of one identity and these uids, at one hub."""

    def __init__(
        self,
        hub: HubClient,
        acknowledged: Acknowledged,
        metrics: Metrics,
        *,
        identity: str,
        uid: str,
        uids: frozenset[str],
        sent: Sent,
        rival: Callable[[], Awaitable[str]],
        now: Callable[[], SteadyMs],
        wall: Callable[[], WallMs],
    ) -> None:
        """`uid` is the current uid of the cluster, one of `uids`. `rival` returns the name of another MonitoredCluster
        that writes these findings now, or an empty text.
        """
        self.where = f"of {identity} in account {hub.account}, {hub.region}"
        self._hub = hub
        self._acknowledged = acknowledged
        self._metrics = metrics
        self._identity = identity
        self._writer = Writer(uid)
        self._sent = sent
        self._now = now
        self._wall = wall
        self._certain = sent.certain(wall())
        self._retirement = Retirement(
            hub, identity=identity, uids=uids, rival=rival, on_archived=self._archived, on_unconfirmed=self._doubt
        )

    @property
    def archived(self) -> int:
        """Findings archived so far."""
        return self._retirement.archived

    @property
    def others(self) -> int:
        """Active findings of the identity whose uid is not in `uids`, as of the last round."""
        return len(self._retirement.others)

    async def round(self) -> Round:
        """Raises HubError, IncompleteError; another round can then continue."""
        async with self._hub.archiving:
            return await self._alone()

    async def _alone(self) -> Round:
        if self._sent.flying:  # it could arrive after the archive and make the finding active again
            return Round.LAGS
        done, started = self._retirement, self._wall()
        expected = self._acknowledged.recent_updates(self._writer.cluster_uid, prefix(self._identity), now=self._now())
        await self._hub.verify_account()
        if not await done.run():
            return Round.OVERTAKEN
        if done.failed:
            raise IncompleteError(self._left())
        late = any(done.updated_at.get(id_, UNDATED) < updated for id_, updated in expected.items())
        return Round.LAGS if late or done.changed or started < self._certain else Round.DONE

    def _left(self) -> str:
        reasons = "; ".join(f"{number} times {why}" for why, number in self._retirement.reasons.most_common(REASONS))
        rejected = f"{counted(len(self._retirement.failed), 'finding')} rejected by Security Hub ({reasons})"
        return f"{counted(self.archived, 'finding')} archived, {rejected}"

    def _doubt(self, ids: Collection[str]) -> None:
        for id_ in ids:
            self._acknowledged.note_unanswered(self._writer, id_, self._now())

    def _archived(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """The next ledger of the cluster knows that they are archived before GetFindings shows it."""
        for body in bodies:
            self._acknowledged.note(self._writer, body["Id"], observation_of(from_asff(body)).observed, self._now())
        self._metrics.findings_sent.labels(f"{self._hub.account}/{self._hub.region}", Change.ARCHIVED).inc(len(bodies))
