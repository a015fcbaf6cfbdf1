"""The dashboard of all clusters."""

from dev.dashboards.board import BAD, WARNING, Board, Panel, Query, Row, Variable, stat

CHOSEN = '{cluster=~"$cluster"}'
ALL = 'max by (cluster) (policyhub_condition{cluster=~"$cluster", condition="Ready"})'
"""1 for each cluster, regardless of its condition: one that was never reached has no other series."""
READY = 'max by (cluster) (policyhub_condition{cluster=~"$cluster", condition="Ready", status="True"})'
NOT_TRUE = 'cluster=~"$cluster", condition!~"ArchiveHeld|IdentityConflict", status!="True", reason!~"RollUpOff|DryRun"'
BAD_WHEN_TRUE = 'cluster=~"$cluster", condition=~"ArchiveHeld|IdentityConflict", status="True"'

FLEET = Board(
    uid="policyhub-fleet",
    title="policyhub / Fleet",
    about="All monitored clusters: violations, deadlines, and clusters or accounts with problems.",
    variables=(Variable("cluster", "label_values(policyhub_condition, cluster)", several=True),),
    links=(("Cluster", "policyhub-cluster"),),
    rows=(
        Row(
            "At a glance",
            (
                stat("Clusters", f"count({ALL})", "Number of monitored clusters."),
                stat(
                    "Not ready",
                    f"count({ALL}) - (count({READY}) or vector(0))",
                    "Clusters whose condition Ready is not True.",
                    steps=((WARNING, 1),),
                ),
                stat("Violations", f"sum(policyhub_violations{CHOSEN})", "Current violations, one per finding."),
                stat(
                    "Open",
                    'sum(policyhub_findings{cluster=~"$cluster", workflow_status="NEW"})',
                    "Findings with workflow status NEW, as of the last inventory of Security Hub.",
                ),
                stat(
                    "Past SLA",
                    f"sum(policyhub_violations_past_sla{CHOSEN})",
                    "Violations that are older than the SLA of their severity.",
                    steps=((WARNING, 1),),
                ),
                stat(
                    "Oldest waiting",
                    f"max(policyhub_oldest_pending_seconds{CHOSEN})",
                    "Waiting time of the oldest change that Security Hub has not confirmed.",
                    unit="s",
                    steps=((WARNING, 60), (BAD, 600)),
                ),
            ),
        ),
        Row(
            "Clusters",
            (
                Panel(
                    "Clusters",
                    "table",
                    (
                        Query(f"{READY} or 0 * {ALL}", "ready"),
                        Query(f"min by (cluster) (policyhub_in_sync{CHOSEN})", "in sync"),
                        Query(f"sum by (cluster) (policyhub_violations{CHOSEN})", "violations"),
                        Query(
                            'sum by (cluster) (policyhub_violations{cluster=~"$cluster", severity="CRITICAL"})',
                            "critical",
                        ),
                        Query(
                            'sum by (cluster) (policyhub_findings{cluster=~"$cluster", workflow_status="NEW"})', "open"
                        ),
                        Query(
                            'sum by (cluster) (policyhub_findings{cluster=~"$cluster", workflow_status="SUPPRESSED"})',
                            "suppressed",
                        ),
                        Query(f"sum by (cluster) (policyhub_violations_past_sla{CHOSEN})", "past SLA"),
                        Query(f"sum by (cluster) (policyhub_findings_pending{CHOSEN})", "pending"),
                        Query(f"sum by (cluster) (policyhub_archives_held{CHOSEN})", "held"),
                    ),
                    "One line for each cluster.",
                    width=16,
                    height=9,
                ),
                Panel(
                    "Conditions with a problem",
                    "table",
                    (
                        Query(
                            f"max by (cluster, condition, reason) (policyhub_condition{{{NOT_TRUE}}}"
                            f" or policyhub_condition{{{BAD_WHEN_TRUE}}})",
                            "now",
                        ),
                    ),
                    "Empty if there is no problem. `kubectl describe monitoredcluster` shows the messages.",
                    height=9,
                ),
                Panel(
                    "Violations by cluster",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_violations{CHOSEN})", "{{cluster}}"),),
                    "Current violations of each cluster.",
                    stacked=True,
                ),
                Panel(
                    "Past SLA by cluster",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_violations_past_sla{CHOSEN})", "{{cluster}}"),),
                    "Violations of each cluster that are older than the SLA of their severity.",
                ),
                Panel(
                    "Findings by workflow status",
                    "timeseries",
                    (Query(f"sum by (workflow_status) (policyhub_findings{CHOSEN})", "{{workflow_status}}"),),
                    "Triage of the findings that are active in Security Hub.",
                    stacked=True,
                ),
                Panel(
                    "Policies with the most violations",
                    "table",
                    (
                        Query(
                            f"topk(12, sum by (source, policy, severity) (policyhub_violations{CHOSEN}))", "violations"
                        ),
                    ),
                    "In all selected clusters.",
                    width=12,
                ),
                Panel(
                    "Longest time since an engine's newest result",
                    "bargauge",
                    (
                        Query(
                            "topk(15, time() - max by (cluster, engine)"
                            f" (policyhub_newest_result_timestamp_seconds{CHOSEN}))",
                            "{{cluster}} {{engine}}",
                        ),
                    ),
                    "An engine that has stopped leaves its reports as they are: only this age shows it.",
                    unit="s",
                    steps=((WARNING, 3 * 3600), (BAD, 26 * 3600)),
                    width=12,
                ),
            ),
        ),
        Row(
            "Hubs",
            (
                Panel(
                    "Pending changes by hub",
                    "timeseries",
                    (Query(f"sum by (hub) (policyhub_findings_pending{CHOSEN})", "{{hub}}"),),
                    "Changes that Security Hub has not confirmed yet.",
                    stacked=True,
                ),
                Panel(
                    "Findings sent by hub",
                    "timeseries",
                    (Query("sum by (hub) (rate(policyhub_findings_sent_total[$__rate_interval]))", "{{hub}}"),),
                    "Findings per second; a hub accepts 1,000.",
                ),
                Panel(
                    "Rate limit by hub",
                    "timeseries",
                    (Query("min by (hub, operation) (policyhub_hub_rate_limit)", "{{hub}} {{operation}}"),),
                    "Calls per second that the operator allows itself. It is halved when Security Hub throttles.",
                    unit="reqps",
                ),
                Panel(
                    "AWS calls by result",
                    "timeseries",
                    (
                        Query(
                            "sum by (hub, code) (rate(policyhub_hub_requests_total[$__rate_interval]))",
                            "{{hub}} {{code}}",
                        ),
                    ),
                    "Calls per second by result. Investigate results other than OK if they last.",
                    unit="reqps",
                ),
                Panel(
                    "Delivery time, 90th percentile",
                    "timeseries",
                    (
                        Query(
                            "histogram_quantile(0.9, sum by (hub, le)"
                            " (rate(policyhub_delivery_seconds_bucket[$__rate_interval])))",
                            "{{hub}}",
                        ),
                    ),
                    "Time from a change in the cluster, as the operator reads it, to the confirmed finding.",
                    unit="s",
                ),
                Panel(
                    "Rejected findings",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_findings_refused{CHOSEN})", "{{cluster}}"),),
                    "Findings that Security Hub rejects with their current content.",
                ),
            ),
        ),
        Row(
            "Operators",
            (
                Panel(
                    "Memory",
                    "timeseries",
                    (
                        Query(
                            "process_resident_memory_bytes and on (instance, job) policyhub_leader",
                            "{{instance}}",
                        ),
                    ),
                    "Memory of each replica. A violation needs about 1.3 kB.",
                    unit="bytes",
                ),
                Panel(
                    "CPU",
                    "timeseries",
                    (
                        Query(
                            "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, job) policyhub_leader",
                            "{{instance}}",
                        ),
                    ),
                    "CPU cores of each replica. The operator's main loop uses at most one.",
                ),
                Panel(
                    "Replicas",
                    "table",
                    (Query("max by (instance) (policyhub_leader)", "active"),),
                    "One replica is active (1), the others are on standby (0).",
                ),
            ),
        ),
    ),
)
