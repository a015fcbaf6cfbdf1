"""One finding id: which source objects claim it, what Security Hub holds, and how the last claim ended.

Pure: no I/O, no clock.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from policyhub.clock import NEVER, UNDATED, SteadyMs, WallMs
from policyhub.findings.asff import RENDERER
from policyhub.model.recent import share
from policyhub.model.source_apis import is_constraint
from policyhub.model.violation import ObjectRef, Severity, SourceKey, Subject, Violation
from policyhub.sync.claims import Claims

NEW, NOTIFIED, SUPPRESSED, RESOLVED = WORKFLOW = ("NEW", "NOTIFIED", "SUPPRESSED", "RESOLVED")
"""All workflow statuses of Security Hub."""


class Tally(NamedTuple):
    """By what a violation is counted."""

    source: str
    policy: str
    severity: Severity


class Triage(NamedTuple):
    """What an analyst has done with a finding, as Security Hub shows it."""

    status: str
    """The workflow status."""
    severity: str
    """The label."""


class CountKeys(NamedTuple):
    """By what an entry is counted."""

    tally: Tally | None
    """None while the finding is not desired."""
    triage: Triage | None


class Loss(IntEnum):
    """How the last claim of a finding ended."""

    SILENT = 0
    """The report was deleted, or no source object has reported the finding since this process started."""
    OMITTED = 1
    """The report was rewritten without it, a complete constraint does not list it, or the constraint was deleted."""
    PASSED = 2
    """The result of the object is now pass or skip."""


class ObservedFinding(msgspec.Struct, frozen=True, gc=False):
    """A finding as Security Hub last confirmed it. Empty digest: it may exist there, and its content is not known."""

    digest: str
    created_at: WallMs
    updated_at: WallMs
    archived: bool
    renderer: str = str(RENDERER)
    """The renderer version that wrote it. If it is not ours, the finding is sent again, after everything else."""
    result_and_severity: str = ""
    """What `result_and_severity` returned for it. If two versions agree in it, they differ in wording only. Empty: not
    known."""
    relapses: int = 0
    """How often it was reactivated after it had been archived. Not part of the comparison."""
    relapsed_at: WallMs = UNDATED


def result_and_severity(result: str, severity: str) -> str:
    """Everything of a finding that is never wording, in one string; equal strings share one object."""
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
    """The object, if the finding names it completely."""
    triage: Triage = Triage(NEW, "")


class ListingState(msgspec.Struct, frozen=True):
    """Whether one source API is listed completely and watched, and since when."""

    live: bool
    since: SteadyMs = NEVER
    """The end of the first complete listing."""
    resumed: SteadyMs = NEVER
    """When an interrupted watch continued where it had stopped; 0: it was never interrupted."""


class Entry:
    """All that is known about one finding id."""

    __slots__ = (
        "acknowledged_at",
        "backlog",
        "body",
        "charged_to",
        "claims",
        "confirmed_by_audit",
        "count_keys",
        "counted_in",
        "desired",
        "digest",
        "evidence_since",
        "existence_asked_at",
        "first_audit_without",
        "first_claimed",
        "id",
        "in_flight",
        "lacked_evidence",
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
        "source",
        "source_api",
        "substituted_since",
        "unanswered",
        "unclaimed_since",
        "was_claimed",
    )

    def __init__(self, id_: str) -> None:  # noqa: PLR0915  (each attribute with its purpose)
        self.id = id_
        self.claims: Claims = ()
        self.desired = False
        """Whether a claim remains. Claims of superseded reports do not count."""
        self.was_claimed = False
        """Whether it was claimed in this process: then the end of the claim was observed, not inferred from silence."""
        self.first_claimed = NEVER
        """When a source object reported it first in this process."""
        self.backlog = False
        """Whether the first listing of its source brought it: then it is sent after findings that are new."""
        self.representative: Violation | None = None
        """The claim that words the finding; kept when the last claim ends, to render the archived body."""
        self.digest = ""
        self.observed_at: WallMs | None = None
        self.source_api = ""
        self.rule = ""
        self.policy = ""
        self.source = ""
        self.charged_to: str | None = None
        """The namespace whose limit it counts against; None: it counts against none (not claimed and not active)."""
        self.object_ref: ObjectRef | None = None
        """The object; None if only the inventory knows the finding, and the finding does not name its object."""
        self.observed: ObservedFinding | None = None
        self.acknowledged_at = NEVER
        """When Security Hub last acknowledged our import of it; 0: never."""
        self.unclaimed_since = NEVER
        """When its last claim ended (meaningful only without claims)."""
        self.loss = Loss.SILENT
        self.reported_at = NEVER
        """When its engine first reported on the object after the loss, without this finding (Unix ms); 0: not yet."""
        self.existence_asked_at = NEVER
        """When the lookup whether its object and policy exist began (Unix ms); 0: no lookup is pending."""
        self.lacked_evidence = False
        """Whether evidence was missing at the last decision …"""
        self.evidence_since = NEVER
        """… and since when none is missing."""
        self.counted_in: tuple[str, str] | None = None
        """The source and namespace under which it is counted as active in Security Hub."""
        self.first_audit_without: int | None = None
        """The first audit (Unix seconds) after which its constraint's list lacked it."""
        self.last_audit_with = 0
        """The last audit (Unix seconds) that listed it; 0: not known."""
        self.confirmed_by_audit = False
        """Whether a later audit did not list it either."""
        self.own: bool | None = None
        """Whether the object's own result reported it and has not ended since. None: not known, because it was active
        before this process started and only Pods have reported it since."""
        self.own_passes = False
        """Whether the object's own result passed while results that roll up to it still failed."""
        self.substituted_since = NEVER
        """Since when results of its Pods word the finding in place of the object's own result; 0: they do not."""
        self.rejected = ""
        """The digest that Security Hub rejected permanently."""
        self.body: dict[str, Any] | None = None
        """The finding as read from Security Hub, to archive a finding that this process never rendered."""
        self.in_flight = False
        self.pending_since = NEVER
        self.unanswered: ObservedFinding | None = None
        """The last import that got no answer: what Security Hub holds if it was written."""
        self.count_keys = CountKeys(None, None)
        """Shared by many entries."""

    @property
    def passed(self) -> bool:
        return self.loss is Loss.PASSED

    @property
    def tally(self) -> Tally | None:
        """By what it is counted among the desired findings; None while it is not desired."""
        return self.count_keys.tally

    @property
    def triage(self) -> Triage | None:
        """As the inventory last read it, and as our own imports have changed it since."""
        return self.count_keys.triage

    @property
    def subject(self) -> Subject | None:
        """The object; None if it is not known."""
        if self.representative is not None:
            return self.representative.subject
        return None if self.object_ref is None else self.object_ref.subject

    @property
    def namespace(self) -> str:
        """Of the object; empty if it is not known."""
        if self.representative is not None:
            return self.representative.subject.namespace
        return "" if self.object_ref is None else self.object_ref.namespace

    @property
    def is_notice(self) -> bool:
        """Whether it is the notice that a list is truncated: only notices have neither policy nor rule."""
        return bool(self.source_api) and not self.policy and not self.rule

    @property
    def constraint(self) -> SourceKey | None:
        """The constraint that lists the finding: the rule is its name, the source API its resource and group."""
        if not is_constraint(self.source_api):
            return None
        resource, _, group = self.source_api.partition(".")
        return SourceKey.named(group, resource, "", self.rule)
