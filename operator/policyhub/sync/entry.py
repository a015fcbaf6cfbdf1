"""One finding id: who calls for it, what Security Hub has of it, and what became of the last caller.

Pure: no I/O, no clock.
"""

from enum import IntEnum
from typing import Any

import msgspec

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.findings.asff import RENDERER
from policyhub.sources.recent import share
from policyhub.sources.source_apis import is_constraint
from policyhub.sources.violation import ObjectRef, Severity, SourceKey, Subject, Violation
from policyhub.sync.claims import Claims

Tally = tuple[str, str, Severity]
"""(source, policy, severity) of a violation."""
Triage = tuple[str, str]
"""(workflow status, severity label) of a finding as Security Hub shows it: what an analyst has done with it."""
NEW, NOTIFIED, SUPPRESSED, RESOLVED = WORKFLOW = ("NEW", "NOTIFIED", "SUPPRESSED", "RESOLVED")
"""The workflow statuses that there are."""

Standing = tuple[Tally | None, Triage | None]


class Loss(IntEnum):
    """How the last source object that reported a finding ceased to."""

    SILENT = 0
    """Its report went, or nobody has reported it since this process began."""
    OMITTED = 1
    """Its report was rewritten without it, a complete constraint lacks it, or its constraint was deleted."""
    PASSED = 2
    """The object's result now reads pass or skip."""


class ObservedFinding(msgspec.Struct, frozen=True, gc=False):
    """A finding as Security Hub last confirmed it. An empty digest: it may be there, its content is not known."""

    digest: str
    created_at: WallMs
    updated_at: WallMs
    archived: bool
    renderer: str = str(RENDERER)
    """The version that wrote it; one that differs from ours makes it be written again, after all else."""
    gist: str = ""
    """Its result and severity (`gist`): what two digests differ in beside this is wording. Empty: not known."""
    relapses: int = 0
    """How often it was sent again after it had been archived: no part of what is compared."""
    relapsed_at: WallMs = UNDATED


def gist(result: str, severity: str) -> str:
    """What of a finding is never wording; one text for all that are alike."""
    return share(f"{result} {severity}") if result and severity else ""


class Observation(msgspec.Struct, frozen=True):
    """A finding as it was read from Security Hub."""

    id: str
    observed: ObservedFinding
    cluster_uid: str
    source_api: str
    rule: str
    source: str = ""
    policy: str = ""
    object_ref: ObjectRef | None = None
    """The object, where the finding tells it whole."""
    triage: Triage = (NEW, "")


class Coverage(msgspec.Struct, frozen=True):
    """Whether one source API is seen whole and live, and since when (the end of the first complete listing since)."""

    live: bool
    since: SteadyMs = NEVER
    resumed: SteadyMs = NEVER
    """When a watch that had been cut went on from where it was; 0 if it was never cut."""


