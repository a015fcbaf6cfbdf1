"""The conditions of a MonitoredCluster: a table of snapshots, and the conditions of each."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from policyhub.api.reason import Cause, Nature, Reason
from policyhub.api.status import Condition
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster import conditions, insync, remedies
from policyhub.cluster.formatting import sentence
from policyhub.cluster.snapshot import (
    Aliases,
    EnginesSeen,
    Findings,
    Foreign,
    OwnersSeen,
    PoliciesSeen,
    Snapshot,
    SourceSeen,
    Twin,
    UnverifiedSummary,
)
from policyhub.cluster.state import CONNECTING, DISCOVERING, INCOMPLETE, NOT_VERIFIED
from policyhub.control.status import build
from policyhub.sync.entry import NEW, NOTIFIED, RESOLVED, SUPPRESSED
from policyhub.sync.guard import GuardHold
from policyhub.sync.plan import Change
from policyhub.sync.refusals import NamespaceRefusals, Refusal
from policyhub.sync.usage import Excess

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
REPORTS = "policyreports.v1alpha2.wgpolicyk8s.io"
UID = "5b2d7f1c"
SEEN = Snapshot(
    name="prod",
    identity="arn",
    account="111122223333",
    region="eu-west-1",
    cluster_uid=UID,
    wall=WALL,
    sources=(SourceSeen(name=REPORTS, objects=3, last_listed=WALL, newest=NOW // 1000),),
)
"""A healthy cluster."""
WELL = {
    "Ready": ("True", "AllWell"),
    "Connected": ("True", "Connected"),
    "HubReachable": ("True", "Reachable"),
    "SourcesComplete": ("True", "Complete"),
    "InSync": ("True", "InSync"),
    "OwnersKnown": ("True", "Watched"),
    "PoliciesKnown": ("True", "Watched"),
    "EnginesReporting": ("True", "Reporting"),
    "InputAccepted": ("True", "AllAccepted"),
    "ArchiveHeld": ("False", "NothingHeld"),
    "IdentityConflict": ("False", "NoConflict"),
}


def found(**changes: Any) -> Findings:
    return replace(Findings(cluster_uid=UID), **changes)


def refused(
    reason: str, *, namespace: str = "shop", objects: int = 1, number: int = 7, taken: int | None = 5
) -> NamespaceRefusals:
    refusal = Refusal(reason, number=number, taken=taken)
    source_api = "policyreports.wgpolicyk8s.io"
    reasons = Counter({reason: number})
    return NamespaceRefusals(
        namespace=namespace, objects=objects, reasons=reasons, source_api=source_api, name="big", refusal=refusal
    )


def verdicts(seen: Snapshot, *, was_in_sync: bool = False) -> dict[str, tuple[str, str, str]]:
    output = conditions.conditions(seen, was_in_sync=was_in_sync, now=NOW)
    return {type_: (status, fault.reason, fault.message) for type_, status, fault in output}


def ago(seconds: int) -> int:
    return int(WALL) // 1000 - seconds


HOUR = 3600
DENIED = Cause(Reason.ACCESS_DENIED, "grant it")
AWAY = Cause(Reason.UNREACHABLE, "no route")
UNAVAILABLE = Cause(Reason.INVENTORY_UNAVAILABLE, "for 15 minutes")
Row = tuple[dict[str, Any], dict[str, tuple[str, str]], dict[str, str]]
"""The changes to the healthy snapshot, the conditions that differ, and a part of their messages."""

ROWS: dict[str, Row] = {
    "all is well": (
        {},
        {},
        {
            "Ready": "up to date",
            "Connected": "the API server answers",
            "HubReachable": "Security Hub of account 111122223333, eu-west-1 accepts",
            "SourcesComplete": "1 source is listed and watched",
            "InSync": "matches the cluster",
            "IdentityConflict": "no other cluster",
        },
    ),
    "the first moment": (
        {
            "cluster_uid": "",
            "connection": CONNECTING,
            "account_fault": NOT_VERIFIED,
            "discovery": DISCOVERING,
            "inventory": INCOMPLETE,
            "sources": (),
            "owners": OwnersSeen(watched=False),
            "policies": None,
            "findings": None,
        },
        {
            "Ready": ("Unknown", "Connecting"),
            "Connected": ("Unknown", "Connecting"),
            "HubReachable": ("Unknown", "NotVerified"),
            "SourcesComplete": ("Unknown", "Connecting"),
            "InSync": ("Unknown", "Connecting"),
            "OwnersKnown": ("Unknown", "Listing"),
            "PoliciesKnown": ("Unknown", "Listing"),
            "EnginesReporting": ("Unknown", "NotConnected"),
            "InputAccepted": ("Unknown", "NotRead"),
        },
        {},
    ),
    "never connected": (
        {"connection": AWAY, "findings": None},
        {
            "Ready": ("False", "Unreachable"),
            "Connected": ("False", "Unreachable"),
            "SourcesComplete": ("False", "NotConnected"),
            "InSync": ("False", "NotConnected"),
            "EnginesReporting": ("Unknown", "NotConnected"),
            "InputAccepted": ("Unknown", "NotRead"),
        },
        {"SourcesComplete": "not connected: no route", "InSync": "has not been read yet"},
    ),
    "the connection is lost": (
        {"connection": AWAY, "owners": OwnersSeen(faults=(Cause(Reason.UNREACHABLE, "pods: no route"),))},
        {
            "Ready": ("False", "Unreachable"),
            "Connected": ("False", "Unreachable"),
            "SourcesComplete": ("False", "NotConnected"),
            "OwnersKnown": ("False", "Unreachable"),
            "EnginesReporting": ("Unknown", "NotConnected"),
        },
        {},
    ),
    "a uid that is none": ({"cluster_uid": "a; reboot"}, {}, {"Connected": "is invalid and therefore not shown"}),
    "an account that is refused": (
        {"account_fault": DENIED},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "HubUnreachable"),
        },
        {"Ready": "grant it"},
    ),
    "a hub that takes nothing": (
        {"hub": Cause(Reason.NOT_ENABLED, "enable it")},
        {"Ready": ("False", "NotEnabled"), "HubReachable": ("False", "NotEnabled")},
        {"HubReachable": "enable it"},
    ),
    "an account goes before the hub": (
        {"account_fault": DENIED, "hub": Cause(Reason.NOT_ENABLED, "enable it")},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "HubUnreachable"),
        },
        {},
    ),
    "GetFindings is refused": (
        {"reading": DENIED, "inventory": INCOMPLETE},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "HubUnreachable"),
        },
        {},
    ),
    "GetFindings is refused for 15 minutes": (
        {"reading": DENIED, "inventory": UNAVAILABLE},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "InventoryUnavailable"),
        },
        {"InSync": "for 15 minutes"},
    ),
    "an account that is refused, for 15 minutes": (
        {"account_fault": DENIED, "inventory": UNAVAILABLE},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "HubUnreachable"),
        },
        {},
    ),
    "no page of the inventory for 15 minutes": (
        {"inventory": UNAVAILABLE},
        {"Ready": ("False", "InventoryUnavailable"), "InSync": ("False", "InventoryUnavailable")},
        {},
    ),
    "the inventory is under way": (
        {"inventory": INCOMPLETE},
        {"Ready": ("False", "InventoryIncomplete"), "InSync": ("False", "InventoryIncomplete")},
        {},
    ),
    "what is served is not known": (
        {"discovery": DISCOVERING, "sources": ()},
        {
            "Ready": ("Unknown", "Discovering"),
            "SourcesComplete": ("Unknown", "Discovering"),
            "EnginesReporting": ("Unknown", "Discovering"),
        },
        {},
    ),
    "no source": (
        {"sources": ()},
        {
            "Ready": ("True", "NoSourceServed"),
            "SourcesComplete": ("True", "NoSourceServed"),
            "EnginesReporting": ("False", "NoSourceServed"),
        },
        {"SourcesComplete": "policy engine", "Ready": "up to date, but: the cluster serves no policy reports"},
    ),
    "sources with faults": (
        {
            "source_faults": {
                f"s{n}": Cause(Reason.LISTING if n == 1 else Reason.LISTING_FAILED, f"why {n}") for n in range(1, 8)
            }
        },
        {
            "Ready": ("False", "ListingFailed"),
            "SourcesComplete": ("False", "ListingFailed"),
            "EnginesReporting": ("Unknown", "SourcesIncomplete"),
        },
        {"SourcesComplete": "s1: why 1; s2: why 2; s3: why 3; s4: why 4; s5: why 5; and 2 more"},
    ),
    "five sources with faults": (
        {"source_faults": {f"s{n}": Cause(Reason.LISTING, "wait") for n in range(5)}},
        {
            "Ready": ("False", "Listing"),
            "SourcesComplete": ("False", "Listing"),
            "EnginesReporting": ("Unknown", "SourcesIncomplete"),
        },
        {"SourcesComplete": "s4: wait"},
    ),
    "kinds of constraints that went": (
        {"kept": 4, "sources": (*SEEN.sources, SourceSeen(name="gone.v1beta1.constraints", vanished=True))},
        {},
        {"SourcesComplete": "1 source is listed and watched; 4 findings of constraint kinds"},
    ),
    "sources that the CRD does not take": (
        {"sources": (*SEEN.sources, SourceSeen(name="Upper.v1.x"), SourceSeen(name="-a.v1.x"))},
        {},
        {"SourcesComplete": "listed and watched; status.sources shows 1 of 3, those with a problem first"},
    ),
    "superseded reports": (
        {"findings": found(superseded=tuple(("kyverno", f"g{n:02}") for n in range(12)))},
        {"SourcesComplete": ("True", "SupersededReports")},
        {"SourcesComplete": "kyverno in g09, and 2 more"},
    ),
    "the first listing": (
        {"findings": found(reports_listed=False)},
        {
            "Ready": ("False", "Listing"),
            "InSync": ("False", "Listing"),
            "EnginesReporting": ("Unknown", "SourcesIncomplete"),
        },
        {},
    ),
    "another cluster at work": (
        {"findings": found(conflict=Foreign(number=30, uid="other"), reports_listed=False)},
        {
            "Ready": ("False", "OtherCluster"),
            "InSync": ("False", "IdentityConflict"),
            "IdentityConflict": ("True", "OtherCluster"),
            "EnginesReporting": ("Unknown", "SourcesIncomplete"),
        },
        {"IdentityConflict": f"30 findings of arn from the cluster with uid other; this cluster has uid {UID}"},
    ),
    "a few foreign findings": (
        {"findings": found(foreign=Foreign(number=2, uid="", example="id-1"))},
        {"Ready": ("True", "ForeignFindings"), "IdentityConflict": ("True", "ForeignFindings")},
        {"IdentityConflict": "2 findings in Security Hub have this cluster's identity but not its uid, such as id-1"},
    ),
    "a clock that was moved": (
        {"clock_moved": -40 * 86_400_000},
        {"Ready": ("True", "ClockMoved")},
        {"Ready": "was set back by 57,600 minutes"},
    ),
    "what may not be asked": (
        {"owners": OwnersSeen(unchecked_kinds=("services", "clusterpolicies.kyverno.io"))},
        {"Ready": ("True", "OwnersForbidden"), "OwnersKnown": ("False", "ExistenceForbidden")},
        {"OwnersKnown": "whether objects of these kinds still exist: services, clusterpolicies.kyverno.io"},
    ),
    "what may not be asked, and no roll-up": (
        {"roll_up": False, "owners": OwnersSeen(unchecked_kinds=("services",))},
        {"OwnersKnown": ("False", "RollUpOff")},
        {"OwnersKnown": "may not check whether objects of these kinds still exist: services"},
    ),
    "foreign findings that are missing": (
        {"findings": found(quarantined=2, foreign=Foreign(number=2, uid="other", example="id-1"))},
        {
            "Ready": ("False", "FindingsQuarantined"),
            "InSync": ("False", "FindingsQuarantined"),
            "IdentityConflict": ("True", "ForeignFindings"),
        },
        {"InSync": "2 findings of this cluster are not sent"},
    ),
    "an older MonitoredCluster": (
        {"claimed_twice": "first"},
        {
            "Ready": ("False", "ClaimedTwice"),
            "InSync": ("False", "IdentityConflict"),
            "IdentityConflict": ("True", "ClaimedTwice"),
        },
        {"IdentityConflict": "MonitoredCluster first"},
    ),
    "younger MonitoredClusters": (
        {"rivals": tuple(f"r{n}" for n in range(12))},
        {"IdentityConflict": ("True", "AlsoClaimed")},
        {"IdentityConflict": "r9 and others"},
    ),
    "MonitoredClusters are not listed": (
        {"unlisted": True},
        {"Ready": ("False", "Starting"), "InSync": ("False", "Starting")},
        {},
    ),
    "a conflict goes before all else": (
        {"claimed_twice": "first", "connection": AWAY, "unlisted": True},
        {
            "Ready": ("False", "ClaimedTwice"),
            "Connected": ("False", "Unreachable"),
            "SourcesComplete": ("False", "NotConnected"),
            "InSync": ("False", "IdentityConflict"),
            "IdentityConflict": ("True", "ClaimedTwice"),
            "EnginesReporting": ("Unknown", "NotConnected"),
        },
        {},
    ),
    "mode DryRun": (
        {
            "mode": "DryRun",
            "preview": {Change.NEW: 3, Change.ARCHIVED: 1, Change.CHANGED: 4, Change.REFRESHED: 2},
            "findings": found(pending=10, oldest_pending=NOW - HOUR * 1000),
        },
        {"Ready": ("True", "DryRun"), "InSync": ("False", "DryRun")},
        {"InSync": "send now: 3 to create, 6 to update, 1 to archive", "Ready": "Set spec.mode to Sync to send them"},
    ),
    "mode DryRun with nothing to do": (
        {"mode": "DryRun", "preview": {}},
        {"Ready": ("True", "DryRun"), "InSync": ("False", "DryRun")},
        {"InSync": "Findings that mode Sync would send now: none"},
    ),
    "mode DryRun before it is known": (
        {"mode": "DryRun"},
        {"Ready": ("False", "Listing"), "InSync": ("False", "Listing")},
        {"InSync": "not been counted yet"},
    ),
    "mode DryRun where what Security Hub has cannot be read": (
        {"mode": "DryRun", "preview": {}, "reading": DENIED, "inventory": INCOMPLETE},
        {
            "Ready": ("False", "AccessDenied"),
            "HubReachable": ("False", "AccessDenied"),
            "InSync": ("False", "HubUnreachable"),
        },
        {},
    ),
    "mode DryRun where the inventory is given up": (
        {"mode": "DryRun", "preview": {}, "inventory": UNAVAILABLE},
        {"Ready": ("False", "InventoryUnavailable"), "InSync": ("False", "InventoryUnavailable")},
        {},
    ),
    "mode DryRun and the cluster away": (
        {"mode": "DryRun", "preview": {}, "connection": AWAY, "findings": None},
        {
            "Ready": ("False", "Unreachable"),
            "Connected": ("False", "Unreachable"),
            "SourcesComplete": ("False", "NotConnected"),
            "InSync": ("False", "NotConnected"),
            "EnginesReporting": ("Unknown", "NotConnected"),
            "InputAccepted": ("Unknown", "NotRead"),
        },
        {},
    ),
    "mode DryRun beside an older one": (
        {"mode": "DryRun", "preview": {}, "claimed_twice": "first"},
        {
            "Ready": ("False", "ClaimedTwice"),
            "InSync": ("False", "IdentityConflict"),
            "IdentityConflict": ("True", "ClaimedTwice"),
        },
        {},
    ),
    "mode DryRun and something held": (
        {
            "mode": "DryRun",
            "preview": {Change.NEW: 1},
            "guarded": {"kyverno": GuardHold(lost=30, total=40, reason="many", since=NOW)},
        },
        {"Ready": ("True", "DryRun"), "InSync": ("False", "DryRun"), "ArchiveHeld": ("True", "TooManyLost")},
        {"Ready": " (other conditions with a problem: ArchiveHeld)"},
    ),
    "two MonitoredClusters of one cluster": (
        {"twins": (Twin("legacy", "legacy"),)},
        {"Ready": ("True", "TwoIdentities"), "IdentityConflict": ("True", "TwoIdentities")},
        {
            "IdentityConflict": "MonitoredCluster legacy (identity legacy) also sends",
            "Ready": "policyhub retire prod --identity legacy",
        },
    ),
    "eleven MonitoredClusters of one cluster": (
        {"twins": tuple(Twin(f"c{number}", "id") for number in range(11))},
        {"Ready": ("True", "TwoIdentities"), "IdentityConflict": ("True", "TwoIdentities")},
        {"IdentityConflict": "c9 (identity id) and others also send findings"},
    ),
    "findings under another identity": (
        {"aliases": Aliases(numbers={"old": 7, "older": 1})},
        {"Ready": ("True", "OtherIdentity"), "IdentityConflict": ("True", "OtherIdentity")},
        {
            "IdentityConflict": "has 8 active findings of this cluster (uid 5b2d7f1c) under another identity: old,",
            "Ready": "policyhub retire prod --identity old",
        },
    ),
    "many findings under many identities": (
        {"aliases": Aliases(numbers={f"old-{number:02}": 1 for number in range(12)}, more=True)},
        {"Ready": ("True", "OtherIdentity"), "IdentityConflict": ("True", "OtherIdentity")},
        {"IdentityConflict": "has at least 12 active findings", "Ready": "old-09 and 2 more"},
    ),
    "mode NoArchive": ({"findings": found(mode_holds=4)}, {}, {"InSync": "; 4 findings would be archived"}),
    "findings that are refused": (
        {"findings": found(rejected=3, quarantined=1, pending=9)},
        {"Ready": ("False", "FindingsRejected"), "InSync": ("False", "FindingsRejected")},
        {"InSync": "rejects 3 findings"},
    ),
    "backlog": (
        {"findings": found(pending=9, oldest_pending=NOW)},
        {"Ready": ("False", "Pending"), "InSync": ("False", "Pending")},
        {"InSync": "9 changes wait"},
    ),
    "no roll-up": (
        {"roll_up": False, "owners": OwnersSeen(watched=False)},
        {"OwnersKnown": ("False", "RollUpOff")},
        {},
    ),
    "owners are listed": (
        {"owners": OwnersSeen(faults=(Cause(Reason.LISTING, "pods"),))},
        {"Ready": ("False", "OwnersUnknown"), "OwnersKnown": ("Unknown", "Listing")},
        {},
    ),
    "owners are forbidden": (
        {"owners": OwnersSeen(faults=(Cause(Reason.LISTING, "pods"), Cause(Reason.FORBIDDEN, "allow it")))},
        {"Ready": ("True", "OwnersForbidden"), "OwnersKnown": ("False", "Forbidden")},
        {"Ready": "; allow it", "OwnersKnown": "allow it"},
    ),
    "owners fail": (
        {"owners": OwnersSeen(faults=(Cause(Reason.FORBIDDEN, "allow it"), Cause(Reason.LISTING_FAILED, "pods: 500")))},
        {"Ready": ("False", "OwnersUnknown"), "OwnersKnown": ("False", "ListingFailed")},
        {"Ready": "(condition OwnersKnown): pods: 500"},
    ),
    "controllers that are none": (
        {"owners": OwnersSeen(unverified_owners=UnverifiedSummary(objects=8, namespaces=2, example="shop/x"))},
        {},
        {"OwnersKnown": "watched; 8 objects in 2 namespaces name a controller"},
    ),
    "no enrichment": (
        {"enrichment": False, "policies": None},
        {"PoliciesKnown": ("False", "EnrichmentOff")},
        {},
    ),
    "policies are watched": ({"policies": PoliciesSeen(kinds=3)}, {}, {"PoliciesKnown": "3 kinds of policies"}),
    "policies are listed": (
        {"policies": PoliciesSeen(kinds=3, faults={"a": Cause(Reason.LISTING, "wait")})},
        {"PoliciesKnown": ("Unknown", "Listing")},
        {},
    ),
    "policies are refused": (
        {
            "policies": PoliciesSeen(
                faults={"a": Cause(Reason.LISTING, "wait"), "b": Cause(Reason.FORBIDDEN, "allow it")}
            )
        },
        {"PoliciesKnown": ("False", "Forbidden")},
        {"PoliciesKnown": "allow it"},
    ),
    "policies are looked for": (
        {"policies": PoliciesSeen(settled=False, faults={"g": Cause(Reason.DISCOVERY_FAILED, "not yet")})},
        {"PoliciesKnown": ("Unknown", "Listing")},
        {},
    ),
    "policies cannot be found": (
        {"policies": PoliciesSeen(faults={"g": Cause(Reason.DISCOVERY_FAILED, "500")})},
        {"PoliciesKnown": ("False", "DiscoveryFailed")},
        {},
    ),
    "policies refused before they settle": (
        {"policies": PoliciesSeen(settled=False, faults={"g": Cause(Reason.FORBIDDEN, "allow it")})},
        {"PoliciesKnown": ("False", "Forbidden")},
        {},
    ),
    "what was not understood": (
        {"findings": found(refused=(refused("no-policy", namespace="", objects=3),))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "NotUnderstood")},
        {
            "Ready": "up to date, but: outside of namespaces: not understood or not accepted: 7 no-policy",
            "InputAccepted": "big (and 2 more objects)",
        },
    ),
    "too many results": (
        {"findings": found(refused=(refused(Excess.REPORT_RESULTS),), late=("team",), exhausted=("team",))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "LimitExceeded")},
        {"InputAccepted": "shop: 7 results in one report, 5 accepted (POLICYHUB_LIMIT_REPORT_RESULTS)"},
    ),
    "too many bytes": (
        {"findings": found(refused=(refused(Excess.REPORT_BYTES),))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "LimitExceeded")},
        {"InputAccepted": "a report of 7 bytes was not read"},
    ),
    "too many of a namespace": (
        {"findings": found(refused=(refused(Excess.NAMESPACE, taken=None),))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "LimitExceeded")},
        {"InputAccepted": "7 violations in one report, 0 accepted (its namespace"},
    ),
    "too many of the cluster": (
        {"findings": found(refused=(refused(Excess.CLUSTER),))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "LimitExceeded")},
        {"InputAccepted": "5 accepted (the cluster"},
    ),
    "written faster than read": (
        {"findings": found(late=("team",), refused=(refused("no-policy"),))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "ReadLater")},
        {"InputAccepted": "team: its reports change faster"},
    ),
    "imports used up": (
        {"findings": found(exhausted=tuple(f"n{n:02}" for n in range(12)), late=("team",))},
        {"Ready": ("True", "InputRefused"), "InputAccepted": ("False", "ImportsUsedUp")},
        {"InputAccepted": "and 3 more"},
    ),
    "the guard holds": (
        {"guarded": {"kyverno": GuardHold(since=NOW, lost=30, total=40)}},
        {"Ready": ("True", "ArchiveHeld"), "ArchiveHeld": ("True", "TooManyLost")},
        {
            "Ready": "up to date, but: kyverno: 30 of 40 active findings",
            "ArchiveHeld": "kyverno: 30 of 40 active findings",
        },
    ),
    "an engine is silent": (
        {"engines": EnginesSeen(newest={"kyverno": ago(73 * HOUR), "x": ago(27 * HOUR), "y": ago(25 * HOUR)})},
        {"Ready": ("True", "EngineSilent"), "EnginesReporting": ("False", "EngineSilent")},
        {
            "Ready": "but: the newest result of kyverno is 3 d old, and it should be 3 h at most. Check kyverno-rep",
            "EnginesReporting": "ended. The newest result of x is 1 d 3 h old, and it should be 1 d 2 h at most. Check",
        },
    ),
    "engines that are silent by their nature": (
        {"engines": EnginesSeen(newest={"Trivy Compliance": ago(900 * HOUR), "Falco": ago(90 * HOUR)})},
        {},
        {"EnginesReporting": "Falco, Trivy Compliance report as often as they should"},
    ),
    "an audit of three days ago": (
        {"engines": EnginesSeen(audited=ago(72 * HOUR), audits=4)},
        {"Ready": ("True", "AuditStale"), "EnginesReporting": ("False", "AuditStale")},
        {"Ready": "audit began 3 d ago, and it should have begun 30 min ago at most. Check the Pod gatekeeper-audit"},
    ),
    "a fresh constraint": ({"engines": EnginesSeen(unaudited={"k/new": ago(60)})}, {}, {}),
    "no audit at all": (
        {"engines": EnginesSeen(unaudited={"k/old": ago(HOUR)})},
        {"Ready": ("True", "NotAudited"), "EnginesReporting": ("False", "NotAudited")},
        {"EnginesReporting": "Gatekeeper has not audited any constraint yet: k/old. Check the Pod gatekeeper-audit"},
    ),
    "a constraint that no audit takes": (
        {"engines": EnginesSeen(audited=ago(60), audits=1, unaudited={"k/old": ago(HOUR)})},
        {"Ready": ("True", "NotAudited"), "EnginesReporting": ("False", "NotAudited")},
        {"EnginesReporting": "not audited: k/old. A new constraint waits"},
    ),
    "one violation is not listed": (
        {"engines": EnginesSeen(audited=ago(60), audits=1, unlisted={"k/a": (20, 1)})},
        {"Ready": ("True", "ListsCut"), "EnginesReporting": ("False", "ListsCut")},
        {"Ready": "1 violation is not listed: k/a lists 20 of 21. Raise --constraint-violations-limit"},
    ),
    "violations are not listed, and the guard holds": (
        {
            "engines": EnginesSeen(audited=ago(60), audits=1, unlisted={"k/a": (20, 7), "k/b": (20, 600)}),
            "guarded": {"gatekeeper": GuardHold(since=NOW, lost=1, total=1)},
        },
        {
            "Ready": ("True", "ArchiveHeld"),
            "ArchiveHeld": ("True", "TooManyLost"),
            "EnginesReporting": ("False", "ListsCut"),
        },
        {
            "Ready": " (other conditions with a problem: EnginesReporting)",
            "ArchiveHeld": "gatekeeper: 1 of 1 active finding is no longer reported",
            "EnginesReporting": "607 violations are not listed: k/a lists 20 of 27, k/b lists 20 of 620. Raise",
        },
    ),
    "engines that somebody has made up": (
        {
            "engines": EnginesSeen(
                newest={f"KYVERNO-{n}": ago(900 * HOUR) for n in range(9)} | {"kyverno": ago(73 * HOUR)},
                audited=ago(72 * HOUR),
                audits=1,
                unlisted={"k/a": (20, 1)},
            )
        },
        {"Ready": ("True", "AuditStale"), "EnginesReporting": ("False", "AuditStale")},
        {
            "Ready": "1 violation is not listed",
            "EnginesReporting": "The newest result of kyverno is 3 d old",
        },
    ),
    "an engine cannot be seen": (
        {
            "engines": EnginesSeen(newest={"kyverno": ago(73 * HOUR)}),
            "source_faults": {"reports": Cause(Reason.LISTING_FORBIDDEN, "no")},
        },
        {
            "Ready": ("False", "ListingForbidden"),
            "SourcesComplete": ("False", "ListingForbidden"),
            "EnginesReporting": ("Unknown", "SourcesIncomplete"),
        },
        {"Ready": "reports: no. Apply the chart's ClusterRole"},
    ),
}


@pytest.mark.parametrize(("changes", "differ", "expected_text"), ROWS.values(), ids=ROWS.keys())
def test_conditions_of_a_snapshot(
    changes: dict[str, Any], differ: dict[str, tuple[str, str]], expected_text: dict[str, str]
) -> None:
    """Each condition, and the messages of those that differ from the healthy ones."""
    output = verdicts(replace(SEEN, **changes))
    assert {type_: verdict[:2] for type_, verdict in output.items()} == WELL | differ
    for type_, part in expected_text.items():
        assert part in output[type_][2]


def test_ready_comes_first_and_each_condition_once() -> None:
    output = [type_ for type_, _, _ in conditions.conditions(SEEN, was_in_sync=True, now=NOW)]
    assert output[0] == "Ready"
    assert sorted(output) == sorted(WELL)


@pytest.mark.parametrize(
    ("was_in_sync", "age", "in_sync"),
    [
        pytest.param(True, insync.BACKLOG_MS, "True", id="a change on its way"),
        pytest.param(True, insync.BACKLOG_MS + 1, "False", id="a change that waits"),
        pytest.param(True, None, "True", id="nothing says since when"),
        pytest.param(False, 0, "False", id="still the backlog of before"),
    ],
)
def test_a_fresh_change_is_no_backlog(*, was_in_sync: bool, age: int | None, in_sync: str) -> None:
    """InSync stays True during the seconds in which a change is sent."""
    seen = replace(SEEN, findings=found(pending=1, oldest_pending=None if age is None else NOW - age))
    assert verdicts(seen, was_in_sync=was_in_sync)["InSync"][0] == in_sync


def test_numbers_in_the_status() -> None:
    """Counts by severity and triage, sources with their times; the transition time stays while a status does."""
    triage = {(NEW, "HIGH"): 1, (NEW, "LOW"): 2, (NOTIFIED, "LOW"): 4, (SUPPRESSED, "LOW"): 8, (RESOLVED, "LOW"): 16}
    seen = replace(
        SEEN,
        inventory_at=WALL,
        past_sla=5,
        findings=found(active={"CRITICAL": 1, "HIGH": 2, "LOW": 4}, triage=triage, pending=0, held=6),
    )
    before = Condition.model_validate(
        {"type": "InSync", "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    )
    built = build(seen, previous={"InSync": before}, generation=7, now=NOW, wall=WALL)
    output = built.findings
    assert output is not None
    assert (output.active, output.critical, output.high, output.pending, output.held, output.past_sla) == (
        7,
        1,
        2,
        0,
        6,
        5,
    )
    assert (output.medium, output.low, output.informational, output.oldest_pending) == (0, 4, 0, None)
    assert (output.open, output.notified, output.suppressed, output.resolved) == (3, 4, 8, 16)
    assert output.triage_read is not None
    assert int(output.triage_read.timestamp()) == NOW // 1000
    source = built.sources[0]
    assert (source.resource, source.objects, source.state) == (REPORTS, 3, "Watching")
    assert source.last_listed is not None
    assert source.newest_result is not None
    since = {condition.type: condition.last_transition_time for condition in built.conditions}
    assert since["InSync"] == before.last_transition_time
    assert int(since["Ready"].timestamp()) == NOW // 1000
    assert {condition.observed_generation for condition in built.conditions} == {7}
    assert (built.identity, built.cluster_uid, built.observed_generation) == ("arn", UID, 7)


def test_the_age_of_the_oldest_pending_change() -> None:
    """By the wall clock; not in mode DryRun, where nothing is pending."""
    waits = replace(SEEN, findings=found(pending=2, oldest_pending=NOW - 90_000))
    output = build(waits, previous={}, generation=1, now=NOW, wall=WALL + 5_000).findings
    assert output is not None
    assert output.oldest_pending is not None
    assert int(output.oldest_pending.timestamp()) == (WALL - 85_000) // 1000
    dry = build(replace(waits, preview={}), previous={}, generation=1, now=NOW, wall=WALL).findings
    assert dry is not None
    assert dry.oldest_pending is None


def test_unknown_numbers_are_left_out() -> None:
    """Before the cluster's uid is known, and before an inventory is complete."""
    built = build(replace(SEEN, findings=None, cluster_uid="a; reboot"), previous={}, generation=1, now=NOW, wall=WALL)
    assert built.findings is not None
    assert built.findings.active is None
    assert built.cluster_uid is None
    read = build(SEEN, previous={}, generation=1, now=NOW, wall=WALL).findings
    assert read is not None
    assert (read.active, read.open, read.triage_read) == (0, None, None)


