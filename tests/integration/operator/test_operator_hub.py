"""A Security Hub that throttles, fails, refuses or is not there: nothing is lost, and a condition says what it is."""

import json
from collections.abc import Iterator

import pytest
from aiohttp import web

from dev.hub.process import HubProcess
from dev.stand import ACCOUNT
from tests.integration.operator.conftest import OTHER_ACCOUNT
from tests.integration.operator.gate import Gate
from tests.integration.operator.world import World, outcomes, report, result

IMPORT = "BatchImportFindings"


@pytest.fixture(scope="module")
def gate(hub: HubProcess) -> Iterator[Gate]:
    with Gate(hub.url) as gate:
        yield gate


@pytest.fixture(scope="module")
def live(home: World, gate: Gate) -> Iterator[World]:
    """An operator that reaches the hub through the gate. Every test has policies of its own."""
    home.clear()
    home.monitor(archiveDelay="1s")
    home.start(AWS_ENDPOINT_URL=gate.url)
    home.synced()
    yield home
    home.clear()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("throttle", {"count": 2}),
        ("error500", {"count": 1}),
        ("timeout_before", {"count": 1, "delay_seconds": 0.1}),
        ("timeout_after", {"count": 1, "delay_seconds": 0.1}),
        ("partial", {"count": 2, "share": 0.5}),
    ],
)
def test_calls_that_fail(live: World, kind: str, options: dict[str, float]) -> None:
    """Calls that are throttled, fail, get no answer before or after the write, or fail in part are made again until all
    is there, once: none is lost and no time moves.
    """
    names = [f"{kind}-{n}".replace("_", "-") for n in range(30)]
    live.hub.fault(kind, operation=IMPORT, **options)
    mark = live.mark()
    live.apply(*(report(name, result(kind)) for name in names))
    live.until(lambda: live.states(kind) == dict.fromkeys(names, "ACTIVE"), "all findings")
    live.until(lambda: len(live.calls(mark, IMPORT)) > options["count"], "a call that is let through")
    written = [entry["outcome"] for entry in live.journal(mark) if entry["outcome"] not in {"failed", "ignored"}]
    assert written == ["created"] * len(names)
    assert live.hub.stats()["moved"] == {}


def test_refused_finding(live: World, gate: Gate) -> None:
    """A finding that Security Hub refuses for good holds up no other; it is not sent again and again, the metric counts
    it and InSync says FindingsRejected, until other content is accepted.
    """

    def judge(request: web.Request, body: bytes) -> web.Response | bytes | None:
        if request.path != "/findings/import":
            return None
        findings = json.loads(body)["Findings"]
        bad = [finding["Id"] for finding in findings if "poison" in finding["Description"]]
        good = [finding for finding in findings if finding["Id"] not in bad]
        if not bad or not good:
            return web.json_response(refusal(bad, len(good))) if bad else None
        return json.dumps({"Findings": good}).encode()

    def rewrite(body: bytes, answer: bytes) -> bytes:
        if not body.startswith(b'{"Findings"'):
            return answer
        findings = json.loads(body)["Findings"]
        bad = [finding["Id"] for finding in findings if "poison" in finding["Description"]]
        return json.dumps(refusal(bad, len(findings) - len(bad))).encode() if bad else answer

    def rejected() -> float:
        return live.operator.metric("policyhub_findings_rejected_total", reason="InvalidInput")

    with gate.judged(judge, rewrite):
        live.apply(
            report("bad", result("refused", message="poison")),
            *(report(f"good-{n}", result("refused")) for n in range(5)),
        )
        live.until(lambda: len(live.of("refused")) == 5, "the others")
        told = live.await_condition("InSync", "False", reason="FindingsRejected")
        assert "1 finding" in told["message"]
        assert rejected() == 1
        mark = live.mark()
        live.apply(report("after", result("refused")))
        live.until(lambda: "after" in live.of("refused"), "a later finding")
        assert [call["findings"] for call in live.calls(mark, IMPORT)] == [1]
        assert rejected() == 1
        live.apply(report("bad", result("refused", message="wholesome")))
        live.until(lambda: live.states("refused").get("bad") == "ACTIVE", "the mended one")
        live.synced()


def refusal(bad: list[str], good: int) -> dict[str, object]:
    """What Security Hub answers where it refuses these."""
    failed = [{"Id": id_, "ErrorCode": "InvalidInput", "ErrorMessage": "data.X should match"} for id_ in bad]
    return {"FailedCount": len(bad), "SuccessCount": good, "FailedFindings": failed}


def test_hub_that_is_switched_off(live: World) -> None:
    """While Security Hub is off in the account HubReachable says so; when it is on again all that came meanwhile, and
    all that was fixed, is sent.
    """
    live.apply(report("fixed", result("off")))
    live.await_states("off", fixed="ACTIVE")
    live.hub.enable(on=False)
    live.apply(report("fixed", result("off", result="pass")), report("new", result("off")))
    told = live.await_condition("HubReachable", "False", reason="NotEnabled")
    assert ACCOUNT in told["message"]
    live.hub.enable(on=True)
    live.await_states("off", fixed="ARCHIVED", new="ACTIVE")
    live.well()


def test_permission_that_is_missing(live: World) -> None:
    """Without the permission to import, HubReachable names it; nothing is lost when it is granted."""
    fault = live.hub.fault("access_denied", operation=IMPORT)
    live.apply(report("web", result("denied")))
    told = live.await_condition("HubReachable", "False", reason="AccessDenied")
    assert f"securityhub:{IMPORT}" in told["message"]
    live.hub.clear_fault(fault)
    live.await_states("denied", web="ACTIVE")
    live.well()


def test_hub_off_at_start(world: World) -> None:
    """Where Security Hub is off at the start HubReachable says so; once it is on, all is sent, in one call."""
    world.hub.enable(on=False)
    world.apply(report("web", result("early")), report("api", result("early")))
    world.monitor()
    world.start()
    told = world.await_condition("HubReachable", "False", reason="NotEnabled")
    assert ACCOUNT in told["message"]
    assert world.condition("Connected")["status"] == "True"
    mark = world.mark()
    world.hub.enable(on=True)
    world.await_states("early", web="ACTIVE", api="ACTIVE")
    world.well()
    assert [call["findings"] for call in world.calls(mark, IMPORT)] == [2]
    assert outcomes(world.journal(mark)) == ["created", "created"]


def test_credentials_of_another_account(world: World) -> None:
    """With credentials of another account nothing is sent, and HubReachable names both accounts."""
    world.apply(report("web", result("foreign")))
    world.monitor()
    world.start(account=OTHER_ACCOUNT)
    told = world.await_condition("HubReachable", "False", reason="AccountMismatch")
    assert ACCOUNT in told["message"]
    assert OTHER_ACCOUNT in told["message"]
    assert world.condition("Ready")["reason"] == "AccountMismatch"
    # the sources were read as well, so that nothing but the account holds the finding back
    world.await_condition("SourcesComplete", "True")
    assert world.calls(operation=IMPORT) == []