class Entry:
    """All that is known of one finding id."""

    __slots__ = (
        "acknowledged_at",
        "asking_since",
        "backlog",
        "blocked",
        "body",
        "claims",
        "confirmed_by_audit",
        "counted_in",
        "desired",
        "digest",
        "first_audit_without",
        "first_claimed",
        "id",
        "in_flight",
        "last_audit_with",
        "loss",
        "object_ref",
        "observed",
        "observed_at",
        "own",
        "own_passes",
        "pending_since",
        "policy",
        "rejected",
        "reported_at",
        "representative",
        "rule",
        "share",
        "source",
        "source_api",
        "standing",
        "substituted_since",
        "unanswered",
        "unblocked_at",
        "unclaimed_since",
        "was_claimed",
    )

    def __init__(self, id_: str) -> None:  # noqa: PLR0915  (each attribute with what it is for)
        self.id = id_
        self.claims: Claims = ()
        self.desired = False
        """Whether a caller remains that counts: one of a superseded report does not."""
        self.was_claimed = False
        """Whether anybody has called for it in this process: then its end is known, not inferred from silence."""
        self.first_claimed = NEVER
        """When a source object reported it first in this process."""
        self.backlog = False
        """Whether the first listing of its source brought it: then it is no news, and waits behind what is."""
        self.representative: Violation | None = None
        """Who speaks; kept when the last call is gone, as the body to archive with."""
        self.digest = ""
        self.observed_at: WallMs | None = None
        self.source_api = ""
        self.rule = ""
        self.policy = ""
        self.source = ""
        self.share: str | None = None
        """The namespace that it takes room in; None: it takes none (nobody reports it, and it is not active)."""
        self.object_ref: ObjectRef | None = None
        """The object; None where only the inventory knows the finding and it does not tell."""
        self.observed: ObservedFinding | None = None
        self.acknowledged_at = NEVER
        """When Security Hub acknowledged our last import of it; 0 never."""
        self.unclaimed_since = NEVER
        """Since when nobody calls for it (meaningful without calls only)."""
        self.loss = Loss.SILENT
        self.reported_at = NEVER
        """When its engine was heard of its object after the loss, without it (Unix ms); 0: not yet."""
        self.asking_since = NEVER
        """Since when the API server owes an answer about it (Unix ms); 0: it does not."""
        self.blocked = False
        """Whether evidence was missing when it was decided last …"""
        self.unblocked_at = NEVER
        """… and since when none is."""
        self.counted_in: tuple[str, str] | None = None
        """The source and namespace that it is counted for as active in Security Hub."""
        self.first_audit_without: int | None = None
        """The audit (Unix seconds) that was the first to lack it in its constraint's list."""
        self.last_audit_with = 0
        """The audit (Unix seconds) that was the last to list it; 0: not known."""
        self.confirmed_by_audit = False
        """Whether a later audit has lacked it too."""
        self.own: bool | None = None
        """Whether its object's own result reported it, and nothing was said of that since; None: not known, as
        of what was active before this process began, and only Pods have reported since."""
        self.own_passes = False
        """Whether its object's own result passes, while what counts for it still called."""
        self.substituted_since = NEVER
        """Since when others speak for the object in place of its own result; 0: they do not."""
        self.rejected = ""
        """The digest that Security Hub refused for good."""
        self.body: dict[str, Any] | None = None
        """The finding as read back from Security Hub, for archiving what this process never rendered."""
        self.in_flight = False
        self.pending_since = NEVER
        self.unanswered: ObservedFinding | None = None
        """The last import that got no answer: what it would be known as."""
        self.standing: Standing = (None, None)
        """What it is counted by: `tally` and `triage`, in one object that many entries share."""

    @property
    def cleared(self) -> bool:
        return self.loss is Loss.PASSED

    @property
    def tally(self) -> Tally | None:
        """What it is counted by among the wanted findings; None while it is not wanted."""
        return self.standing[0]

    @property
    def triage(self) -> Triage | None:
        """As the inventory last read it, and as our own imports have changed it since."""
        return self.standing[1]

    @property
    def subject(self) -> Subject | None:
        """The object; None where it is not known."""
        if self.representative is not None:
            return self.representative.subject
        return None if self.object_ref is None else self.object_ref.subject

    @property
    def namespace(self) -> str:
        """The object's; empty where it is not known."""
        if self.representative is not None:
            return self.representative.subject.namespace
        return "" if self.object_ref is None else self.object_ref.namespace

    @property
    def is_notice(self) -> bool:
        """Whether it is the notice that a report's list is not whole: every result has a policy or a rule."""
        return bool(self.source_api) and not self.policy and not self.rule

    @property
    def constraint(self) -> SourceKey | None:
        """The constraint that lists the finding: its name is the rule, its resource and group are the origin."""
        if not is_constraint(self.source_api):
            return None
        resource, _, group = self.source_api.partition(".")
        return SourceKey.named(group, resource, "", self.rule)
