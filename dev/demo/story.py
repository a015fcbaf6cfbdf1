"""What happens in the demo, step by step. Each step says what it does, does it, measures it, and checks it."""

import time

from dev.company import Call, Workload, calls, rewrite
from dev.company.kyverno import passed, rule_name
from dev.company.report import with_result
from dev.company.workload import Document
from dev.demo.opening import ARCHIVE_DELAY
from dev.demo.stage import Stage, least_calls, quantile
from policyhub.model.violation import SEVERITIES

WATCHED_SECONDS = 3.0
"""How long nothing must happen after a rewrite."""

TOLD = ("payments", "gateway", "require-run-as-nonroot", "run-as-non-root")
SUPPRESSED = ("platform", "node-agent", "disallow-privileged-containers", "privileged-containers")
REMOVED = ("shop", "legacy-api")
NOTE = "Ana: told the payments team, they build a non-root image this week."


def call_of(stage: Stage, about: tuple[str, str, str, str]) -> Call:
    namespace, name, policy, rule = about
    kind = stage.company.workload(namespace, name).kind
    return Call("kyverno", policy, rule_name(rule, kind), kind, namespace, name)


def violations_become_findings(stage: Stage) -> None:
    stage.screen.step("The engines speak: violations become findings")
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
        "waiting for the writes and for Security Hub to hold what they call for",
        lambda: written() == len(writes) and arrived() >= len(stage.wanted()),
        doing=lambda: f"{written()} of {len(writes)} reports written, {arrived()} findings in Security Hub",
    )
    for write in writes:
        write.result()
    found, wanted = stage.findings("ACTIVE"), stage.wanted()
    stage.expect("Security Hub holds exactly the findings that the reports call for", holds=found.keys() == wanted)
    delays, imports = stage.delays(mark), stage.asked(mark, "BatchImportFindings")
    spread = max(stage.written.values()) - min(stage.written.values())
    stage.screen.say(f"{len(found)} findings after {seconds:.1f} s; the writes themselves took {spread:.1f} s.")
    stage.screen.say(
        f"From a report's write to its finding in Security Hub: p50 {quantile(delays, 0.5):.2f} s,"
        f" max {delays[-1] if delays else 0:.2f} s."
    )
    stage.screen.say(
        f"Calls to BatchImportFindings: {len(imports)}; the least possible, had all {len(found)} come at once, is"
        f" {least_calls(len(found))}."
    )
    severities(stage)


def severities(stage: Stage) -> None:
    counts = stage.hub.stats()["active_severities"]
    stage.screen.table(["SEVERITY", "ACTIVE FINDINGS"], [[label, str(counts.get(label, 0))] for label in SEVERITIES])


def a_pass_rewrites_everything(stage: Stage) -> None:
    stage.screen.step("The engines' next pass rewrites every report with new timestamps, and nothing else")
    mark, before, other = stage.mark(), _seen(stage, "none"), _seen(stage, "") - _seen(stage, "none")
    fresh = rewrite(list(stage.documents.values()), stage.now())
    stage.write(fresh)
    stage.until(
        "waiting for the operator to have read them all",
        lambda: _seen(stage, "none") >= before + len(fresh),
        doing=lambda: f"{_seen(stage, 'none') - before:.0f} of {len(fresh)} read",
    )
    read = _seen(stage, "none") - before
    with stage.screen.waiting(f"watching for {WATCHED_SECONDS:.0f} s more whether anything is sent"):
        time.sleep(WATCHED_SECONDS)
    asked = stage.asked(mark)
    changed = _seen(stage, "") - _seen(stage, "none") - other
    stage.screen.say(
        f"{len(fresh)} objects rewritten, {read:.0f} events read, {changed:.0f} of them with a change of meaning."
        f" Calls to AWS: {len(asked)}."
    )
    stage.expect("a rewrite causes no call to AWS", holds=not asked)


def _seen(stage: Stage, change: str) -> float:
    """Objects read from the cluster so far: those without a change of meaning, or all."""
    labels = {"change": change} if change else {}
    return stage.operator.metric("policyhub_watch_events_total", **labels)


