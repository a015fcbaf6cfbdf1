"""Archiving all active findings of one cluster, round by round, until Security Hub shows none: what a deletion asks for
(`policyhub.deletion`), and the end of a cluster (`clearance`).

A round reads, archives what it finds, and says what came of it. GetFindings lags, so a round that finds nothing proves
nothing while calls are under way, or while what was confirmed before is not shown yet.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.cluster.formatting import counted
from policyhub.findings.identity import prefix
from policyhub.metrics import Metrics
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.inventory import from_asff as found_as
from policyhub.securityhub.retirement import Retirement
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import ObservedFinding
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of
from policyhub.sync.plan import Change

LAG_MS = 60_000
"""So long after this process began, GetFindings shows what another one sent before: it may have overlooked what ends
the cluster, and sent until it ended.
"""
REASONS = 3
"""How many reasons of refusals a message names."""


class IncompleteError(Exception):
    """A round has left some findings active: Security Hub refused them."""


class Round(Enum):
    """What came of one."""

    OVERTAKEN = auto()
    """Somebody else writes these findings by now."""
    LAGS = auto()
    """Security Hub may not show yet what was sent last."""
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Sent:
    """What this process has sent of the cluster."""

    ledger: Ledger | None
    """None where it never worked on it."""
    sure: bool
    """Whether no other process can have sent anything lately."""

    def certain(self, begun: WallMs) -> WallMs:
        """From when on a reading shows all that was sent before, by whomever."""
        return UNDATED if self.ledger is not None and self.sure else begun + LAG_MS

    @property
    def flying(self) -> bool:
        """Whether an import of it has not been answered yet."""
        return self.ledger is not None and bool(self.ledger.agenda.in_flight)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who has archived, as `Acknowledged` knows it."""

    cluster_uid: str

    def note_other_import(self, id_: str, known: ObservedFinding | None, *, now: SteadyMs) -> None:
        pass


class Archiving:
    """Of one identity and these uids, at one hub."""

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
        """`uid` is the cluster's own, one of `uids`; `rival` as of `Retirement`."""
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
            hub, identity=identity, uids=uids, rival=rival, on_archived=self._archived, on_doubt=self._doubt
        )

    @property
    def archived(self) -> int:
        """Findings, so far."""
        return self._retirement.archived

    @property
    def others(self) -> int:
        """Active findings of the identity with a uid that was not named, as the last round found them."""
        return len(self._retirement.others)

    async def round(self) -> Round:
        """Raises HubError, IncompleteError; then another one goes on."""
        async with self._hub.archiving:
            return await self._alone()

    async def _alone(self) -> Round:
        if self._sent.flying:  # it would land after the archive, and make the finding active again
            return Round.LAGS
        done, started = self._retirement, self._wall()
        expected = self._acknowledged.recent_updates(self._writer.cluster_uid, prefix(self._identity), now=self._now())
        await self._hub.verify_account()
        if not await done.run():
            return Round.OVERTAKEN
        if done.failed:
            raise IncompleteError(self._left())
        late = any(done.shown.get(id_, UNDATED) < updated for id_, updated in expected.items())
        return Round.LAGS if late or done.changed or started < self._certain else Round.DONE

    def _left(self) -> str:
        reasons = "; ".join(f"{number} times {why}" for why, number in self._retirement.reasons.most_common(REASONS))
        refused = f"{counted(len(self._retirement.failed), 'finding')} refused by Security Hub ({reasons})"
        return f"{counted(self.archived, 'finding')} archived, {refused}"

    def _doubt(self, ids: Collection[str]) -> None:
        for id_ in ids:
            self._acknowledged.note_unanswered(self._writer, id_, self._now())

    def _archived(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Whoever watches the cluster next knows them as archived, before GetFindings shows it."""
        for body in bodies:
            self._acknowledged.note(self._writer, body["Id"], observation_of(found_as(body)).observed, self._now())
        self._metrics.findings_sent.labels(f"{self._hub.account}/{self._hub.region}", Change.ARCHIVED).inc(len(bodies))
