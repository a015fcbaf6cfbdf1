"""The demo's steps. Each prints what it does, does it, measures it, and checks the result."""

import time

from dev.company import Violation, Workload, rewrite, violations
from dev.company.kyverno import passed, rule_name
from dev.company.report import with_result
from dev.company.workload import Document
from dev.demo.opening import ARCHIVE_DELAY
from dev.demo.stage import Stage, least_calls, quantile
from policyhub.model.violation import SEVERITIES

WATCHED_SECONDS = 3.0
"""How long nothing may be sent after a rewrite."""

NOTIFIED = ("payments", "gateway", "require-run-as-nonroot", "run-as-non-root")
SUPPRESSED = ("platform", "node-agent", "disallow-privileged-containers", "privileged-containers")
REMOVED = ("shop", "legacy-api")
NOTE = "Ana: informed the payments team, they build a non-root image this week."


def violation_of(stage: Stage, about: tuple[str, str, str, str]) -> Violation:
    namespace, name, policy, rule = about
    kind = stage.company.workload(namespace, name).kind
    return Violation("kyverno", policy, rule_name(rule, kind), kind, namespace, name)


def violations_become_findings(stage: Stage) -> None:
    stage.screen.step("The engines write reports: violations become findings")
    documents = stage.company.documents(now=stage.now())
    results = sum(len(document.get("results", ())) for document in documents)
    stage.screen.say(
        f"Kyverno, Kubewarden, Trivy and Gatekeeper write {len(documents)} reports and constraints; the reports have"
        f" {results} results, most of them passing."
    )
    mark = stage.mark()
    writes = stage.write_meanwhile(documents)

    def written() -> int:
        return sum(write.done() for write in writes)

    def arrived() -> int:
        return int(stage.hub.stats()["record_states"].get("ACTIVE", 0))

    seconds = stage.until(
        "waiting for the writes and for the findings in Security Hub",
        lambda: written() == len(writes) and arrived() >= len(stage.wanted()),
        doing=lambda: f"{written()} of {len(writes)} reports written, {arrived()} findings in Security Hub",
    )
    for write in writes:
        write.result()
    found, wanted = stage.findings("ACTIVE"), stage.wanted()
    stage.expect("Security Hub has exactly the findings of the reported violations", holds=found.keys() == wanted)
    delays, imports = stage.delays(mark), stage.asked(mark, "BatchImportFindings")
    spread = max(stage.written.values()) - min(stage.written.values())
    stage.screen.say(f"{len(found)} findings after {seconds:.1f} s, of which the writes took {spread:.1f} s.")
    stage.screen.say(
        f"From the write of a report to the finding in Security Hub: p50 {quantile(delays, 0.5):.2f} s,"
        f" max {delays[-1] if delays else 0:.2f} s."
    )
    stage.screen.say(
        f"Calls of BatchImportFindings: {len(imports)}. The minimum, if all {len(found)} had come at once, is"
        f" {least_calls(len(found))}."
    )
    severities(stage)


def severities(stage: Stage) -> None:
    counts = stage.hub.stats()["active_severities"]
    stage.screen.table(["SEVERITY", "ACTIVE FINDINGS"], [[label, str(counts.get(label, 0))] for label in SEVERITIES])


def a_pass_rewrites_everything(stage: Stage) -> None:
    stage.screen.step("The engines' next scan rewrites every report with new timestamps and no other change")
    mark, before, other = stage.mark(), _seen(stage, "none"), _seen(stage, "") - _seen(stage, "none")
    fresh = rewrite(list(stage.documents.values()), stage.now())
    stage.write(fresh)
    stage.until(
        "waiting until the operator has read them all",
        lambda: _seen(stage, "none") >= before + len(fresh),
        doing=lambda: f"{_seen(stage, 'none') - before:.0f} of {len(fresh)} read",
    )
    read = _seen(stage, "none") - before
    with stage.screen.waiting(f"checking for {WATCHED_SECONDS:.0f} s more that nothing is sent"):
        time.sleep(WATCHED_SECONDS)
    asked = stage.asked(mark)
    changed = _seen(stage, "") - _seen(stage, "none") - other
    stage.screen.say(
        f"{len(fresh)} objects rewritten, {read:.0f} events read, {changed:.0f} of them with a change of content."
        f" AWS calls: {len(asked)}."
    )
    stage.expect("a rewrite causes no AWS call", holds=not asked)