def an_analyst_triages(stage: Stage) -> None:
    stage.screen.step("An analyst triages")
    stage.suppressed = call_of(stage, SUPPRESSED)
    found = stage.findings()
    told, suppressed = found[call_of(stage, TOLD)], found[stage.suppressed]
    stage.hub.analyst([suppressed["Id"]], workflow="SUPPRESSED", note="Accepted: the node agent manages the node.")
    stage.hub.analyst([told["Id"]], workflow="NOTIFIED", note=NOTE)
    stage.screen.say(f"SUPPRESSED  {suppressed['Title']}")
    stage.screen.say(f"NOTIFIED    {told['Title']}")
    stage.screen.say(f"            with the note “{NOTE}”")
    stage.screen.say("Workflow status and notes are the analyst's: the operator never writes them.")


def a_fix_is_archived(stage: Stage) -> None:
    stage.screen.step("Something is fixed, something is deleted, and something only looks as if it were gone")
    _fix(stage)
    unlisted = _truncate(stage)
    _remove(stage)
    still = stage.findings()[unlisted]["RecordState"]
    _tell_of_the_list(stage)
    hidden = stage.operator.metric("policyhub_constraint_violations_unlisted")
    stage.expect("a violation that one truncated list lost stays active", holds=still == "ACTIVE")
    stage.screen.say(
        f"The delay has passed for the Pod that left Gatekeeper's list too, and its finding is still {still}:"
        f" {hidden:.0f} violations are counted and not listed, and one list that lacks a Pod is no evidence."
    )
    _audit_again(stage, unlisted)


def _fix(stage: Stage) -> None:
    call = call_of(stage, TOLD)
    mark, before = stage.mark(), stage.findings()[call]
    document = _report_of(stage, stage.company.workload(*TOLD[:2]))
    fixed = with_result(document, policy=call.policy, word="pass", message=passed(call.rule), now=stage.now())
    stage.write([fixed])
    stage.archived.add(call)
    stage.until(
        "the gateway runs as non-root now, its report says pass: waiting for the archived finding",
        lambda: stage.findings()[call]["RecordState"] == "ARCHIVED",
    )
    seconds = stage.sent(mark)[-1]["time"] - stage.written[stage.cluster.path(fixed)]
    after = stage.findings()[call]
    stage.screen.say(
        f"Fixed: {call.policy} of {call.namespace}/{call.name} reads pass; archived {seconds:.2f} s later."
    )
    kept = all(after.get(member) == before.get(member) for member in ("Note", "Workflow", "CreatedAt"))
    stage.expect("archiving leaves note, workflow status and CreatedAt alone", holds=kept)


def _truncate(stage: Stage) -> Call:
    """The first Pod in Gatekeeper's order got limits: it leaves the list, and one that was not listed comes in."""
    (before,) = [d for d in stage.documents.values() if d["kind"] == "K8sContainerLimits"]
    after = stage.company.container_limits(now=stage.now(), fixed=1)
    lost, came = calls([before]) - calls([after]), calls([after]) - calls([before])
    mark = stage.mark()
    stage.kept |= lost
    stage.cluster.apply([_pod(call) for call in lost])  # no controllers run here: the operator asks whether it exists
    stage.write([after])
    stage.until(
        "one of the Pods that Gatekeeper lists got its limits, and another one comes into the list: waiting for its"
        " finding",
        lambda: came <= stage.findings("ACTIVE").keys(),
    )
    stage.screen.say(
        f"Gatekeeper lists {len(after['status']['violations'])} of {after['status']['totalViolations']} violations. The"
        f" list lost a Pod and shows another one instead: {len(stage.sent(mark))} new finding, nothing archived."
    )
    (call,) = lost
    return call