FIVE = {f"s{n}": Cause(Reason.LISTING, "wait") for n in range(5)}
NAMED = tuple(("kyverno", f"g{n}") for n in range(10))
GUARDED = {f"e{n}": GuardHold(since=NOW, lost=30, total=40) for n in range(6)}


@pytest.mark.parametrize(
    ("changes", "type_", "ends"),
    [
        pytest.param(
            {"source_faults": FIVE},
            "SourcesComplete",
            "; s4: wait. Wait: 100,000 reports take some minutes",
            id="five sources",
        ),
        pytest.param(
            {"findings": found(superseded=NAMED)},
            "SourcesComplete",
            "kyverno in g9. Delete these reports",
            id="ten superseded",
        ),
        pytest.param(
            {"rivals": tuple("abcdefghij")}, "IdentityConflict", "j. Delete those that are not needed", id="ten rivals"
        ),
        pytest.param(
            {"findings": found(late=tuple("abcdefghij"))},
            "InputAccepted",
            "so they are read later. Find out what writes there so fast; other namespaces are not affected",
            id="ten",
        ),
        pytest.param(
            {"findings": found(refused=(refused("no-policy"),))},
            "InputAccepted",
            f"wgpolicyk8s.io/big. {sentence(remedies.REMEDIES[Reason.NOT_UNDERSTOOD])}",
            id="one object",
        ),
    ],
)
def test_a_list_that_fits_has_no_rest(changes: dict[str, Any], type_: str, ends: str) -> None:
    """As many names as fit, and no count of others."""
    message = verdicts(replace(SEEN, **changes))[type_][2]
    assert message.endswith(ends)
    assert not re.search(r"and \d+ more|and others", message)


