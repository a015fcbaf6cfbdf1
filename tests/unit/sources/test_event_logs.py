"""What tells of an event is left out by default, however its producer is called."""

import json

import msgspec
import pytest

from policyhub.api.monitoredcluster import Sources
from policyhub.model.violation import Subject, Violation
from policyhub.sources import reports
from policyhub.sources.event_logs import event_log_sources, is_event, is_event_log
from policyhub.sources.filter import Filter

RESULT = Violation(
    source="s",
    policy="p",
    rule="r",
    subject=Subject("", "Pod", "shop", "web"),
    discriminator="",
    result="fail",
    severity="HIGH",
    category="",
    message="m",
)


def violation_of(source: str, *keys: str) -> Violation:
    return msgspec.structs.replace(RESULT, source=source, properties=tuple((key, "1") for key in sorted(keys)))


@pytest.mark.parametrize(
    "violation",
    [
        # fjogeleit/tracee-polr-adapter at ba2670ee779c, pkg/kubernetes/mapper.go
        pytest.param(violation_of("Tracee"), id="Tracee"),
        # kubernetes-sigs/wg-policy-prototypes at 25056e1f3eb5, policy-report/kubearmor-adapter/pkg/report/create.go
        pytest.param(violation_of("KubeArmor Policy Engine"), id="KubeArmor"),
        # bakito/policy-report-publisher at aa48c9975bd1, internal/adapter/hubble/types.go
        pytest.param(violation_of("Blocked Egress", "created", "updated", "protocol"), id="flows of Cilium"),
        pytest.param(violation_of("cilium hubble"), id="in another case"),
        pytest.param(violation_of("Falco Sidekick"), id="a name that holds that of one"),
        pytest.param(violation_of("house rules", "created", "updated", "count"), id="how often it happened"),
        pytest.param(violation_of("house rules", "eventID", "process.name", "x"), id="a process and an event"),
        pytest.param(violation_of("house rules", "proc.cmdline", "evt.arg.path"), id="Falco's fields"),
        pytest.param(violation_of("house rules", "verb", "uri", "user"), id="an entry of an audit log"),
        pytest.param(violation_of("house gate", "operation", "userInfo"), id="a request that was refused"),
        pytest.param(violation_of("house gate", "operation", "user", "namespace"), id="who asked for what"),
    ],
)
def test_an_event_is_recognized(violation: Violation) -> None:
    """By its producer's name, else by two properties that no state has."""
    assert is_event(violation)
    assert not Filter(event_logs=False).admits(violation)
    assert Filter().admits(violation)


@pytest.mark.parametrize(
    "violation",
    [
        pytest.param(violation_of("kyverno", "pid", "eventID"), id="an engine that reports states, whatever it adds"),
        pytest.param(violation_of("Kube Bench", "pid", "processName"), id="a benchmark"),
        pytest.param(violation_of("house rules"), id="no properties"),
        pytest.param(violation_of("house rules", "created", "updated"), id="a state that has changed"),
        pytest.param(violation_of("house rules", "count", "port", "protocol"), id="a port that is open"),
        pytest.param(violation_of("house rules", "verb", "resource", "user"), id="a right that somebody has"),
        pytest.param(violation_of("Falco", "evt.time", "proc.name"), id="Falco, which spec.sources.exclude leaves out"),
        pytest.param(violation_of("JsPolicy"), id="jsPolicy, as Falco"),
        pytest.param(violation_of("CrowdStrike Falcon KAC"), id="a scanner whose name begins like Falco's"),
    ],
)
def test_a_state_is_not(violation: Violation) -> None:
    """A finding that is left out by mistake is one that nobody sees."""
    assert not is_event(violation)
    assert Filter(event_logs=False).admits(violation)


def test_a_source_may_be_known_by_its_name_alone() -> None:
    """For whom no alert of a silent engine is due."""
    assert [is_event_log(name) for name in ("Tracee", "kubearmor", "Falco", "kyverno", "house rules")] == [
        *(True, True, False, False, False)
    ]


@pytest.mark.parametrize(
    ("keys", "admitted"),
    [
        pytest.param([("pid", "eventID")], False, id="events"),
        pytest.param([("pid", "eventID"), ("image",)], True, id="one of them a state"),
        pytest.param([], True, id="a list that nothing is in"),
    ],
)
def test_of_a_list_of_events_nobody_is_told_that_it_is_cut(keys: list[tuple[str, ...]], *, admitted: bool) -> None:
    """Such logs keep the latest and count all; whoever does not ask for events does not ask how many are missing."""
    results = [
        {"policy": "p", "rule": str(n), "source": "house log", "result": "fail", "properties": dict.fromkeys(of, "1")}
        for n, of in enumerate(keys)
    ]
    report = {"metadata": {"name": "log", "namespace": "shop"}, "results": results, "summary": {"fail": 900}}
    parsed = reports.read("wgpolicyk8s.io", "policyreports", json.dumps(report).encode(), latest=1)
    assert Filter(event_logs=False).admits_notice(parsed) is admitted
    assert Filter().admits_notice(parsed)


def test_whose_quiet_is_no_silence() -> None:
    """Of each source all violations have to tell of events; of one that is known nothing is asked."""
    said_by: dict[str, list[tuple[str, ...]]] = {
        "house log": [("pid", "eventID"), ("pid", "eventID")],
        "house rules": [("pid", "eventID"), ("image",)],
        "kyverno": [("pid", "eventID")],
        "Tracee": [()],
    }
    results = [
        {"policy": "p", "rule": str(n), "source": source, "result": "fail", "properties": dict.fromkeys(keys, "1")}
        for source, each in said_by.items()
        for n, keys in enumerate(each)
    ]
    report = {"metadata": {"name": "log", "namespace": "shop"}, "results": results}
    parsed = reports.read("wgpolicyk8s.io", "policyreports", json.dumps(report).encode(), latest=1)
    assert event_log_sources(parsed) == {"house log", "Tracee"}


def test_they_are_left_out_by_default() -> None:
    """Whoever wants them says so."""
    assert not Sources().event_logs
    assert Sources.model_validate({"eventLogs": True}).event_logs
