"""A real run for the dashboards: API server, local Security Hub, operator, and a Prometheus that scrapes it.

It has two MonitoredClusters and an unreachable one, reports that are written, rewritten and fixed, an analyst who
triages, a hub that throttles for a while, and a held archive. Each panel gets data at least once.
"""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dev import crds, testbed
from dev.cluster import Cluster
from dev.company import Company
from dev.company.company import KINDS
from dev.company.report import rewrite
from dev.dashboards.prometheus import Prometheus, free_port
from dev.hub.process import HubProcess
from dev.testbed import Installed, Operator

ALPHA, BETA, LOST = "harbour", "harbour-high", "harbour-lost"
DAY = 86_400
WRITERS = 4
PATIENCE = 120.0
HUB = f"{testbed.ACCOUNT}/{testbed.REGION}"
VARIABLES: Mapping[str, Mapping[str, str]] = {
    "cluster.json": {"cluster": ALPHA, "hub": HUB},
    "fleet.json": {"cluster": ".*"},
}
"""Values of the dashboards' variables, by file."""
ALERTS = testbed.CHART / "alerts" / "policyhub.yaml"

Document = dict[str, Any]
Look = Callable[[Prometheus], None]


@contextmanager
def trial(
    cluster: Cluster, hub: HubProcess, folder: Path, *, copies: int, look: Look | None = None
) -> Iterator[Prometheus]:
    """Plays the run, and yields the Prometheus. `copies` of the company's reports make the first sync long enough;
    `look` is called during it.
    """
    company, installed = _prepare(cluster, folder)
    port = free_port()
    settings = {
        "POLICYHUB_DISCOVERY_INTERVAL": "0.5",
        "POLICYHUB_METRICS_PORT": str(port),
        "POLICYHUB_SLA_DAYS": "critical=7,high=21,medium=40,low=90",
    }
    documents = _documents(company, copies=copies)
    _write(cluster, documents)
    with Prometheus(folder, [f"127.0.0.1:{port}"], rules=ALERTS) as prometheus:
        _seen(prometheus, "up == 0")  # it scrapes from now on
        operator = Operator(installed, hub, settings=settings)
        with operator.start():
            if look is not None:
                _seen(prometheus, f"sum(policyhub_findings_sent_total) > {2 * len(documents)}", operator)
                look(prometheus)
            _synced(operator)
            _triage(hub)
            operator.stop()
            operator.start()  # at its start, it reads the analysts' changes
            _synced(operator)
            some = _life(cluster, hub, operator, documents)
            _seen(prometheus, f'policyhub_archives_held{{cluster="{ALPHA}"}}', operator)
            # A rate needs a scrape before the increase, so the findings are archived a second time.
            _seen(prometheus, 'policyhub_delivery_seconds_count{change="archived"}', operator)
            _write(cluster, map(_mended, rewrite(some, int(time.time()))))
            _seen(prometheus, 'rate(policyhub_delivery_seconds_count{change="archived"}[15s]) > 0', operator)
            yield prometheus


def _prepare(cluster: Cluster, folder: Path) -> tuple[Company, Installed]:
    """Fills the cluster before the operator starts."""
    values = {"clusterName": ALPHA, "monitoredCluster": {"spec": {"rollUp": False}}}
    installed = testbed.install(cluster, folder, values=values)
    company = Company.build()
    served = [*crds.report_apis(), *(crds.constraint(kind) for kind in KINDS)]
    cluster.apply([*served, *company.namespaces()])
    one = next(d for d in installed.documents if d["kind"] == "MonitoredCluster")
    missing = {"kubeconfigSecretRef": {"namespace": testbed.NAMESPACE, "name": "missing"}}
    cluster.apply([
        _named(one, BETA, minimumSeverity="high", mode="NoArchive"),
        _named(one, LOST, connection=missing),
    ])  # fmt: skip
    return company, installed


def _named(document: Document, name: str, **spec: Any) -> Document:
    return {**document, "metadata": {"name": name}, "spec": {**document["spec"], **spec}}


def _documents(company: Company, *, copies: int) -> list[Document]:
    """The company's documents and copies of its reports, with different ages."""
    now = int(time.time())
    own = company.documents(now=now)
    more = [
        _copied(document, number)
        for number in range(copies)
        for document in own
        if document["kind"] == "PolicyReport" and len(document["results"]) > 3
    ]
    aged = [
        rewrite([d], now - number * 5 % 90 * DAY) if "results" in d else [d] for number, d in enumerate([*own, *more])
    ]
    return [document for few in aged for document in few]


def _copied(document: Document, number: int) -> Document:
    """A copy of the report about another object."""
    fresh = copy.deepcopy(document)
    fresh["metadata"]["name"] += f"-{number}"
    fresh["scope"]["name"] += f"-{number}"
    fresh["metadata"].pop("ownerReferences", None)
    return fresh


def _write(cluster: Cluster, documents: Iterable[Document]) -> None:
    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(lambda document: cluster.apply([document]), documents))


def _synced(operator: Operator) -> None:
    def holds() -> bool:
        return all(operator.metric("policyhub_in_sync", cluster=name) == 1 for name in (ALPHA, BETA))

    testbed.until(holds, seconds=PATIENCE, what="both clusters to be in sync", operator=operator)


def _triage(hub: HubProcess) -> None:
    """Updates findings as an analyst does."""
    ids = [finding["Id"] for finding in hub.findings(record_state="ACTIVE")]
    for workflow, chosen in (("NOTIFIED", ids[::4]), ("SUPPRESSED", ids[1::9]), ("RESOLVED", ids[2::40])):
        for start in range(0, len(chosen), 100):
            hub.analyst(chosen[start : start + 100], workflow=workflow)


def _life(cluster: Cluster, hub: HubProcess, operator: Operator, documents: Sequence[Document]) -> list[Document]:
    """Plays the events of a day in seconds; returns the reports that were fixed and have relapsed."""
    now = int(time.time())
    reports = [document for document in documents if document["kind"] == "PolicyReport"]
    some = reports[: len(reports) // 4]
    fault = hub.fault("throttle", operation="BatchImportFindings", count=4)
    _write(cluster, rewrite(documents[: len(documents) // 2], now))
    _write(cluster, map(_mended, rewrite(some, now)))
    cluster.request("DELETE", cluster.path(reports[-1]))  # deleted without a pass: the archive is held
    broken = {**copy.deepcopy(reports[0]), "results": [7, None]}
    broken["metadata"]["name"] = "broken"
    _write(cluster, [broken])
    _until(operator, "policyhub_findings_sent_total", change="archived")
    hub.clear_fault(fault)
    hub.fault("partial", operation="BatchImportFindings", count=1, share=0.2)
    _write(cluster, rewrite(some, now + 1))
    _until(operator, "policyhub_findings_sent_total", change="reactivated")
    _until(operator, "policyhub_archives_held", cluster=ALPHA)
    _until(operator, "policyhub_violations_past_sla", cluster=ALPHA)
    return some


def _until(operator: Operator, metric: str, **labels: str) -> None:
    testbed.until(
        lambda: operator.metric(metric, **labels) > 0, seconds=PATIENCE, what=f"{metric} {labels}", operator=operator
    )


def _seen(prometheus: Prometheus, expr: str, operator: Operator | None = None) -> None:
    testbed.until(lambda: bool(prometheus.now(expr)), seconds=PATIENCE, what=expr, operator=operator)


def _mended(document: Document) -> Document:
    """The report with all results passing."""
    fresh = copy.deepcopy(document)
    for result in fresh["results"]:
        result["result"] = "pass"
    return fresh
