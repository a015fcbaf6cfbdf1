"""A Security Hub that throttles, fails, refuses or is disabled: nothing is lost, and a condition reports the
problem.
"""

import json
from collections.abc import Iterator

import pytest
from aiohttp import web

from dev.hub.process import HubProcess
from dev.testbed import ACCOUNT
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
    """An operator that reaches the hub through a proxy. Every test has its own policies."""
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
def test_failed_calls_are_repeated(live: World, kind: str, options: dict[str, float]) -> None:
    """Calls that are throttled, fail, get no answer before or after the write, or fail in part are repeated until every
    finding exists exactly once; no time moves.
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


def test_a_refused_finding(live: World, gate: Gate) -> None:
    """A finding that Security Hub rejects for good delays no other; it is not sent repeatedly, the metric counts it and
    InSync says FindingsRejected, until changed content is accepted.
    """

    def intercept(request: web.Request, body: bytes) -> web.Response | bytes | None:
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

    with gate.intercepted(intercept, rewrite):
        live.apply(
            report("bad", result("refused", message="poison")),
            *(report(f"good-{n}", result("refused")) for n in range(5)),
        )
        live.until(lambda: len(live.of("refused")) == 5, "the others")
        output = live.await_condition("InSync", "False", reason="FindingsRejected")
        assert "1 finding" in output["message"]
        assert rejected() == 1
        mark = live.mark()
        live.apply(report("after", result("refused")))
        live.until(lambda: "after" in live.of("refused"), "a later finding")
        assert [call["findings"] for call in live.calls(mark, IMPORT)] == [1]
        assert rejected() == 1
        live.apply(report("bad", result("refused", message="wholesome")))
        live.until(lambda: live.states("refused").get("bad") == "ACTIVE", "the fixed one")
        live.synced()


def refusal(bad: list[str], good: int) -> dict[str, object]:
    """Security Hub's answer to a request with these findings rejected."""
    failed = [{"Id": id_, "ErrorCode": "InvalidInput", "ErrorMessage": "data.X should match"} for id_ in bad]
    return {"FailedCount": len(bad), "SuccessCount": good, "FailedFindings": failed}


def test_security_hub_is_disabled_and_enabled(live: World) -> None:
    """While Security Hub is disabled in the account HubReachable says so; when it is enabled again, all new violations
    and all fixes are sent.
    """
    live.apply(report("fixed", result("off")))
    live.await_states("off", fixed="ACTIVE")
    live.hub.enable(on=False)
    live.apply(report("fixed", result("off", result="pass")), report("new", result("off")))
    output = live.await_condition("HubReachable", "False", reason="NotEnabled")
    assert ACCOUNT in output["message"]
    live.hub.enable(on=True)
    live.await_states("off", fixed="ARCHIVED", new="ACTIVE")
    live.well()


def test_a_missing_permission(live: World) -> None:
    """Without the permission to import, HubReachable names it; nothing is lost when it is granted."""
    fault = live.hub.fault("access_denied", operation=IMPORT)
    live.apply(report("web", result("denied")))
    output = live.await_condition("HubReachable", "False", reason="AccessDenied")
    assert f"securityhub:{IMPORT}" in output["message"]
    live.hub.clear_fault(fault)
    live.await_states("denied", web="ACTIVE")
    live.well()


def test_security_hub_is_disabled_at_the_start(world: World) -> None:
    """HubReachable says so; once it is enabled, everything is sent in one call."""
    world.hub.enable(on=False)
    world.apply(report("web", result("early")), report("api", result("early")))
    world.monitor()
    world.start()
    output = world.await_condition("HubReachable", "False", reason="NotEnabled")
    assert ACCOUNT in output["message"]
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
    output = world.await_condition("HubReachable", "False", reason="AccountMismatch")
    assert ACCOUNT in output["message"]
    assert OTHER_ACCOUNT in output["message"]
    assert world.condition("Ready")["reason"] == "AccountMismatch"
    # the sources are read too, so that only the account holds the finding back
    world.await_condition("SourcesComplete", "True")
    assert world.calls(operation=IMPORT) == []
