"""The dashboard of all clusters."""

from dev.dashboards.board import BAD, WARNING, Board, Panel, Query, Row, Variable, stat

CHOSEN = '{cluster=~"$cluster"}'
ALL = 'max by (cluster) (policyhub_condition{cluster=~"$cluster", condition="Ready"})'
"""1 for each cluster, whatever its condition: one that was never reached has no other series."""
READY = 'max by (cluster) (policyhub_condition{cluster=~"$cluster", condition="Ready", status="True"})'
NOT_TRUE = 'cluster=~"$cluster", condition!~"ArchiveHeld|IdentityConflict", status!="True", reason!~"RollUpOff|DryRun"'
BAD_WHEN_TRUE = 'cluster=~"$cluster", condition=~"ArchiveHeld|IdentityConflict", status="True"'

FLEET = Board(
    uid="policyhub-fleet",
    title="policyhub / Fleet",
    about="All monitored clusters: where violations are, which are overdue, which cluster or account is in trouble.",
    variables=(Variable("cluster", "label_values(policyhub_condition, cluster)", several=True),),
    links=(("Cluster", "policyhub-cluster"),),
    rows=(
        Row(
            "At a glance",
            (
                stat("Clusters", f"count({ALL})", "That are monitored."),
                stat(
                    "Not ready",
                    f"count({ALL}) - (count({READY}) or vector(0))",
                    "Clusters of which some condition is not good.",
                    steps=((WARNING, 1),),
                ),
                stat("Violations", f"sum(policyhub_violations{CHOSEN})", "Violations now, one per finding."),
                stat(
                    "Open",
                    'sum(policyhub_findings{cluster=~"$cluster", workflow_status="NEW"})',
                    "Findings that nobody has taken up, as Security Hub was last read.",
                ),
                stat(
                    "Past SLA",
                    f"sum(policyhub_violations_past_sla{CHOSEN})",
                    "Violations that are older than their severity allows.",
                    steps=((WARNING, 1),),
                ),
                stat(
                    "Oldest waiting",
                    f"max(policyhub_oldest_pending_seconds{CHOSEN})",
                    "How long the oldest change has waited for Security Hub.",
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
                    "One line a cluster.",
                    width=16,
                    height=9,
                ),
                Panel(
                    "Conditions that are not good",
                    "table",
                    (
                        Query(
                            f"max by (cluster, condition, reason) (policyhub_condition{{{NOT_TRUE}}}"
                            f" or policyhub_condition{{{BAD_WHEN_TRUE}}})",
                            "now",
                        ),
                    ),
                    "Empty when all is well. The messages stand in `kubectl describe monitoredcluster`.",
                    height=9,
                ),
                Panel(
                    "Violations by cluster",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_violations{CHOSEN})", "{{cluster}}"),),
                    "What is wrong, where.",
                    stacked=True,
                ),
                Panel(
                    "Past SLA by cluster",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_violations_past_sla{CHOSEN})", "{{cluster}}"),),
                    "Who is behind.",
                ),
                Panel(
                    "Findings by workflow status",
                    "timeseries",
                    (Query(f"sum by (workflow_status) (policyhub_findings{CHOSEN})", "{{workflow_status}}"),),
                    "What analysts have done with the findings that are active in Security Hub.",
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
                    "Across all clusters that are chosen.",
                    width=12,
                ),
                Panel(
                    "Longest since an engine last spoke",
                    "bargauge",
                    (
                        Query(
                            "topk(15, time() - max by (cluster, engine)"
                            f" (policyhub_newest_result_timestamp_seconds{CHOSEN}))",
                            "{{cluster}} {{engine}}",
                        ),
                    ),
                    "An engine that has stopped leaves its reports as they are: this is the only sign of it.",
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
                    "Waiting, by hub",
                    "timeseries",
                    (Query(f"sum by (hub) (policyhub_findings_pending{CHOSEN})", "{{hub}}"),),
                    "What Security Hub has not confirmed.",
                    stacked=True,
                ),
                Panel(
                    "Sent, by hub",
                    "timeseries",
                    (Query("sum by (hub) (rate(policyhub_findings_sent_total[$__rate_interval]))", "{{hub}}"),),
                    "Findings a second; a hub takes 1,000.",
                ),
                Panel(
                    "Calls allowed, by hub",
                    "timeseries",
                    (Query("min by (hub, operation) (policyhub_hub_rate_limit)", "{{hub}} {{operation}}"),),
                    "The pace that is left: halved when Security Hub throttles.",
                    unit="reqps",
                ),
                Panel(
                    "AWS calls, by what they ended in",
                    "timeseries",
                    (
                        Query(
                            "sum by (hub, code) (rate(policyhub_hub_requests_total[$__rate_interval]))",
                            "{{hub}} {{code}}",
                        ),
                    ),
                    "Anything but OK is worth a look when it lasts.",
                    unit="reqps",
                ),
                Panel(
                    "From the change to the finding, nine in ten",
                    "timeseries",
                    (
                        Query(
                            "histogram_quantile(0.9, sum by (hub, le)"
                            " (rate(policyhub_delivery_seconds_bucket[$__rate_interval])))",
                            "{{hub}}",
                        ),
                    ),
                    "Seconds from the change seen in the cluster to the acknowledged finding.",
                    unit="s",
                ),
                Panel(
                    "Refused findings",
                    "timeseries",
                    (Query(f"sum by (cluster) (policyhub_findings_refused{CHOSEN})", "{{cluster}}"),),
                    "That Security Hub does not take as they are.",
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
                    "Of each replica; a violation takes about 1.3 kB.",
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
                    "Cores; one is the most that an operator uses for its main loop.",
                ),
                Panel(
                    "Replicas",
                    "table",
                    (Query("max by (instance) (policyhub_leader)", "at work"),),
                    "One is at work (1), others stand by (0).",
                ),
            ),
        ),
    ),
)
