"""The demo's last steps: what an admin sees, and the totals."""

from dev import testbed
from dev.demo.opening import CLUSTER
from dev.demo.stage import Stage
from dev.demo.story import severities

PATH = "/apis/policyhub.dev/v1alpha1/monitoredclusters"


def what_an_admin_sees(stage: Stage) -> None:
    stage.screen.step("What an admin sees: kubectl get monitoredclusters")
    wanted = len(stage.wanted())

    def shown() -> bool:
        findings = testbed.monitored(stage.cluster, CLUSTER).get("status", {}).get("findings", {})
        return (findings.get("active"), findings.get("pending")) == (wanted, 0)

    stage.until("waiting for the status to show the latest changes", shown)
    (seen,) = stage.kubectl_get(PATH)
    stage.expect("the MonitoredCluster is Ready and in sync", holds=(seen["READY"], seen["INSYNC"]) == ("True", "True"))


def sum_up(stage: Stage) -> None:
    stage.screen.step("Totals")
    stats, entries = stage.hub.stats(), [entry for entry in stage.hub.journal() if entry["kind"] == "import"]
    found = stage.findings()
    active = {violation for violation, finding in found.items() if finding["RecordState"] == "ACTIVE"}
    ids = {finding["Id"]: violation for violation, finding in found.items()}
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
            ["rejected findings", str(stats["outcomes"].get("failed", 0))],
            ["AWS calls by operation", ", ".join(f"{name} {number}" for name, number in sorted(calls.items()))],
            ["operator", f"{rss:.0f} MiB of memory, {cpu:.1f} s of CPU time since its start"],
        ],
    )
    stage.expect("the active findings in Security Hub match the cluster", holds=active == stage.wanted())
    stage.expect("no import was redundant", holds=stats["redundant"] == 0)
    stage.expect("no finding was archived by mistake", holds=not wrong)
    stage.expect("no finding was rejected", holds=not stats["outcomes"].get("failed"))
    if stage.suppressed is not None:
        status = found[stage.suppressed]["Workflow"]["Status"]
        stage.expect("the finding that the analyst suppressed is still suppressed", holds=status == "SUPPRESSED")