def _tell_of_the_list(stage: Stage) -> None:
    """One finding says that the list is not whole; that it counts one less is not worth another import."""
    (document,) = [d for d in stage.documents.values() if d["kind"] == "K8sContainerLimits"]
    name = document["metadata"]["name"]
    told = next(finding for call, finding in stage.findings("ACTIVE").items() if call.name == name)
    stage.screen.say(f"INFORMATIONAL  {told['Title']}")
    stage.screen.say(f"    {told['Description'].partition('. The numbers')[0]}.")
    once = [entry for entry in stage.hub.journal() if entry["kind"] == "import" and entry["id"] == told["Id"]]
    stage.expect("a truncated list is told of once", holds=len(once) == 1)


def _pod(call: Call) -> Document:
    metadata = {"name": call.name, "namespace": call.namespace}
    containers = [{"name": "app", "image": "registry.example.com/app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def _audit_again(stage: Stage, lost: Call) -> None:
    stage.write([stage.company.container_limits(now=stage.now(), fixed=1)])
    stage.archived.add(lost)
    stage.kept.discard(lost)
    stage.until(
        "Gatekeeper audits again: waiting for the archived finding",
        lambda: stage.findings()[lost]["RecordState"] == "ARCHIVED",
    )
    stage.screen.say(
        "The next audit lacks the Pod as well. Gatekeeper lists the first violations in order, and this Pod comes"
        " before the last one listed: it is fixed, not pushed out. Archived."
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
        f"{workload.namespace}/{workload.name} is deleted, and with it {len(documents)} reports: waiting for the"
        f" archive delay of {ARCHIVE_DELAY} and for {len(gone)} archived findings",
        lambda: not gone & stage.findings("ACTIVE").keys(),
    )
    entries = stage.sent(mark)
    first, last = entries[0]["time"] - started, entries[-1]["time"] - started
    stage.screen.say(
        f"Deleted: {workload.kind} {workload.namespace}/{workload.name}, its Service and {len(documents)} reports about"
        f" them; {len(gone)} findings archived after {first:.1f} to {last:.1f} s: a report that vanishes may be an"
        f" engine that restarts, so the delay of {ARCHIVE_DELAY} passes first."
    )


def _about(document: Document, workload: Workload) -> bool:
    scope = document.get("scope", {})
    return _is_of(scope.get("name", ""), scope.get("namespace", ""), workload)


def _is_of(name: str, namespace: str, workload: Workload) -> bool:
    return (name == workload.name or name.startswith(f"{workload.name}-")) and namespace == workload.namespace


def _report_of(stage: Stage, workload: Workload) -> Document:
    """Kyverno's: Kubewarden's has the same name, the object's uid, in the other API."""
    wanted = ("PolicyReport", stage.company.uids[workload.object])
    return next(d for d in stage.documents.values() if (d["kind"], d["metadata"]["name"]) == wanted)


def a_relapse(stage: Stage) -> None:
    stage.screen.step("A relapse: somebody rolls the gateway back")
    call = call_of(stage, TOLD)
    before, mark = stage.findings()[call], stage.mark()
    failing = stage.company.report(stage.company.workload(*TOLD[:2]).object, now=stage.now())
    stage.write([failing])
    stage.until(
        "its report says fail again: waiting for the active finding",
        lambda: stage.findings()[call]["RecordState"] == "ACTIVE",
    )
    after = stage.findings()[call]
    seconds = stage.sent(mark)[-1]["time"] - stage.written[stage.cluster.path(failing)]
    stage.screen.say(
        f"The same finding is active again {seconds:.2f} s later, first seen {after['CreatedAt']} as before."
    )
    stage.screen.say(f"The analyst's note is still there: “{after.get('Note', {}).get('Text', '')}”")
    stage.screen.say(
        f"Its workflow status is {after['Workflow']['Status']}: Security Hub itself resets NOTIFIED when a finding"
        " comes back."
    )
    kept = all(after.get(member) == before.get(member) for member in ("Id", "Note", "CreatedAt", "FirstObservedAt"))
    stage.expect("a relapse keeps id, note and first-seen times", holds=kept)
    stage.expect("a relapse is one import", holds=[e["outcome"] for e in stage.sent(mark)] == ["reactivated"])
