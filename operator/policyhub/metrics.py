"""Every metric that the operator exports, in one place.

Labels are bounded: clusters, hubs (`account/Region`), sources, policies, severities, operations, codes. Base units.
Gauges that describe a monitored cluster are removed when it is no longer watched.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_DELIVERY_SECONDS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
_CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.leader = Gauge(
            "policyhub_leader", "1 while this replica is at work, 0 while it stands by", registry=registry
        )
        self.violations = Gauge(
            "policyhub_violations",
            "Violations that the cluster has now, one per finding",
            ["cluster", "source", "policy", "severity"],
            registry=registry,
        )
        self.findings_pending = Gauge(
            "policyhub_findings_pending",
            "Findings that Security Hub does not have as wanted yet, by what they wait in",
            ["cluster", "hub", "lane"],
            registry=registry,
        )
        self.oldest_pending_seconds = Gauge(
            "policyhub_oldest_pending_seconds",
            "How long the oldest pending finding has waited",
            ["cluster", "hub"],
            registry=registry,
        )
        self.delivery_seconds = Histogram(
            "policyhub_delivery_seconds",
            "From the change seen in the cluster to the acknowledged finding",
            ["hub", "change"],
            buckets=_DELIVERY_SECONDS,
            registry=registry,
        )
        self.in_sync = Gauge(
            "policyhub_in_sync",
            "1 when Security Hub has exactly the findings that the cluster calls for",
            ["cluster"],
            registry=registry,
        )
        self.findings_sent = Counter(
            "policyhub_findings_sent",
            "Findings that Security Hub accepted, by what they were sent for",
            ["hub", "change"],
            registry=registry,
        )
        self.findings_rejected = Counter(
            "policyhub_findings_rejected", "Findings that Security Hub refused", ["hub", "reason"], registry=registry
        )
        self.hub_requests = Counter(
            "policyhub_hub_requests", "AWS calls", ["hub", "operation", "code"], registry=registry
        )
        self.hub_request_seconds = Histogram(
            "policyhub_hub_request_seconds",
            "Duration of AWS calls",
            ["hub", "operation"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self.hub_rate_limit = Gauge(
            "policyhub_hub_rate_limit",
            "Calls a second that are allowed now, after what the hub throttled",
            ["hub", "operation"],
            registry=registry,
        )
        self.watch_events = Counter(
            "policyhub_watch_events",
            "Source objects read, by whether they changed anything of meaning",
            ["cluster", "source", "change"],
            registry=registry,
        )
        self.last_complete_listing = Gauge(
            "policyhub_last_complete_listing_timestamp_seconds",
            "When the API was last listed completely",
            ["cluster", "source"],
            registry=registry,
        )
        self.newest_result = Gauge(
            "policyhub_newest_result_timestamp_seconds",
            "The newest time that the engines' own objects name",
            ["cluster", "source"],
            registry=registry,
        )
        self.source_complete = Gauge(
            "policyhub_source_complete",
            "1 while the API is seen whole and live; by reason where it is not",
            ["cluster", "source", "reason"],
            registry=registry,
        )
        self.archives_held = Gauge(
            "policyhub_archives_held",
            "Findings without a caller that are not archived, by reason",
            ["cluster", "reason"],
            registry=registry,
        )
        self.constraint_violations_unlisted = Gauge(
            "policyhub_constraint_violations_unlisted",
            "Violations that Gatekeeper counts but does not list",
            ["cluster", "constraint_kind"],
            registry=registry,
        )
        self.source_objects_malformed = Counter(
            "policyhub_source_objects_malformed",
            "Source objects or results that could not be used",
            ["cluster", "source", "reason"],
            registry=registry,
        )

    def forget_cluster(self, cluster: str) -> None:
        """Remove every series of a cluster that is no longer watched."""
        for gauge in (
            self.violations,
            self.findings_pending,
            self.oldest_pending_seconds,
            self.in_sync,
            self.last_complete_listing,
            self.newest_result,
            self.source_complete,
            self.archives_held,
            self.constraint_violations_unlisted,
        ):
            gauge.remove_by_labels({"cluster": cluster})
