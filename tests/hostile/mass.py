"""Attacks by quantity: too many findings, objects, reports, texts, policies, events."""

import itertools
import time

from tests.hostile.checker import MARK, TENANT
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import owner, report, result, workload

OBJECTS = 88_000
"""How many names of five digits fit into a report of 1.5 MiB, etcd's limit."""
CHUNK = 1_000


def crowded(name: str, objects: int, *, policy: str = "crowd", kind: str = "PolicyReport") -> dict[str, object]:
    """A report of one result with this many objects, in as few bytes as possible."""
    entry = {
        "policy": policy,
        "result": "fail",
        "message": MARK,
        "resources": [{"name": f"{n:x}"} for n in range(objects)],
    }
    return report(name, entry, kind=kind)


@scenario("one result, 88,000 objects")
def amplify(context: Context) -> None:
    """A report just under etcd's limit, of which every 15 bytes would be a finding."""
    context.tenant.put(crowded("amplify", OBJECTS - 20_000))
    context.tenant.put(crowded("amplify", OBJECTS))


@scenario(
    "a crowd before a restart",
    restart=True,
    open_="a start reads Security Hub first, 240 findings a second: the tenant's too, as many as he may have",
)
def crowd(context: Context) -> None:
    """The same report, and the operator is killed and restarted."""
    amplify(context)


@scenario("flood of findings", seconds=20)
def flood(context: Context) -> None:
    """Five such reports of different policies in both APIs: hundreds of thousands of findings."""
    for number in range(5):
        if not context.over:
            context.tenant.put(crowded(f"flood-{number}", 70_000, policy=f"flood-{number}"))
    context.tenant.put(crowded("flood-open", 70_000, policy="flood-open", kind="Report"))


@scenario("thousands of reports", seconds=20, expected_texts=())
def many_reports(context: Context) -> None:
    """Two thousand reports with twenty results each, written as fast as the API server accepts them."""
    context.tenant.put_all(
        report(f"many-{number}", *[result(f"many-{index}", f"o{number}") for index in range(20)])
        for number in range(2_000)
    )


@scenario("texts without end", seconds=40, expected_texts=())
def texts(context: Context) -> None:
    """A report whose results pass is rewritten 300 times, each time with a megabyte of new texts."""

    def rewrite(turn: int) -> None:
        results = [
            result(f"turn-{turn}-{n}-" + "p" * 900, "one", result="pass", rule=f"{turn}-{n}-" + "r" * 900)
            | {"category": f"{turn}-{n}-" + "c" * 500, "message": f"{turn}-{n}" + "m" * 1_000, "source": f"s{turn}-{n}"}
            for n in range(250)
        ]
        context.tenant.rewrite(report("rewritten", *results))

    context.tenant.repeat(rewrite, 300)


@scenario("rewriting at full speed", seconds=15, expected_texts=())
def rewriting(context: Context) -> None:
    """One report with two hundred results that fail, pass and fail again with other severities, without a pause."""
    outcomes = itertools.cycle(("fail", "pass", "warn", "fail", "skip", "error"))
    severities = itertools.cycle(("low", "high", "critical", "medium", "info"))

    def rewrite(turn: int) -> None:
        how, grave = next(outcomes), next(severities)
        results = [result(f"fast-{n}", "one", result=how, severity=grave, message=f"{MARK} {turn}") for n in range(200)]
        context.tenant.rewrite(report("fast", *results))

    context.tenant.repeat(rewrite, 100_000)


@scenario("fake policies", expected_texts=())
def policies(context: Context) -> None:
    """Results of ten thousand policies of a thousand unknown engines, with names that are unsuitable for metric
    labels.
    """
    severities = itertools.cycle(("info", "low", "medium", "high", "critical"))
    for part in range(10):
        results = [
            result(
                f'fake "{part * CHUNK + n}"\\ ' + "p" * 100,
                "one",
                source=f"engine {(part * CHUNK + n) % 1_000} {{}}",
                severity=next(severities),
            )
            for n in range(CHUNK)
        ]
        context.tenant.put(report(f"fake-{part}", *results))


@scenario("thousands of Jobs of one owner", seconds=25, expected_texts=())
def jobs(context: Context) -> None:
    """A CronJob with two thousand Jobs, a report about each, then changes of one Job after the other."""
    above = context.tenant.put(workload("CronJob", "busy")) or {"metadata": {"uid": ""}}
    by = owner("CronJob", "busy", uid=above["metadata"]["uid"], api="batch/v1")
    number = 2_000
    results = [result("job", f"busy-{n}", kind="Job", api="batch/v1") for n in range(number)]
    for part in range(0, number, 500):
        context.tenant.put(report(f"jobs-{part}", *results[part : part + 500]))
    context.tenant.put_all(workload("Job", f"busy-{n}", owner=by) for n in range(number))
    context.tenant.repeat(
        lambda n: context.tenant.patch("Job", f"busy-{n % number}", {"metadata": {"annotations": {"turn": str(n)}}}),
        100_000,
    )


@scenario("comings and goings", seconds=15, expected_texts=())
def churn(context: Context) -> None:
    """Pods and reports about them that are created and deleted at once, and a stream of Kubernetes events."""

    def turn(number: int) -> None:
        name = f"brief-{number % 50}"
        context.tenant.put(workload("Pod", name))
        context.tenant.put(report(name, result("brief", name, kind="Pod")))
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"event-{number}", "namespace": TENANT},
            "involvedObject": {"kind": "MonitoredCluster", "name": "alpha", "namespace": TENANT},
            "reason": "AllWell",
            "message": f"{MARK} {time.time()}",
        }
        context.tenant.put(event)
        context.tenant.delete("PolicyReport", name)
        context.tenant.delete("Pod", name)

    context.tenant.repeat(turn, 100_000)
