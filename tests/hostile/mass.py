"""Attacks by number: too many findings, objects, reports, texts, policies, events."""

import itertools
import time

from tests.hostile.checker import MARK, TENANT
from tests.hostile.scenario import Stage, scenario
from tests.hostile.tenant import owner, report, result, thing

OBJECTS = 88_000
"""As many names of five digits as a report of 1.5 MiB, etcd's limit, has room for."""
CHUNK = 1_000


def crowded(name: str, objects: int, *, policy: str = "crowd", kind: str = "PolicyReport") -> dict[str, object]:
    """A report of one result with so many objects, in as few bytes as possible."""
    entry = {
        "policy": policy,
        "result": "fail",
        "message": MARK,
        "resources": [{"name": f"{n:x}"} for n in range(objects)],
    }
    return report(name, entry, kind=kind)


@scenario("one result, 88,000 objects")
def amplify(stage: Stage) -> None:
    """A report just under the limit of etcd, of which every 15 bytes would be a finding."""
    stage.tenant.put(crowded("amplify", OBJECTS - 20_000))
    stage.tenant.put(crowded("amplify", OBJECTS))


@scenario(
    "a crowd before a restart",
    restart=True,
    open_="a start reads Security Hub first, 240 findings a second: the tenant's too, as many as he may have",
)
def crowd(stage: Stage) -> None:
    """The same, and then the operator is killed and starts again."""
    amplify(stage)


@scenario("flood of findings", seconds=20)
def flood(stage: Stage) -> None:
    """Five such reports of different policies in both APIs: hundreds of thousands of findings."""
    for number in range(5):
        if not stage.over:
            stage.tenant.put(crowded(f"flood-{number}", 70_000, policy=f"flood-{number}"))
    stage.tenant.put(crowded("flood-open", 70_000, policy="flood-open", kind="Report"))


@scenario("thousands of reports", seconds=20, says=())
def many_reports(stage: Stage) -> None:
    """Two thousand reports with twenty results each, written as fast as the API server takes them."""
    stage.tenant.put_all(
        report(f"many-{number}", *[result(f"many-{index}", f"o{number}") for index in range(20)])
        for number in range(2_000)
    )


@scenario("texts without end", seconds=40, says=())
def texts(stage: Stage) -> None:
    """A report whose results pass is rewritten 300 times, each time with a megabyte of texts that nobody has seen."""

    def rewrite(turn: int) -> None:
        results = [
            result(f"turn-{turn}-{n}-" + "p" * 900, "one", result="pass", rule=f"{turn}-{n}-" + "r" * 900)
            | {"category": f"{turn}-{n}-" + "c" * 500, "message": f"{turn}-{n}" + "m" * 1_000, "source": f"s{turn}-{n}"}
            for n in range(250)
        ]
        stage.tenant.rewrite(report("rewritten", *results))

    stage.tenant.repeat(rewrite, 300)


@scenario("rewriting at full speed", seconds=15, says=())
def rewriting(stage: Stage) -> None:
    """One report with two hundred results that fail, pass and fail again with other severities, without a pause."""
    outcomes = itertools.cycle(("fail", "pass", "warn", "fail", "skip", "error"))
    severities = itertools.cycle(("low", "high", "critical", "medium", "info"))

    def rewrite(turn: int) -> None:
        how, grave = next(outcomes), next(severities)
        results = [result(f"fast-{n}", "one", result=how, severity=grave, message=f"{MARK} {turn}") for n in range(200)]
        stage.tenant.rewrite(report("fast", *results))

    stage.tenant.repeat(rewrite, 100_000)


@scenario("fake policies", says=())
def policies(stage: Stage) -> None:
    """Ten thousand policies of a thousand engines that nobody has, with names that a metric's label should not bear."""
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
        stage.tenant.put(report(f"fake-{part}", *results))


@scenario("thousands of Jobs of one owner", seconds=25, says=())
def jobs(stage: Stage) -> None:
    """A CronJob with two thousand Jobs, a report about each, and then a change of one Job after the other."""
    above = stage.tenant.put(thing("CronJob", "busy")) or {"metadata": {"uid": ""}}
    by = owner("CronJob", "busy", uid=above["metadata"]["uid"], api="batch/v1")
    number = 2_000
    results = [result("job", f"busy-{n}", kind="Job", api="batch/v1") for n in range(number)]
    for part in range(0, number, 500):
        stage.tenant.put(report(f"jobs-{part}", *results[part : part + 500]))
    stage.tenant.put_all(thing("Job", f"busy-{n}", owner=by) for n in range(number))
    stage.tenant.repeat(
        lambda n: stage.tenant.patch("Job", f"busy-{n % number}", {"metadata": {"annotations": {"turn": str(n)}}}),
        100_000,
    )


@scenario("comings and goings", seconds=15, says=())
def churn(stage: Stage) -> None:
    """Pods and reports about them that come and go at once, and Kubernetes events without end."""

    def turn(number: int) -> None:
        name = f"brief-{number % 50}"
        stage.tenant.put(thing("Pod", name))
        stage.tenant.put(report(name, result("brief", name, kind="Pod")))
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"event-{number}", "namespace": TENANT},
            "involvedObject": {"kind": "MonitoredCluster", "name": "alpha", "namespace": TENANT},
            "reason": "AllWell",
            "message": f"{MARK} {time.time()}",
        }
        stage.tenant.put(event)
        stage.tenant.delete("PolicyReport", name)
        stage.tenant.delete("Pod", name)

    stage.tenant.repeat(turn, 100_000)