@pytest.mark.parametrize(("number", "more"), [(5, ""), (6, "; and 1 more.")])
def test_held_engines_are_listed_by_fives(number: int, more: str) -> None:
    """In their order, with the number of others."""
    message = verdicts(replace(SEEN, guarded=dict(list(GUARDED.items())[:number])))["ArchiveHeld"][2]
    assert "; e4: 30 of 40" in message
    assert "e5:" not in message
    assert ("more" in message.partition(". None of them")[0]) == bool(more)
    assert more in message


def test_reasons_of_one_namespace_are_listed_by_fives() -> None:
    """The first five in their order."""
    many = replace_reasons(refused("r0"), {f"r{n}": 1 for n in range(7)})
    message = verdicts(replace(SEEN, findings=found(refused=(many,))))["InputAccepted"][2]
    assert "1 r4" in message
    assert "r5" not in message


def replace_reasons(one: NamespaceRefusals, reasons: dict[str, int]) -> NamespaceRefusals:
    return NamespaceRefusals(
        namespace=one.namespace,
        objects=one.objects,
        reasons=Counter(reasons),
        source_api=one.source_api,
        name=one.name,
        refusal=one.refusal,
    )


BY_CHOICE = {Reason.ROLL_UP_OFF, Reason.ENRICHMENT_OFF}
"""A deliberate setting that needs no action."""


