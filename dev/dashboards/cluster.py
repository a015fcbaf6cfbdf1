"""The dashboard of one cluster."""

from dev.dashboards.board import BAD, GOOD, WARNING, Board, Panel, Query, Row, Variable, stat

OF = '{cluster="$cluster"}'
HUBS = '{hub=~"$hub"}'
YES_NO = ((1, "yes", GOOD), (0, "no", BAD))


IN_SYNC = Panel(
    "In sync",
    "stat",
    (Query(f"min(policyhub_in_sync{OF})"),),
    "Whether Security Hub has exactly what the cluster calls for. `no` for some seconds is life, for minutes not.",
    width=4,
    height=4,
    words=YES_NO,
)

CLUSTER = Board(
    uid="policyhub-cluster",
    title="policyhub / Cluster",
    about="One monitored cluster: what violates its policies, what analysts do about it, and whether it all arrives.",
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
                stat("Violations", f"sum(policyhub_violations{OF})", "Violations now, one per finding."),
                stat(
                    "Open",
                    'sum(policyhub_findings{cluster="$cluster", workflow_status="NEW"})',
                    "Findings that nobody has taken up, as Security Hub was last read.",
                ),
                stat(
                    "Past SLA",
                    f"sum(policyhub_violations_past_sla{OF})",
                    "Violations that are older than their severity allows; suppressed ones are left out.",
                    steps=((WARNING, 1),),
                ),
                stat(
                    "Waiting for Security Hub",
                    f"sum(policyhub_findings_pending{OF})",
                    "Changes that Security Hub has not confirmed.",
                    steps=((WARNING, 100), (BAD, 10_000)),
                ),
                stat(
                    "Oldest of them",
                    f"max(policyhub_oldest_pending_seconds{OF})",
                    "How long the oldest has waited. Usually seconds; ten minutes raise an alert.",
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
                    "What is wrong in the cluster, as its engines rate it.",
                    stacked=True,
                ),
                Panel(
                    "Findings by workflow status",
                    "timeseries",
                    (Query(f"sum by (workflow_status) (policyhub_findings{OF})", "{{workflow_status}}"),),
                    "What analysts have done with the findings that are active in Security Hub.",
                    stacked=True,
                ),
                Panel(
                    "Past SLA by severity",
                    "timeseries",
                    (Query(f"sum by (severity) (policyhub_violations_past_sla{OF})", "{{severity}}"),),
                    "Violations that are older than their severity allows.",
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
                    "Where one change mends most.",
                    width=12,
                ),
                Panel(
                    "Age of the violations",
                    "bargauge",
                    (
                        Query(
                            "histogram_quantile(0.5, sum by (severity, le)"
                            f" (policyhub_violation_age_seconds_bucket{OF}))",
                            "{{severity}}: half are younger",
                        ),
                        Query(
                            "histogram_quantile(0.9, sum by (severity, le)"
                            f" (policyhub_violation_age_seconds_bucket{OF}))",
                            "{{severity}}: nine in ten are younger",
                        ),
                    ),
                    "Since each was first seen, without suppressed ones. Interpolated between an hour, a day, two, 7,"
                    " 14, 30, 60, 90, 180 and 365 days.",
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Delivery",
            (
                Panel(
                    "Waiting, by lane",
                    "timeseries",
                    (Query(f"sum by (lane) (policyhub_findings_pending{OF})", "{{lane}}"),),
                    "What Security Hub has not confirmed. `urgent` overtakes all else; `backlog` is a first sync;"
                    " `unread` waits for what Security Hub has; `failed` is tried again.",
                    stacked=True,
                ),
                Panel(
                    "Sent to its hub",
                    "timeseries",
                    (
                        Query(
                            f"sum by (change) (rate(policyhub_findings_sent_total{HUBS}[$__rate_interval]))",
                            "{{change}}",
                        ),
                    ),
                    "Findings a second that Security Hub accepted, of all clusters that write there.",
                    stacked=True,
                ),
                Panel(
                    "From the change to the finding",
                    "timeseries",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le)"
                            f" (rate(policyhub_delivery_seconds_bucket{HUBS}[$__rate_interval])))",
                            name,
                        )
                        for share, name in ((0.5, "half"), (0.9, "nine in ten"), (0.99, "99 in 100"))
                    ),
                    "Seconds from the change seen in the cluster to the acknowledged finding, of all clusters that"
                    " write to this hub.",
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
                    "Calls a second, by what they ended in. Anything but OK is worth a look when it lasts.",
                    unit="reqps",
                ),
                Panel(
                    "Duration of AWS calls",
                    "timeseries",
                    (
                        Query(
                            "histogram_quantile(0.9, sum by (le, operation)"
                            f" (rate(policyhub_hub_request_seconds_bucket{HUBS}[$__rate_interval])))",
                            "{{operation}}: nine in ten",
                        ),
                    ),
                    "Without the wait for the quota.",
                    unit="s",
                ),
                Panel(
                    "Calls allowed",
                    "timeseries",
                    (Query(f"min by (operation) (policyhub_hub_rate_limit{HUBS})", "{{operation}}"),),
                    "The pace that is left: halved when Security Hub throttles, since other tools share the quota.",
                    unit="reqps",
                ),
            ),
        ),
        Row(
            "Sources",
            (
                Panel(
                    "APIs, and minutes since each was listed",
                    "table",
                    (
                        Query(f"min by (source) (policyhub_source_complete{OF})", "whole and live"),
                        Query(
                            f"(time() - max by (source) (policyhub_last_complete_listing_timestamp_seconds{OF})) / 60",
                            "minutes",
                        ),
                    ),
                    "What is read of the cluster. Nothing is archived on the word of one that is not whole (0).",
                ),
                Panel(
                    "Since the engines last spoke",
                    "bargauge",
                    (
                        Query(
                            f"time() - max by (engine) (policyhub_newest_result_timestamp_seconds{OF})",
                            "{{engine}}",
                        ),
                    ),
                    "An engine that has stopped leaves its reports as they are: this is the only sign of it.",
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
                    "Reports and constraints a second. `none` changed no violation: engines rewrite all at each scan.",
                    stacked=True,
                ),
                Panel(
                    "Held, not archived",
                    "timeseries",
                    (Query(f"sum by (reason) (policyhub_archives_held{OF})", "{{reason}}"),),
                    "Findings that nothing calls for any more, by what they wait for. `guard` waits for a person.",
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
                    "Violations that Gatekeeper counts beyond its limit: they get no finding.",
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
                    "As `kubectl describe monitoredcluster` shows them; there stand the messages too.",
                ),
            ),
        ),
    ),
)
