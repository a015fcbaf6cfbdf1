"""The demo's last steps: what an admin sees, and the sum of it all."""

from dev import stand
from dev.demo.opening import CLUSTER
from dev.demo.stage import Stage
from dev.demo.story import severities

PATH = "/apis/policyhub.dev/v1alpha1/monitoredclusters"


def what_an_admin_sees(stage: Stage) -> None:
    stage.screen.step("What an admin sees: kubectl get monitoredclusters")
    wanted = len(stage.wanted())

    def shown() -> bool:
        findings = stand.monitored(stage.cluster, CLUSTER).get("status", {}).get("findings", {})
        return (findings.get("active"), findings.get("pending")) == (wanted, 0)

    stage.until("waiting for the status to tell of the latest changes", shown)
    header, rows = stand.table(stage.cluster, PATH)
    stage.screen.table(header, rows)
    (row,) = rows
    seen = dict(zip(header, row, strict=True))
    stage.expect("the MonitoredCluster is Ready and in sync", holds=(seen["READY"], seen["INSYNC"]) == ("True", "True"))


def sum_up(stage: Stage) -> None:
    stage.screen.step("The sum of it")
    stats, entries = stage.hub.stats(), [entry for entry in stage.hub.journal() if entry["kind"] == "import"]
    found = stage.findings()
    active = {call for call, finding in found.items() if finding["RecordState"] == "ACTIVE"}
    ids = {finding["Id"]: call for call, finding in found.items()}
    wrong = [entry for entry in entries if entry["outcome"] == "archived" and ids[entry["id"]] not in stage.archived]
    calls = {operation: sum(by_status.values()) for operation, by_status in stats["calls"].items()}
    imports = calls.get("BatchImportFindings", 0)
    rss, cpu = stage.operator.usage()
    severities(stage)
    stage.screen.table(
        ["FIGURE", "VALUE"],
        [
            ["findings active, archived", f"{len(active)}, {len(found) - len(active)}"],
            ["findings sent", f"{len(entries)} in {imports} calls"],
            ["redundant imports", str(stats["redundant"])],
            ["wrong archives", str(len(wrong))],
            ["refused findings", str(stats["outcomes"].get("failed", 0))],
            ["calls to AWS by operation", ", ".join(f"{name} {number}" for name, number in sorted(calls.items()))],
            ["operator", f"{rss:.0f} MiB of memory, {cpu:.1f} s of CPU since its start"],
        ],
    )
    stage.expect("Security Hub holds as active exactly what the cluster calls for", holds=active == stage.wanted())
    stage.expect("no import was redundant", holds=stats["redundant"] == 0)
    stage.expect("nothing was archived that should not be", holds=not wrong)
    stage.expect("no finding was refused", holds=not stats["outcomes"].get("failed"))
    if stage.suppressed is not None:
        status = found[stage.suppressed]["Workflow"]["Status"]
        stage.expect("what the analyst suppressed is suppressed", holds=status == "SUPPRESSED")
