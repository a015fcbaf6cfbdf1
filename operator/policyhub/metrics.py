"""Every metric that the operator exports, in one place: docs/metrics.md is generated from here (`dev.metrics`).

Labels are bounded: clusters, hubs (`account/Region`), sources, policies, severities, operations, codes; namespaces only
where the settings ask for them, objects never. What engines may name freely (policies, themselves) is folded above a
limit (`policyhub.gauges`). Every value of a label passes `series.label`: it is short and can be seen. Base units.
Gauges that describe a monitored cluster are removed when it is no longer watched.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from policyhub.series import AgeHistogram, Definition, Series

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
        """All of them, in the order of docs/metrics.md."""
        return self._series.definitions

    def forget_cluster(self, cluster: str) -> None:
        """Remove every series that describes a cluster that is no longer watched; what was counted goes on when it is
        watched again.
        """
        for gauge in self._series.clustered:
            gauge.remove_by_labels({"cluster": cluster})
        self.violation_age.set(cluster, {})

    def forget_source(self, cluster: str, origin: str) -> None:
        """Remove the counts of a source API that is no longer served."""
        for counter in (self.watch_events, self.source_objects_malformed):
            counter.remove_by_labels({"cluster": cluster, "source": origin})

    def forget_hub(self, hub: str) -> None:
        """Remove every series of a hub that nobody writes to any more."""
        for metric in self._series.hubs:
            metric.remove_by_labels({"hub": hub})

    def forget_status(self, cluster: str) -> None:
        """Remove every series of a cluster whose MonitoredCluster is gone."""
        self.forget_cluster(cluster)
        for counter in self._series.counted:
            counter.remove_by_labels({"cluster": cluster})

    def set_conditions(self, cluster: str, conditions: Iterable[tuple[str, str, str]]) -> None:
        """A cluster's conditions as (type, status, reason), all of them."""
        self.condition.remove_by_labels({"cluster": cluster})
        for told in conditions:
            self.condition.labels(cluster, *told).set(1)

    # -- the definitions ------------------------------------------------------------------------------------------

    def _declare_operator(self, version: str) -> None:
        self._series.section = "The operator"
        self.build_info = self._series.gauge(
            "build_info", "1, with the operator's version", "version", example="policyhub_build_info"
        )
        self.build_info.labels(version).set(1)
        self.leader = self._series.gauge(
            "leader",
            "1 while this replica is at work, 0 while it stands by",
            detail="The sum over all replicas is 1; 0 for some seconds while one takes over from another.",
            example="sum(policyhub_leader) != 1",
        )
        self.condition = self._series.gauge(
            "condition",
            "1 for each condition of a MonitoredCluster with the status and reason that it has now",
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
            " many at once) or `malformed`. Anything but 0 means that somebody in the cluster's network asks too much;"
            " the value `networkPolicy.metricsFrom` of the chart says who may ask.",
            example="sum by (reason) (increase(policyhub_http_refused_total[1h])) > 0",
        )
        self.status_write_failures = self._series.counter(
            "status_write_failures",
            "writes of a MonitoredCluster's status that the API server did not take",
            "cluster",
            "reason",
            detail="`reason` is the HTTP status, such as `403` or `422`, or `Unreachable`. Meanwhile"
            " `kubectl get monitoredclusters` shows an older state; `policyhub_condition` is up to date.",
            example="sum by (cluster, reason) (increase(policyhub_status_write_failures_total[15m])) > 0",
        )
        self.status_written = self._series.gauge(
            "status_written_timestamp_seconds",
            "when a MonitoredCluster's status was last written: its `lastHeartbeatTime`",
            "cluster",
            detail="It is written at least every 3 minutes, also when nothing has changed. A much older one shows what"
            " may be true no longer.",
            example="time() - policyhub_status_written_timestamp_seconds > 600",
        )
        self.discovery_clusters = self._series.gauge(
            "discovery_clusters",
            "EKS clusters that a ClusterDiscovery knows of",
            "discovery",
            "state",
            detail="`discovery` is its name. `state` is `found` (EKS lists them), `made` (it made their"
            " MonitoredCluster), `skipped` or `gone`; the status of the ClusterDiscovery says why.",
            example='policyhub_discovery_clusters{state="gone"} > 0',
        )

    def _declare_violations(self) -> None:
        self._series.section = "Violations in the clusters"
        self.violations = self._series.gauge(
            "violations",
            "violations that the cluster has now, one per finding",
            *("cluster", "source", "policy", "severity", *(("namespace",) if self.namespaces else ())),
            detail="`source` is the engine's own name, such as `kyverno`; `severity` is the engine's. At most 5,000"
            " series a cluster, and at most 500 that only one namespace's reports bring in: further ones are summed"
            " under the policy `(other)`. A value of more than 128 characters is cut and ends with a hash. With the"
            " setting `POLICYHUB_METRICS_NAMESPACES` there is also the label `namespace`, empty for objects without"
            " one.",
            example="sum by (cluster, severity) (policyhub_violations)",
        )
        self.violation_age = AgeHistogram(
            "policyhub_violation_age_seconds", "how old the violations are that the cluster has now"
        )
        self.registry.register(self.violation_age)
        self._series.define(
            "violation_age_seconds",
            "gauge histogram",
            ("cluster", "severity"),
            "how old the violations are that the cluster has now",
            "The age counts from the finding's `CreatedAt`, the first time that the violation was seen; a violation"
            " that was fixed and came back keeps it. `severity` is the finding's label in Security Hub, which an"
            " analyst may have changed. What analysts have suppressed is left out. Counted anew every 15 seconds or"
            " less often in large clusters. Buckets go up and down, so no `rate` is taken; count and sum are"
            " `policyhub_violation_age_seconds_gcount` and `…_gsum`.",
            "histogram_quantile(0.9, sum by (le, cluster) (policyhub_violation_age_seconds_bucket))",
        )
        self.violations_past_sla = self._series.gauge(
            "violations_past_sla",
            "violations that are older than their severity allows",
            "cluster",
            "severity",
            detail="The days are the setting `POLICYHUB_SLA_DAYS` or `spec.slaDays` of the MonitoredCluster; a severity"
            " without any has no series. Age, severity and what is left out are as of"
            " `policyhub_violation_age_seconds`.",
            example="sum by (cluster, severity) (policyhub_violations_past_sla)",
        )
        self.sla = self._series.gauge(
            "sla_seconds",
            "how old a violation of this severity may become",
            "cluster",
            "severity",
            example="policyhub_sla_seconds / 86400",
        )

    def _declare_findings(self) -> None:
        self._series.section = "Findings in Security Hub"
        self.findings = self._series.gauge(
            "findings",
            "active findings in Security Hub, by what analysts have done with them",
            "cluster",
            "hub",
            "workflow_status",
            "severity",
            detail="`workflow_status` is `NEW`, `NOTIFIED`, `SUPPRESSED` or `RESOLVED`; `severity` is the label in"
            " Security Hub, which an analyst may have changed. What analysts do is read with the inventory, so it is"
            " as old as `policyhub_inventory_timestamp_seconds` says; what the operator does counts at once.",
            example="sum by (cluster, workflow_status) (policyhub_findings)",
        )
        self.inventory = self._series.gauge(
            "inventory_timestamp_seconds",
            "when the last complete reading of the cluster's findings in Security Hub began",
            "cluster",
            "hub",
            detail="The setting `POLICYHUB_INVENTORY_INTERVAL` says how often they are read.",
            example="time() - policyhub_inventory_timestamp_seconds",
        )
        self.in_sync = self._series.gauge(
            "in_sync",
            "1 when Security Hub has exactly the findings that the cluster calls for",
            "cluster",
            detail="Stricter than the condition InSync: 0 as soon as one change is on its way, and while a source is"
            " not complete.",
            example="max_over_time(policyhub_in_sync[15m])",
        )
        self.archives_held = self._series.gauge(
            "archives_held",
            "findings that nothing calls for and that are not archived yet, by reason",
            "cluster",
            "reason",
            detail="The reasons are told in [archiving](archiving.md#what-holds-a-finding).",
            example='policyhub_archives_held{reason!="archive_delay"} > 0',
        )
        self.findings_refused = self._series.gauge(
            "findings_refused",
            "findings that Security Hub refuses as they are now",
            "cluster",
            detail="Each is sent again when its content changes; the log names it (`finding_rejected`).",
            example="policyhub_findings_refused > 0",
        )

        self.findings_reworded = self._series.gauge(
            "findings_reworded",
            "findings whose words change again and again while nothing else does: the words are sent once a day",
            "cluster",
            "source",
            "member",
            detail="`member` is what of the producer's results changes: `message`, `category` or `properties.<name>`."
            " At most 50 series a cluster, the most frequent ones. Result, severity and new violations are never held"
            " back. Tell us of the producer: what is known to change is left out.",
            example="topk(5, policyhub_findings_reworded) > 0",
        )

    def _declare_left_out(self) -> None:
        self.violations_left_out = self._series.gauge(
            "violations_left_out",
            "violations that were not taken, or are not sent now, by the limit that was reached",
            "cluster",
            "limit",
            detail="`limit` is `report-results`, `report-bytes` (here reports are counted), `namespace-limit`,"
            " `cluster-limit` or `namespace-imports` (changes that wait for the next day); see"
            " [limits](settings.md#limits).",
            example="sum by (cluster, limit) (policyhub_violations_left_out) > 0",
        )
        self.findings_quarantined = self._series.gauge(
            "findings_quarantined",
            "findings under the cluster's identity that carry another cluster's uid and are left alone",
            "cluster",
            detail="What to do is told in [conditions](conditions.md#identityconflict). More than 10 of one uid are a"
            " conflict: nothing of the cluster is sent.",
            example="policyhub_findings_quarantined > 0",
        )

    def _declare_delivery(self) -> None:
        self._series.section = "Delivery"
        self.findings_pending = self._series.gauge(
            "findings_pending",
            "findings that Security Hub does not have as wanted yet, by what they wait in",
            "cluster",
            "hub",
            "lane",
            detail="`lane` is `urgent` (new and archived violations), `changed`, `backlog` (a first listing) or"
            " `refresh`, in the order in which they are sent; `unread` (not known yet whether Security Hub has it) or"
            " `failed` (Security Hub failed it, it is tried again).",
            example="sum by (hub) (policyhub_findings_pending)",
        )
        self.oldest_pending_seconds = self._series.gauge(
            "oldest_pending_seconds",
            "how long the oldest pending finding has waited",
            "cluster",
            "hub",
            detail="0 when none waits.",
            example="max by (cluster) (policyhub_oldest_pending_seconds)",
        )
        self.delivery_seconds = self._series.histogram(
            "delivery_seconds",
            "from the change seen in the cluster to the acknowledged finding",
            "hub",
            "change",
            buckets=_DELIVERY_SECONDS,
            detail="`change` is as of `policyhub_findings_sent_total`.",
            example="histogram_quantile(0.99, sum by (le, change) (rate(policyhub_delivery_seconds_bucket[1h])))",
        )
        self.findings_sent = self._series.counter(
            "findings_sent",
            "findings that Security Hub accepted, by what they were sent for",
            "hub",
            "change",
            detail="`change` is `new`, `changed`, `reactivated`, `archived` or `refreshed`.",
            example="sum by (change) (increase(policyhub_findings_sent_total[1d]))",
        )
        self.findings_rejected = self._series.counter(
            "findings_rejected",
            "findings that were refused one by one",
            "hub",
            "reason",
            detail="Also those that are tried again. `reason` is AWS's code.",
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
            detail="Without the wait for the quota.",
            example="histogram_quantile(0.9, sum by (le, operation) (rate(policyhub_hub_request_seconds_bucket[5m])))",
        )
        self.hub_rate_limit = self._series.gauge(
            "hub_rate_limit",
            "calls a second that are allowed now",
            "hub",
            "operation",
            detail="Halved when the hub throttles, and back to the share of the quota step by step.",
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
            " `semantic`, or `none` where no violation changed.",
            example="sum by (cluster, change) (rate(policyhub_watch_events_total[5m]))",
        )
        self.source_complete = self._series.gauge(
            "source_complete",
            "1 while the API is seen whole and live, else 0 with the reason",
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
            detail="The setting `POLICYHUB_RELIST_INTERVAL` says how often that is done; the watch tells what changes"
            " meanwhile.",
            example="time() - policyhub_last_complete_listing_timestamp_seconds",
        )
        self.newest_result = self._series.gauge(
            "newest_result_timestamp_seconds",
            "the newest time that an engine's own objects name",
            "cluster",
            "source",
            "engine",
            detail="For Gatekeeper that of its last audit. An engine that has stopped stands still here while all else"
            " is well. `engine` is the name that it gives itself; at most 50 for each source, and at most 10 that only"
            " one namespace's reports bring in. One that no report names and that has no active finding is"
            " left out after the next listing.",
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
