"""What each step of the way costs, in this process and on one core: no API server, no hub, no network.

The reports are those of the other tables: five results each, some of them failing, or thirty results of 13 kB.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from botocore.awsrequest import AWSRequest
from botocore.session import Session
from prometheus_client import CollectorRegistry

from policyhub.findings import asff
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.hub.batch import MAX_FINDINGS, Batch
from policyhub.metrics import Metrics
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sync.ledger import Ledger
from policyhub.sync.view import View

GROUP, RESOURCE = "wgpolicyk8s.io", "policyreports"
Rows = list[tuple[str, str]]


def steps(reports: list[bytes]) -> Rows:
    """Seconds a finding takes in each step, and what that makes together."""
    rows: Rows = []
    spent: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        spent[name] = time.process_time() - started

    with step("decode and map (msgspec, sources)"):
        readings = [reader.read(GROUP, RESOURCE, raw, latest=2**40) for raw in reports]
    said = [violation for reading in readings for violation, _ in reading.violations]
    with step("id"):
        ids = [finding_id("bench", violation.identity) for violation in said]
    with step("digest"):
        digests = [digest(violation) for violation in said]
    cluster = asff.Cluster(
        id="bench",
        name="bench",
        arn=None,
        uid="uid",
        account="111122223333",
        region="eu-west-1",
        partition="aws",
        product_arn="arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default",
    )
    with step("render (findings.asff)"):
        bodies = [
            asff.render(
                violation,
                cluster=cluster,
                finding_id=id_,
                digest=hashed,
                origin=f"{RESOURCE}.{GROUP}",
                created_at=1,
                observed_at=1,
                updated_at=1,
                archived=False,
            )
            for violation, id_, hashed in zip(said, ids, digests, strict=True)
        ]
    with step("batch by count and bytes"):
        _batches(bodies)
    session = Session()
    session.set_credentials("AKIAEXAMPLE", "secret")
    client = session.create_client("securityhub", region_name="eu-west-1", endpoint_url="http://127.0.0.1:1")
    with step("serialise and sign (boto3)"):
        _boto3(client, bodies)
    total = sum(spent.values())
    for name, seconds in spent.items():
        rows.append((name, f"{seconds / len(said) * 1e6:.1f} µs a finding, {100 * seconds / total:.0f} %"))
    rows.append(("all steps but the network", f"{len(said) / total:,.0f} findings/s a core"))
    return rows


def _batches(bodies: list[dict[str, Any]]) -> None:
    batch = Batch()
    for body in bodies:
        if not batch.offer(body):
            batch = Batch()
            batch.offer(body)


def _boto3(client: Any, bodies: list[dict[str, Any]]) -> None:
    """What botocore does before a byte leaves."""
    model = client.meta.service_model.operation_model("BatchImportFindings")
    for start in range(0, len(bodies), MAX_FINDINGS):
        made = client._serializer.serialize_to_request({"Findings": bodies[start : start + MAX_FINDINGS]}, model)
        request = AWSRequest(method="POST", url="http://127.0.0.1:1/findings/import", data=made["body"])
        client._request_signer.sign("BatchImportFindings", request)


def rewrites(first: list[bytes], again: list[bytes]) -> float:
    """Reports a second and core that a view takes when they are rewritten with new timestamps only."""
    ledger = Ledger(cluster_id="bench", cluster_uid="uid", default_severity="MEDIUM", on_dirty=lambda: None)
    view = View(
        cluster="bench",
        group=GROUP,
        resource=RESOURCE,
        ledger=ledger,
        wanted=Filter(
            exclude_sources=(),
            include_namespaces=("*",),
            exclude_namespaces=(),
            results=frozenset({"fail", "warn", "error"}),
            minimum_severity="INFORMATIONAL",
            default_severity="MEDIUM",
        ),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: 1_790_000_000_000,
    )
    view.begin()
    for raw in first:
        view.upsert(raw)
    view.finish()
    ledger.take_part("", [], now=0)
    ledger.dirty.clear()
    started = time.process_time()
    for raw in again:
        view.upsert(raw)
    seconds = time.process_time() - started
    if ledger.dirty:
        raise RuntimeError("a rewrite without a change made something dirty")
    return len(again) / seconds


def table(report: Callable[..., dict[str, Any]]) -> Rows:
    """`report(number, failing=…, second=…)` makes a report of five results."""
    encode = msgspec.json.encode
    rows = steps([encode(report(n, failing=2, second=1)) for n in range(5_000)])
    for what, results in (("5 results", 1), ("30 results", 6)):
        first, again = (
            [encode(_wide(report(n, failing=2, second=second), results)) for n in range(5_000)] for second in (1, 2)
        )
        size = sum(map(len, again)) / len(again) / 1000
        rows.append((f"rewrite of {what}, {size:.1f} kB", f"{rewrites(first, again):,.0f} reports/s a core"))
    return rows


def _wide(document: dict[str, Any], times: int) -> dict[str, Any]:
    """As many times the results, by other policies."""
    wide = [
        {**line, "policy": f"{line['policy']}-{n}", "result": line["result"] if n == 0 else "pass"}
        for n in range(times)
        for line in document["results"]
    ]
    return {**document, "results": wide}
