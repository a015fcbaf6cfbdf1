"""The dashboard of one cluster."""

from dev.dashboards.board import BAD, GOOD, WARNING, Board, Panel, Query, Row, Variable, stat

OF = '{cluster="$cluster"}'
HUBS = '{hub=~"$hub"}'
YES_NO = ((1, "yes", GOOD), (0, "no", BAD))


IN_SYNC = Panel(
    "In sync",
    "stat",
    (Query(f"min(policyhub_in_sync{OF})"),),
    "Whether Security Hub has exactly the findings that the cluster reports. `no` is normal for some seconds only.",
    width=4,
    height=4,
    words=YES_NO,
)

CLUSTER = Board(
    uid="policyhub-cluster",
    title="policyhub / Cluster",
    about="One monitored cluster: its violations, their triage, and the delivery of findings to Security Hub.",
    variables=(
        Variable("cluster", "label_values(policyhub_condition, cluster)"),
        Variable("hub", f"label_values(policyhub_oldest_pending_seconds{OF}, hub)", hidden=True),
    ),
    links=(("Fleet", "policyhub-fleet"),),
    rows=(
        Row(
            "At a glance",
            (
                IN_SYNC,
                stat("Violations", f"sum(policyhub_violations{OF})", "Current violations, one per finding."),
                stat(
                    "Open",
                    'sum(policyhub_findings{cluster="$cluster", workflow_status="NEW"})',
                    "Findings with workflow status NEW, as of the last inventory of Security Hub.",
                ),
                stat(
                    "Past SLA",
                    f"sum(policyhub_violations_past_sla{OF})",
                    "Violations that are older than the SLA of their severity, without suppressed ones.",
                    steps=((WARNING, 1),),
                ),
                stat(
                    "Pending changes",
                    f"sum(policyhub_findings_pending{OF})",
                    "Changes that Security Hub has not confirmed yet.",
                    steps=((WARNING, 100), (BAD, 10_000)),
                ),
                stat(
                    "Oldest pending",
                    f"max(policyhub_oldest_pending_seconds{OF})",
                    "Waiting time of the oldest pending change. Usually seconds; an alert fires after ten minutes.",
                    unit="s",
                    steps=((WARNING, 60), (BAD, 600)),
                ),
            ),
        ),
        Row(
            "Violations",
            (
                Panel(
                    "Violations by severity",
                    "timeseries",
                    (Query(f"sum by (severity) (policyhub_violations{OF})", "{{severity}}"),),
                    "Current violations in the cluster, by the severity of the engines.",
                    stacked=True,
                ),
                Panel(
                    "Findings by workflow status",
                    "timeseries",
                    (Query(f"sum by (workflow_status) (policyhub_findings{OF})", "{{workflow_status}}"),),
                    "Triage of the findings that are active in Security Hub.",
                    stacked=True,
                ),
                Panel(
                    "Past SLA by severity",
                    "timeseries",
                    (Query(f"sum by (severity) (policyhub_violations_past_sla{OF})", "{{severity}}"),),
                    "Violations that are older than the SLA of their severity.",
                ),
                Panel(
                    "Policies with the most violations",
                    "table",
                    (
                        Query(
                            f"topk(12, sum by (source, policy, severity) (policyhub_violations{OF}))",
                            "violations",
                        ),
                    ),
                    "Policies for which one fix removes the most violations.",
                    width=12,
                ),
                Panel(
                    "Age of the violations",
                    "bargauge",
                    (
                        Query(
                            "histogram_quantile(0.5, sum by (severity, le)"
                            f" (policyhub_violation_age_seconds_bucket{OF}))",
                            "{{severity}}: 50 % are younger",
                        ),
                        Query(
                            "histogram_quantile(0.9, sum by (severity, le)"
                            f" (policyhub_violation_age_seconds_bucket{OF}))",
                            "{{severity}}: 90 % are younger",
                        ),
                    ),
                    "Time since a violation was first seen, without suppressed ones. Interpolated between 1 hour and 1,"
                    " 2, 7, 14, 30, 60, 90, 180 and 365 days.",
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Delivery",
            (
                Panel(
                    "Pending changes by lane",
                    "timeseries",
                    (Query(f"sum by (lane) (policyhub_findings_pending{OF})", "{{lane}}"),),
                    "Changes that Security Hub has not confirmed. `urgent` is sent first; `backlog` is a first sync;"
                    " `unread` waits to be looked up in Security Hub; `failed` is sent again.",
                    stacked=True,
                ),
                Panel(
                    "Findings sent to its hub",
                    "timeseries",
                    (
                        Query(
                            f"sum by (change) (rate(policyhub_findings_sent_total{HUBS}[$__rate_interval]))",
                            "{{change}}",
                        ),
                    ),
                    "Findings per second that Security Hub accepted, from all clusters that write to this hub.",
                    stacked=True,
                ),
                Panel(
                    "Delivery time",
                    "timeseries",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le)"
                            f" (rate(policyhub_delivery_seconds_bucket{HUBS}[$__rate_interval])))",
                            name,
                        )
                        for share, name in ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"))
                    ),
                    "Time from a change in the cluster, as the operator reads it, to the confirmed finding: percentiles"
                    " over all clusters that write to this hub.",
                    unit="s",
                ),
                Panel(
                    "AWS calls",
                    "timeseries",
                    (
                        Query(
                            f"sum by (operation, code) (rate(policyhub_hub_requests_total{HUBS}[$__rate_interval]))",
                            "{{operation}} {{code}}",
                        ),
                    ),
                    "Calls per second by result. Investigate results other than OK if they last.",
                    unit="reqps",
                ),
                Panel(
                    "Duration of AWS calls",
                    "timeseries",
                    (
                        Query(
                            "histogram_quantile(0.9, sum by (le, operation)"
                            f" (rate(policyhub_hub_request_seconds_bucket{HUBS}[$__rate_interval])))",
                            "{{operation}}: 90 %",
                        ),
                    ),
                    "90th percentile, without the wait for the quota.",
                    unit="s",
                ),
                Panel(
                    "Rate limit",
                    "timeseries",
                    (Query(f"min by (operation) (policyhub_hub_rate_limit{HUBS})", "{{operation}}"),),
                    "Calls per second that the operator allows itself. It halves this rate when Security Hub throttles,"
                    " because other tools share the quota.",
                    unit="reqps",
                ),
            ),
        ),
        Row(
            "Sources",
            (
                Panel(
                    "Source APIs, and minutes since each was listed",
                    "table",
                    (
                        Query(f"min by (source) (policyhub_source_complete{OF})", "complete"),
                        Query(
                            f"(time() - max by (source) (policyhub_last_complete_listing_timestamp_seconds{OF})) / 60",
                            "minutes",
                        ),
                    ),
                    "APIs of the cluster that the operator reads. While one is not complete (0), no finding is archived"
                    " because it is missing there.",
                ),
                Panel(
                    "Time since each engine's newest result",
                    "bargauge",
                    (
                        Query(
                            f"time() - max by (engine) (policyhub_newest_result_timestamp_seconds{OF})",
                            "{{engine}}",
                        ),
                    ),
                    "An engine that has stopped leaves its reports as they are: only this age shows it.",
                    unit="s",
                    steps=((WARNING, 3 * 3600), (BAD, 26 * 3600)),
                ),
                Panel(
                    "Source objects read",
                    "timeseries",
                    (
                        Query(
                            f"sum by (change) (rate(policyhub_watch_events_total{OF}[$__rate_interval]))",
                            "{{change}}",
                        ),
                    ),
                    "Reports and constraints per second. `none`: no violation changed; engines rewrite their reports at"
                    " each scan.",
                    stacked=True,
                ),
                Panel(
                    "Findings held from archiving",
                    "timeseries",
                    (Query(f"sum by (reason) (policyhub_archives_held{OF})", "{{reason}}"),),
                    "Findings that are no longer reported but not archived yet, by reason. `guard` waits for a person.",
                    stacked=True,
                ),
                Panel(
                    "Not listed by Gatekeeper",
                    "timeseries",
                    (
                        Query(
                            f"max by (constraint_kind) (policyhub_constraint_violations_unlisted{OF})",
                            "{{constraint_kind}}",
                        ),
                    ),
                    "Violations that Gatekeeper counts but does not list: they get no finding.",
                ),
                Panel(
                    "Conditions",
                    "table",
                    (
                        Query(
                            f"max by (condition, status, reason) (policyhub_condition{OF})",
                            "now",
                        ),
                    ),
                    "Current conditions. `kubectl describe monitoredcluster` also shows their messages.",
                ),
            ),
        ),
    ),
)
