"""Every metric that the operator exports, in one place: docs/metrics.md is generated from here (`dev.metrics`).

* Labels are bounded: clusters, hubs (`account/Region`), sources, policies, severities, operations, codes; namespaces
  only if the settings enable them, objects never.
* Engines choose the names of policies and of themselves: above a limit, they are summed (`policyhub.cluster.gauges`).
* `series.label` makes the value of a label short and printable.
* Units are base units.
* Gauges of a monitored cluster are removed when it is no longer monitored.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from policyhub.metrics.series import AgeHistogram, Definition, Series

_DELIVERY_SECONDS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
_CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry, *, version: str = "", namespaces: bool = False) -> None:
        """`namespaces`: whether `policyhub_violations` has a label for the object's namespace."""
        self.registry = registry
        self.namespaces = namespaces
        self._series = Series(registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._declare_operator(version)
        self._declare_violations()
        self._declare_findings()
        self._declare_left_out()
        self._declare_delivery()
        self._declare_hub()
        self._declare_sources()

    @property
    def definitions(self) -> list[Definition]:
        """All metrics, in the order of docs/metrics.md."""
        return self._series.definitions

    def forget_cluster(self, cluster: str) -> None:
        """The cluster is no longer monitored: remove its gauges. Its counters continue when it is monitored again."""
        for gauge in self._series.clustered:
            gauge.remove_by_labels({"cluster": cluster})
        self.violation_age.set(cluster, {})

    def forget_source(self, cluster: str, source_api: str) -> None:
        """Remove the counts of a source API that is no longer served."""
        for counter in (self.watch_events, self.source_objects_malformed):
            counter.remove_by_labels({"cluster": cluster, "source": source_api})

    def forget_hub(self, hub: str) -> None:
        """Remove every series of a hub that is closed."""
        for metric in self._series.hubs:
            metric.remove_by_labels({"hub": hub})

    def forget_status(self, cluster: str) -> None:
        """The MonitoredCluster is gone: remove every series of its cluster."""
        self.forget_cluster(cluster)
        for counter in self._series.counted:
            counter.remove_by_labels({"cluster": cluster})

    def set_conditions(self, cluster: str, conditions: Iterable[tuple[str, str, str]]) -> None:
        """Replace the conditions of a cluster: (type, status, reason) of each."""
        self.condition.remove_by_labels({"cluster": cluster})
        for condition in conditions:
            self.condition.labels(cluster, *condition).set(1)

    # -- the definitions ------------------------------------------------------------------------------------------

    def _declare_operator(self, version: str) -> None:
        self._series.section = "The operator"
        self.build_info = self._series.gauge(
            "build_info", "1, with the operator's version", "version", example="policyhub_build_info"
        )
        self.build_info.labels(version).set(1)
        self.leader = self._series.gauge(
            "leader",
            "1 while this replica is active, 0 while it stands by",
            detail="The sum over all replicas is 1, and 0 for some seconds while one takes over from another.",
            example="sum(policyhub_leader) != 1",
        )
        self.condition = self._series.gauge(
            "condition",
            "1 for each condition of a MonitoredCluster, with its current status and reason",
            "cluster",
            "condition",
            "status",
            "reason",
            detail="`condition`, `status` and `reason` are those of [conditions](conditions.md#conditions). The other"
            " statuses and reasons of a condition have no series.",
            example='policyhub_condition{condition="Ready", status!="True"}',
        )

        self.http_refused = self._series.counter(
            "http_refused",
            "requests and connections to this port that got no answer, or no metrics",
            "reason",
            detail="`reason` is `scrapes` (too many at once: 503), `slow_reader`, `slow_request`, `connections` (too"
            " many at once) or `malformed`. Above 0, a client in the cluster's network sends too many or bad requests:"
            " limit the clients with the chart's `networkPolicy.metricsFrom`.",
            example="sum by (reason) (increase(policyhub_http_refused_total[1h])) > 0",
        )
        self.status_write_failures = self._series.counter(
            "status_write_failures",
            "writes of a MonitoredCluster's status that the API server did not accept",
            "cluster",
            "reason",
            detail="`reason` is the HTTP status, such as `403` or `422`, or `Unreachable`. Until a write succeeds,"
            " `kubectl get monitoredclusters` shows an older state; `policyhub_condition` is up to date.",
            example="sum by (cluster, reason) (increase(policyhub_status_write_failures_total[15m])) > 0",
        )
        self.status_written = self._series.gauge(
            "status_written_timestamp_seconds",
            "when a MonitoredCluster's status was last written: its `lastHeartbeatTime`",
            "cluster",
            detail="It is written at least every 3 minutes, even if nothing has changed. If it is much older, the"
            " status may be outdated.",
            example="time() - policyhub_status_written_timestamp_seconds > 600",
        )
        self.discovery_clusters = self._series.gauge(
            "discovery_clusters",
            "EKS clusters that a ClusterDiscovery knows",
            "discovery",
            "state",
            detail="`discovery` is its name. `state` is `found` (EKS lists them), `made` (it created their"
            " MonitoredCluster), `skipped` or `gone`; the status of the ClusterDiscovery says why.",
            example='policyhub_discovery_clusters{state="gone"} > 0',
        )

    def _declare_violations(self) -> None:
        self._series.section = "Violations in the clusters"
        self.violations = self._series.gauge(
            "violations",
            "current violations in the cluster, one per finding",
            *("cluster", "source", "policy", "severity", *(("namespace",) if self.namespaces else ())),
            detail="`source` is the engine's own name, such as `kyverno`; `severity` is the engine's. At most 5,000"
            " series a cluster, and at most 500 that only one namespace's reports cause: further ones are summed"
            " under the policy `(other)`. A value of more than 128 characters is cut and ends with a hash. The"
            " setting `POLICYHUB_METRICS_NAMESPACES` adds the label `namespace`, empty for objects without"
            " one.",
            example="sum by (cluster, severity) (policyhub_violations)",
        )
        self.violation_age = AgeHistogram(
            "policyhub_violation_age_seconds", "ages of the current violations in the cluster"
        )
        self.registry.register(self.violation_age)
        self._series.define(
            "violation_age_seconds",
            "gauge histogram",
            ("cluster", "severity"),
            "ages of the current violations in the cluster",
            "The age counts from the finding's `CreatedAt`, the first time that the violation was seen; a violation"
            " that was fixed and came back keeps it. `severity` is the finding's label in Security Hub, which an"
            " analyst may have changed. Suppressed findings do not count. Computed every 15 seconds, in large clusters"
            " less often. Buckets go up and down, so do not use `rate`; count and sum are"
            " `policyhub_violation_age_seconds_gcount` and `…_gsum`.",
            "histogram_quantile(0.9, sum by (le, cluster) (policyhub_violation_age_seconds_bucket))",
        )
        self.violations_past_sla = self._series.gauge(
            "violations_past_sla",
            "violations that are older than their severity allows",
            "cluster",
            "severity",
            detail="The setting `POLICYHUB_SLA_DAYS` or `spec.slaDays` of the MonitoredCluster sets the days; a"
            " severity without days has no series. Age and severity are defined as for"
            " `policyhub_violation_age_seconds`, and suppressed findings do not count.",
            example="sum by (cluster, severity) (policyhub_violations_past_sla)",
        )
        self.sla = self._series.gauge(
            "sla_seconds",
            "maximum age of a violation of this severity",
            "cluster",
            "severity",
            example="policyhub_sla_seconds / 86400",
        )

    def _declare_findings(self) -> None:
        self._series.section = "Findings in Security Hub"
        self.findings = self._series.gauge(
            "findings",
            "active findings in Security Hub, by workflow status",
            "cluster",
            "hub",
            "workflow_status",
            "severity",
            detail="`workflow_status` is `NEW`, `NOTIFIED`, `SUPPRESSED` or `RESOLVED`; `severity` is the label in"
            " Security Hub, which an analyst may have changed. The operator's own changes count at once. Analysts'"
            " changes are read with the inventory, at the time in `policyhub_inventory_timestamp_seconds`.",
            example="sum by (cluster, workflow_status) (policyhub_findings)",
        )
        self.inventory = self._series.gauge(
            "inventory_timestamp_seconds",
            "when the last complete reading of the cluster's findings in Security Hub began",
            "cluster",
            "hub",
            detail="The setting `POLICYHUB_INVENTORY_INTERVAL` is the time between two readings.",
            example="time() - policyhub_inventory_timestamp_seconds",
        )
        self.in_sync = self._series.gauge(
            "in_sync",
            "1 when Security Hub has exactly the findings that the cluster reports",
            "cluster",
            detail="Stricter than the condition InSync: 0 while any change waits for confirmation, and while a source"
            " is not complete.",
            example="max_over_time(policyhub_in_sync[15m])",
        )
        self.archives_held = self._series.gauge(
            "archives_held",
            "findings that are no longer reported and not archived yet, by reason",
            "cluster",
            "reason",
            detail="[Archiving](archiving.md#what-holds-a-finding) explains the reasons.",
            example='policyhub_archives_held{reason!="archive_delay"} > 0',
        )
        self.findings_refused = self._series.gauge(
            "findings_refused",
            "findings that Security Hub rejects with their current content",
            "cluster",
            detail="Each is sent again when its content changes; the log names it (`finding_rejected`).",
            example="policyhub_findings_refused > 0",
        )

        self.findings_reworded = self._series.gauge(
            "findings_reworded",
            "findings whose text changes again and again while nothing else does: the text is sent once a day",
            "cluster",
            "source",
            "member",
            detail="`member` is the changing part of the producer's results: `message`, `category` or"
            " `properties.<name>`. At most 50 series a cluster, the most frequent ones. Changes of result or severity"
            " and new violations are never delayed. Open an issue about the producer, so that the part is ignored.",
            example="topk(5, policyhub_findings_reworded) > 0",
        )

    def _declare_left_out(self) -> None:
        self.violations_left_out = self._series.gauge(
            "violations_left_out",
            "violations that are ignored, or not sent now, because of a limit",
            "cluster",
            "limit",
            detail="`limit` is `report-results`, `report-bytes` (which counts reports), `namespace-limit`,"
            " `cluster-limit` or `namespace-imports` (changes that wait for the next day); see"
            " [limits](settings.md#limits).",
            example="sum by (cluster, limit) (policyhub_violations_left_out) > 0",
        )
        self.findings_quarantined = self._series.gauge(
            "findings_quarantined",
            "findings under the cluster's identity that have another cluster's uid and are not touched",
            "cluster",
            detail="[Conditions](conditions.md#identityconflict) says what to do. With more than 10 of one uid nothing"
            " is sent for the cluster.",
            example="policyhub_findings_quarantined > 0",
        )

    def _declare_delivery(self) -> None:
        self._series.section = "Delivery"
        self.findings_pending = self._series.gauge(
            "findings_pending",
            "changes that Security Hub has not confirmed yet, by queue",
            "cluster",
            "hub",
            "lane",
            detail="`lane` is `urgent` (new and archived violations), `changed`, `backlog` (a first listing) or"
            " `refresh`, in the order of sending. `unread` waits to be looked up in Security Hub. `failed` was failed"
            " by Security Hub and is tried again.",
            example="sum by (hub) (policyhub_findings_pending)",
        )
        self.oldest_pending_seconds = self._series.gauge(
            "oldest_pending_seconds",
            "waiting time of the oldest pending finding",
            "cluster",
            "hub",
            detail="0 if none waits.",
            example="max by (cluster) (policyhub_oldest_pending_seconds)",
        )
        self.delivery_seconds = self._series.histogram(
            "delivery_seconds",
            "time from the change in the cluster, as read, to the confirmed finding",
            "hub",
            "change",
            buckets=_DELIVERY_SECONDS,
            detail="`change` has the values of `policyhub_findings_sent_total`.",
            example="histogram_quantile(0.99, sum by (le, change) (rate(policyhub_delivery_seconds_bucket[1h])))",
        )
        self.findings_sent = self._series.counter(
            "findings_sent",
            "findings that Security Hub accepted, by the reason for sending",
            "hub",
            "change",
            detail="`change` is `new`, `changed`, `reactivated`, `archived` or `refreshed`.",
            example="sum by (change) (increase(policyhub_findings_sent_total[1d]))",
        )
        self.findings_rejected = self._series.counter(
            "findings_rejected",
            "findings that Security Hub rejected",
            "hub",
            "reason",
            detail="This includes those that are tried again. `reason` is AWS's code.",
            example="sum by (hub, reason) (increase(policyhub_findings_rejected_total[1h])) > 0",
        )

    def _declare_hub(self) -> None:
        self._series.section = "AWS"
        self.hub_requests = self._series.counter(
            "hub_requests",
            "AWS calls",
            "hub",
            "operation",
            "code",
            detail="`code` is `OK` or the error.",
            example="sum by (hub, operation, code) (rate(policyhub_hub_requests_total[5m]))",
        )
        self.hub_request_seconds = self._series.histogram(
            "hub_request_seconds",
            "duration of AWS calls",
            "hub",
            "operation",
            "code",
            buckets=_CALL_SECONDS,
            detail="This excludes the wait for the quota.",
            example="histogram_quantile(0.9, sum by (le, operation) (rate(policyhub_hub_request_seconds_bucket[5m])))",
        )
        self.hub_rate_limit = self._series.gauge(
            "hub_rate_limit",
            "current rate limit, in calls a second",
            "hub",
            "operation",
            detail="It is halved when the hub throttles, and returns to the share of the quota step by step.",
            example='policyhub_hub_rate_limit{operation="BatchImportFindings"}',
        )

    def _declare_sources(self) -> None:
        self._series.section = "Sources"
        self.watch_events = self._series.counter(
            "watch_events",
            "source objects read, by listing and watch",
            "cluster",
            "source",
            "change",
            detail="`source` is a resource with its group, such as `policyreports.wgpolicyk8s.io`. `change` is"
            " `semantic`, or `none` if no violation changed.",
            example="sum by (cluster, change) (rate(policyhub_watch_events_total[5m]))",
        )
        self.source_complete = self._series.gauge(
            "source_complete",
            "1 while the API is listed completely and watched, else 0 with the reason",
            "cluster",
            "source",
            "reason",
            detail="`reason` is empty, or one of [SourcesComplete](conditions.md#sourcescomplete). For"
            " `DiscoveryFailed` the source is the API group.",
            example="policyhub_source_complete == 0",
        )
        self.last_complete_listing = self._series.gauge(
            "last_complete_listing_timestamp_seconds",
            "when the API was last listed completely",
            "cluster",
            "source",
            detail="The setting `POLICYHUB_RELIST_INTERVAL` is the time between two listings; in between, the watch"
            " reports changes.",
            example="time() - policyhub_last_complete_listing_timestamp_seconds",
        )
        self.newest_result = self._series.gauge(
            "newest_result_timestamp_seconds",
            "the newest time in an engine's own objects",
            "cluster",
            "source",
            "engine",
            detail="For Gatekeeper it is the time of its last audit. If an engine has stopped, this time does not"
            " change. `engine` is the name that the engine gives itself; at most 50 for each source, and at most 10"
            " that only one namespace's reports name. An engine that no report names and that has no active finding"
            " is removed after the next listing.",
            example="time() - max by (cluster, engine) (policyhub_newest_result_timestamp_seconds)",
        )
        self.constraint_violations_unlisted = self._series.gauge(
            "constraint_violations_unlisted",
            "violations that Gatekeeper counts but does not list: they get no finding",
            "cluster",
            "constraint_kind",
            detail="Its audit lists 20 violations of a constraint by default; the flag"
            " `--constraint-violations-limit` raises that.",
            example="policyhub_constraint_violations_unlisted > 0",
        )
        self.source_objects_malformed = self._series.counter(
            "source_objects_malformed",
            "source objects, or results in them, that could not be used",
            "cluster",
            "source",
            "reason",
            example="sum by (cluster, source, reason) (increase(policyhub_source_objects_malformed_total[1h])) > 0",
        )