def _seen(stage: Stage, change: str) -> float:
    """Watch events read so far: those with this value of the label `change`, or all."""
    labels = {"change": change} if change else {}
    return stage.operator.metric("policyhub_watch_events_total", **labels)


def an_analyst_triages(stage: Stage) -> None:
    stage.screen.step("An analyst triages")
    stage.suppressed = violation_of(stage, SUPPRESSED)
    found = stage.findings()
    notified, suppressed = found[violation_of(stage, NOTIFIED)], found[stage.suppressed]
    stage.hub.analyst([suppressed["Id"]], workflow="SUPPRESSED", note="Accepted: the node agent manages the node.")
    stage.hub.analyst([notified["Id"]], workflow="NOTIFIED", note=NOTE)
    stage.screen.say(f"SUPPRESSED  {suppressed['Title']}")
    stage.screen.say(f"NOTIFIED    {notified['Title']}")
    stage.screen.say(f"            with the note “{NOTE}”")
    stage.screen.say("Workflow status and notes belong to the analyst: the operator never writes them.")


def a_fix_is_archived(stage: Stage) -> None:
    stage.screen.step("One violation is fixed, one object is deleted, and one violation only seems to be gone")
    _fix(stage)
    unlisted = _truncate(stage)
    _remove(stage)
    still = stage.findings()[unlisted]["RecordState"]
    _show_truncation(stage)
    hidden = stage.operator.metric("policyhub_constraint_violations_unlisted")
    stage.expect("a violation that is missing from one truncated list stays active", holds=still == "ACTIVE")
    stage.screen.say(
        f"The delay has passed for the Pod that left Gatekeeper's list too, and its finding is still {still}:"
        f" {hidden:.0f} violations are counted but not listed, so one list without the Pod is no evidence of a fix."
    )
    _audit_again(stage, unlisted)


def _fix(stage: Stage) -> None:
    violation = violation_of(stage, NOTIFIED)
    mark, before = stage.mark(), stage.findings()[violation]
    document = _report_of(stage, stage.company.workload(*NOTIFIED[:2]))
    fixed = with_result(document, policy=violation.policy, word="pass", message=passed(violation.rule), now=stage.now())
    stage.write([fixed])
    stage.archived.add(violation)
    stage.until(
        "the gateway now runs as non-root, and its report has a pass: waiting for the archived finding",
        lambda: stage.findings()[violation]["RecordState"] == "ARCHIVED",
    )
    seconds = stage.sent(mark)[-1]["time"] - stage.written[stage.cluster.path(fixed)]
    after = stage.findings()[violation]
    stage.screen.say(
        f"Fixed: {violation.policy} of {violation.namespace}/{violation.name} passes; the finding was archived"
        f" {seconds:.2f} s later."
    )
    kept = all(after.get(member) == before.get(member) for member in ("Note", "Workflow", "CreatedAt"))
    stage.expect("archiving does not change note, workflow status and CreatedAt", holds=kept)


def _truncate(stage: Stage) -> Violation:
    """The first Pod in Gatekeeper's order got limits: it leaves the list, and one that was not listed enters it."""
    (before,) = [d for d in stage.documents.values() if d["kind"] == "K8sContainerLimits"]
    after = stage.company.container_limits(now=stage.now(), fixed=1)
    lost, came = violations([before]) - violations([after]), violations([after]) - violations([before])
    mark = stage.mark()
    stage.kept |= lost
    stage.cluster.apply([_pod(violation) for violation in lost])  # the operator asks whether the Pod exists
    stage.write([after])
    stage.until(
        "one of the Pods that Gatekeeper lists got limits, and another one enters the list: waiting for its finding",
        lambda: came <= stage.findings("ACTIVE").keys(),
    )
    stage.screen.say(
        f"Gatekeeper lists {len(after['status']['violations'])} of {after['status']['totalViolations']} violations. The"
        f" list lost one Pod and gained another: {len(stage.sent(mark))} new finding, nothing archived."
    )
    (violation,) = lost
    return violation


def _show_truncation(stage: Stage) -> None:
    """One finding reports that the list is truncated; a changed count causes no import."""
    (document,) = [d for d in stage.documents.values() if d["kind"] == "K8sContainerLimits"]
    name = document["metadata"]["name"]
    shown = next(finding for violation, finding in stage.findings("ACTIVE").items() if violation.name == name)
    stage.screen.say(f"INFORMATIONAL  {shown['Title']}")
    stage.screen.say(f"    {shown['Description'].partition('. The numbers')[0]}.")
    once = [entry for entry in stage.hub.journal() if entry["kind"] == "import" and entry["id"] == shown["Id"]]
    stage.expect("a truncated list is reported once", holds=len(once) == 1)