@pytest.mark.parametrize(("changes", "differ", "expected_text"), ROWS.values(), ids=ROWS.keys())
def test_every_problem_has_a_remedy(
    changes: dict[str, Any], differ: dict[str, tuple[str, str]], expected_text: dict[str, str]
) -> None:
    """From the table, or in the message itself if the case decides; never a path of the repository."""
    assert (differ, expected_text) is not None
    for type_, (status, reason, message) in verdicts(replace(SEEN, **changes)).items():
        assert "docs/" not in message
        if (status == "True") != (type_ in {"ArchiveHeld", "IdentityConflict"}) or type_ == "Ready":
            continue
        named = Reason.known(reason)
        assert named is not None
        if named.advised_in(type_) or named.nature is Nature.WELL or named in BY_CHOICE:
            continue
        # the audit is the cause, not a constraint
        stopped = reason == "NotAudited" and message.startswith("Gatekeeper has not audited any")
        todo = remedies.remedy(type_, Reason.AUDIT_STALE if stopped else named)
        assert todo, (type_, reason)
        beginning = re.split(r"[{]", todo)[0][1:]
        assert beginning in message, (type_, reason)


GRAMMAR = re.compile(
    r"(?<![\d,.-])1 (?:more )?(?:\w+ )?(findings|sources|changes|minutes|objects|namespaces|kinds|results|violations)\b"
    r"|(?<![\d,.])1 (?:\w+ )?(?:finding|source|change|object|kind|violation) (?:are|wait|have|name)\b"
)


def test_singular_and_plural() -> None:
    """One finding is, two findings are."""
    one = found(
        pending=1,
        mode_holds=1,
        foreign=Foreign(number=1, uid="u", example="i"),
        refused=(refused("no-policy", objects=2, number=1), refused(Excess.NAMESPACE, number=1, taken=0)),
    )
    unverified_owners = UnverifiedSummary(objects=1, namespaces=1, example="shop/x")
    base = replace(
        SEEN,
        kept=1,
        clock_moved=60_000,
        owners=OwnersSeen(unverified_owners=unverified_owners),
        policies=PoliciesSeen(kinds=1),
        engines=EnginesSeen(audited=ago(60), audits=1, unlisted={"k/a": (1, 1)}),
        guarded={"kyverno": GuardHold(since=NOW, lost=1, total=1)},
    )
    rejected, quarantined = replace(one, pending=0, rejected=1), replace(one, pending=0, quarantined=1)
    conflict = replace(one, conflict=Foreign(number=1, uid="u"))
    for findings in (one, replace(one, pending=0), rejected, quarantined, conflict):
        for type_, (_, _, message) in verdicts(replace(base, findings=findings)).items():
            assert not GRAMMAR.search(message), (type_, message)