def _pod(violation: Violation) -> Document:
    metadata = {"name": violation.name, "namespace": violation.namespace}
    containers = [{"name": "app", "image": "registry.example.com/app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def _audit_again(stage: Stage, lost: Violation) -> None:
    stage.write([stage.company.container_limits(now=stage.now(), fixed=1)])
    stage.archived.add(lost)
    stage.kept.discard(lost)
    stage.until(
        "Gatekeeper audits again: waiting for the archived finding",
        lambda: stage.findings()[lost]["RecordState"] == "ARCHIVED",
    )
    stage.screen.say(
        "The next audit does not list the Pod either. Gatekeeper lists the first violations in order, and this Pod"
        " comes before the last one listed: it is fixed, not cut off. Archived."
    )


def _remove(stage: Stage) -> None:
    workload = stage.company.workload(*REMOVED)
    documents = [d for d in stage.documents.values() if _about(d, workload)]
    before = stage.wanted()
    mark, started = stage.mark(), time.time()
    replica_sets = [(document, document["metadata"]) for document in stage.company.replica_sets()]
    owned = [d for d, metadata in replica_sets if _is_of(metadata["name"], metadata["namespace"], workload)]
    stage.delete(*workload.manifests(), *owned, *documents)
    gone = before - stage.wanted()
    stage.archived |= gone
    stage.until(
        f"{workload.namespace}/{workload.name} and its {len(documents)} reports are deleted: waiting for the"
        f" archive delay of {ARCHIVE_DELAY} and for {len(gone)} archived findings",
        lambda: not gone & stage.findings("ACTIVE").keys(),
    )
    entries = stage.sent(mark)
    first, last = entries[0]["time"] - started, entries[-1]["time"] - started
    stage.screen.say(
        f"Deleted: {workload.kind} {workload.namespace}/{workload.name}, its Service and {len(documents)} reports."
        f" {len(gone)} findings archived after {first:.1f} to {last:.1f} s: a report may also disappear because an"
        f" engine restarts, so the operator waits for {ARCHIVE_DELAY} first."
    )


def _about(document: Document, workload: Workload) -> bool:
    scope = document.get("scope", {})
    return _is_of(scope.get("name", ""), scope.get("namespace", ""), workload)


def _is_of(name: str, namespace: str, workload: Workload) -> bool:
    return (name == workload.name or name.startswith(f"{workload.name}-")) and namespace == workload.namespace


def _report_of(stage: Stage, workload: Workload) -> Document:
    """Kyverno's report. Kubewarden's has the same name, the object's uid, in the other API."""
    wanted = ("PolicyReport", stage.company.uids[workload.object])
    return next(d for d in stage.documents.values() if (d["kind"], d["metadata"]["name"]) == wanted)


def a_relapse(stage: Stage) -> None:
    stage.screen.step("A relapse: a rollback of the gateway")
    violation = violation_of(stage, NOTIFIED)
    before, mark = stage.findings()[violation], stage.mark()
    failing = stage.company.report(stage.company.workload(*NOTIFIED[:2]).object, now=stage.now())
    stage.write([failing])
    stage.until(
        "its report has a fail again: waiting for the active finding",
        lambda: stage.findings()[violation]["RecordState"] == "ACTIVE",
    )
    after = stage.findings()[violation]
    seconds = stage.sent(mark)[-1]["time"] - stage.written[stage.cluster.path(failing)]
    stage.screen.say(
        f"The same finding is active again {seconds:.2f} s later, still first seen at {after['CreatedAt']}."
    )
    stage.screen.say(f"The analyst's note is still there: “{after.get('Note', {}).get('Text', '')}”")
    stage.screen.say(
        f"Its workflow status is {after['Workflow']['Status']}: Security Hub resets NOTIFIED when a finding becomes"
        " active again."
    )
    kept = all(after.get(member) == before.get(member) for member in ("Id", "Note", "CreatedAt", "FirstObservedAt"))
    stage.expect("a relapse keeps the id, the note and the first-seen times", holds=kept)
    stage.expect("a relapse is one import", holds=[e["outcome"] for e in stage.sent(mark)] == ["reactivated"])
