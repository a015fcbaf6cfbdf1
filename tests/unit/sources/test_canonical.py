"""An equal violation reads equal at each scan, as its producer writes it; see the table in model/engines.py."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.findings.digest import digest
from policyhub.model.engines import PRODUCERS
from policyhub.model.producers import Producer
from policyhub.model.violation import Violation
from policyhub.sources import canonical, reports


def read(source: str, **members: Any) -> Violation:
    result = {"policy": "p", "rule": "r", "source": source, "result": "fail", "message": "m", **members}
    report = {
        "metadata": {"name": "r", "namespace": "shop"},
        "scope": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web"},
        "results": [result],
    }
    ((violation, _),) = reports.read(
        "wgpolicyk8s.io", "policyreports", json.dumps(report).encode(), latest=1
    ).violations
    return violation


def properties(source: str, **written: str) -> dict[str, str]:
    return dict(read(source, properties=written).properties)


def pod_security(*reasons: str) -> str:
    return f"Validation rule 'r' failed. It violates PodSecurity \"restricted:latest\": {''.join(reasons)}"


NON_ROOT = (
    "(Forbidden reason: runAsNonRoot != true, field error list: [spec.containers[0].securityContext: Required value])"
)
A, B = "spec.containers[0].ports[0].hostPort is forbidden", "spec.containers[1].ports[0].hostPort is forbidden"
PORT = "Forbidden reason: hostPort, field error list: "

PS = "root    {pid}  {parent}  {busy} {since} ?        00:{spent} /usr/bin/kubelet --config=/etc/kubelet/config"
EXCEPTION = '{"exception": "<Connection object at 0x7f5c3c1d%s>: at 2026-11-01T%s", "rows": %s}'
REASON = 'failed to run: "ps", output: "%s\\n", error: exit status 1'
AGAIN = [
    # kyverno/kyverno v1.19.1: pkg/pss/evaluate.go makes a list of a map (exemptExclusions) and writes it into the
    # message (FormatChecksPrint), pkg/utils/report/results.go into properties (addPodSecurityProperties).
    pytest.param(
        "kyverno",
        {"message": pod_security(NON_ROOT, f"({PORT}[{A}, {B}])")},
        {"message": pod_security(f"({PORT}[{B}, {A}])", NON_ROOT)},
        id="kyverno: reasons, and fields of several containers",
    ),
    pytest.param(
        "kyverno",
        {"message": pod_security(f"({PORT}[{A}, forbidden values found: [NET_ADMIN SYS_TIME]])")},
        {"message": pod_security(f"({PORT}[{A}, forbidden values found: [SYS_TIME NET_ADMIN]])")},
        id="kyverno: values",
    ),
    pytest.param(
        "kyverno",
        {"message": pod_security("({Allowed:false ForbiddenReason:a})", "({Allowed:false ForbiddenReason:b})")},
        {"message": pod_security("({Allowed:false ForbiddenReason:b})", "({Allowed:false ForbiddenReason:a})")},
        id="kyverno 1.10: reasons",
    ),
    pytest.param(
        "kyverno",
        {"properties": {"controls": "b,a", "exceptions": "y,x"}},
        {"properties": {"controls": "a,b", "exceptions": "x,y"}},
        id="kyverno: controls and exceptions",
    ),
    pytest.param(
        "kyverno",
        {"properties": {"controlsJSON": '[{"ID":"a","Name":"A","Images":["x:1","y:1"]},{"ID":"b","Name":"B"}]'}},
        {"properties": {"controlsJSON": '[{"Name":"B","ID":"b"},{"Images":["y:1","x:2"],"ID":"a","Name":"A"}]'}},
        id="kyverno: JSON by members, and another image after a rollout",
    ),
    pytest.param(
        "kyverno",
        {"message": "failed to verify: read tcp 10.0.0.1:41234->10.0.0.2:443: i/o timeout"},
        {"message": "failed to verify: read tcp 10.0.0.1:55123->10.0.0.2:443: i/o timeout"},
        id="kyverno: the port that a call came from",
    ),
    pytest.param(
        "KyvernoImageValidatingPolicy",
        {"message": "x509: expired: current time 2026-11-28T08:00:00Z is after 2026-01-01T00:00:00Z"},
        {"message": "x509: expired: current time 2026-11-29T09:00:00Z is after 2026-01-01T00:00:00Z"},
        id="kyverno: the time at which a certificate was looked at",
    ),
    pytest.param(
        "kubewarden",  # kubewarden/capabilities-psp-policy at 084d57ec8a08, src/validate.rs: a HashSet as `{:?}`
        {"message": 'PSP capabilities policies doesn\'t allow these capabilities to be added: {"SYS_TIME", "BPF"}'},
        {"message": 'PSP capabilities policies doesn\'t allow these capabilities to be added: {"BPF", "SYS_TIME"}'},
        id="kubewarden: a set of Rust",
    ),
    pytest.param(
        "kubewarden",  # kubewarden/safe-labels-policy at 47343cfaabea, validate.go: mapset's ToSlice
        {"message": "The following labels are denied: b,a. The following mandatory labels are missing: owner,team"},
        {"message": "The following labels are denied: a,b. The following mandatory labels are missing: team,owner"},
        id="kubewarden: a set of Go",
    ),
    pytest.param(
        "Trivy ConfigAudit",  # fjogeleit/trivy-operator-polr-adapter at af2d82cf8e37, pkg/adapters/auditr/mapper.go
        {"properties": {"0. message": "Container 'a'", "1. message": "Container 'b'"}},
        {"properties": {"0. message": "Container 'b'", "1. message": "Container 'a'"}},
        id="trivy: messages of several containers",
    ),
    pytest.param(
        "netchecks",  # hardbyte/netchecks at ef2cb6228e99, netcheck/checks/dns.py
        {
            "properties": {
                "data": '{"A": ["10.0.0.2", "10.0.0.1"], "expiration": 1.5, "response": "id 1", "startTimestamp": "a"}',
                "spec": '{"type": "dns", "host": "h"}',
            }
        },
        {
            "properties": {
                "data": '{"response": "id 2", "A": ["10.0.0.1", "10.0.0.2"], "expiration": 9.5, "endTimestamp": "b"}',
                "spec": '{"host": "h", "type": "dns"}',
            }
        },
        id="netchecks: times, a packet and the order of addresses",
    ),
    pytest.param(
        "netchecks",  # netcheck/checks/http.py: str() of an exception of requests; postgres.py: rows without an order
        {"properties": {"data": EXCEPTION % ("2d90", "08:00:00Z", '[{"a": 1}, {"a": 2}]')}},
        {"properties": {"data": EXCEPTION % ("aaaa", "08:10:00.5Z", '[{"a": 2}, {"a": 1}]')}},
        id="netchecks: addresses of objects, nested lists of objects",
    ),
    *(
        pytest.param(
            source,  # policy-report/kube-bench-adapter/pkg/report/create.go at 25056e1f3eb5
            {
                "properties": {
                    "index": "4.2.1",
                    "actual_value": PS.format(pid=1, parent=2, busy=6, since="Mar16", spent="05:54") + "\n",
                }
            },
            {
                "properties": {
                    "index": "4.2.1",
                    "actual_value": PS.format(pid=7, parent=8, busy=1, since="10:22", spent="06:01"),
                }
            },
            id=f"{source}: what ps -ef said",
        )
        for source in ("Kube Bench", "CIS Vulnerability")
    ),
    pytest.param(
        "Kube Bench",
        {
            "properties": {
                "index": "1",
                "reason": REASON % PS.format(pid=1, parent=2, busy=6, since="a", spent="05:54"),
            }
        },
        {
            "properties": {
                "index": "1",
                "reason": REASON % PS.format(pid=3, parent=4, busy=5, since="b", spent="05:55"),
            }
        },
        id="kube-bench: within a reason",
    ),
    pytest.param(
        "Kube Bench",
        {
            "properties": {
                "index": "1",
                "actual_value": "root   11  0.5  1.2 123456 4567 ?  Ssl  Mar16  12:34 kubelet --x",
            }
        },
        {
            "properties": {
                "index": "1",
                "actual_value": "root   12  0.7  1.3 123556 4569 ?  Ssl  10:22  12:35 kubelet --x",
            }
        },
        id="kube-bench: what ps aux said",
    ),
    pytest.param(
        "KubeArmor Policy Engine",  # policy-report/kubearmor-adapter/pkg/report/create.go at 25056e1f3eb5
        {
            "message": "seen 3 times, pid=7",
            "properties": {"pid": "438", "host_pid": "1", "updated_time": "2026-11-01T08:00:00Z"},
        },
        {
            "message": "seen 4 times, pid=9",
            "properties": {"pid": "439", "host_pid": "2", "updated_time": "2026-11-01T08:05:00Z"},
        },
        id="kubearmor: times, pids and counters, in its message too",
    ),
    pytest.param(
        "Blocked Egress",  # bakito/policy-report-publisher at aa48c9975bd1, internal/report/report.go
        {"properties": {"protocol": "TCP", "count": "7", "updated": "2026-11-01T08:00:00Z"}},
        {"properties": {"protocol": "TCP", "count": "8", "updated": "2026-11-01T09:00:00Z"}},
        id="hubble: how often and when last",
    ),
    pytest.param(
        "insights",  # stolostron/insights-client at 9122035ace38, pkg/processor/reportprocessor.go
        {"properties": {"extra_data": '{"nodes":["b","a"],"type":"rule"}'}},
        {"properties": {"extra_data": '{"type":"rule","nodes":["a","b"]}'}},
        id="insights: JSON in a string",
    ),
]


@pytest.mark.parametrize(("source", "one", "other"), AGAIN)
def test_the_next_scan_costs_nothing(source: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal violations and equal digests, so neither work nor an import."""
    assert read(source, **one) == read(source, **other)
    assert digest(read(source, **one)) == digest(read(source, **other))


@pytest.mark.parametrize(
    ("source", "one", "other"),
    [
        pytest.param(
            "kyverno",
            {"message": pod_security(NON_ROOT, f"({PORT}[{A}])")},
            {"message": pod_security(NON_ROOT, f"({PORT}[{B}])")},
            id="another container",
        ),
        pytest.param(
            "kyverno",
            {"message": pod_security(f"({PORT}[{A}, {B}])")},
            {"message": pod_security(f"({PORT}[{A}])")},
            id="one field less",
        ),
        pytest.param(
            "kyverno",
            {"properties": {"controlsJSON": '[{"ID":"a"},{"ID":"b"}]'}},
            {"properties": {"controlsJSON": '[{"ID":"a"}]'}},
            id="one control less",
        ),
        pytest.param(
            "kyverno",
            {"message": "expires 2026-11-01T08:00:00Z"},
            {"message": "expires 2026-11-02T08:00:00Z"},
            id="a time that a policy speaks of",
        ),
        pytest.param(
            "kubewarden",
            {"message": "stages are out of order, expected: build,test got: test,build"},
            {"message": "stages are out of order, expected: build,test got: build,test"},
            id="an order that another policy speaks of",
        ),
        pytest.param(
            "netchecks",
            {"properties": {"data": '{"columns": ["a", "b"]}'}},
            {"properties": {"data": '{"columns": ["b", "a"]}'}},
            id="a list in an order",
        ),
        pytest.param(
            "netchecks",
            {"properties": {"data": '{"status-code": 200}'}},
            {"properties": {"data": '{"status-code": 500}'}},
            id="another answer",
        ),
        pytest.param(
            "Kube Bench",
            {"properties": {"index": "1", "actual_value": "permissions=600"}},
            {"properties": {"index": "1", "actual_value": "permissions=666"}},
            id="what a check has found",
        ),
        pytest.param(
            "Trivy ConfigAudit",
            {"properties": {"0. message": "a", "1. message": "b"}},
            {"properties": {"0. message": "a", "1. message": "c"}},
            id="another message",
        ),
        pytest.param(
            "somebody",
            {"properties": {"controls": "b,a", "data": '{"startTimestamp": 1}'}},
            {"properties": {"controls": "a,b", "data": '{"startTimestamp": 2}'}},
            id="of a producer that nobody knows",
        ),
    ],
)
def test_what_differs_is_told(source: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Nothing that a reader could act on is lost in its canonical form."""
    assert digest(read(source, **one)) != digest(read(source, **other))


def test_two_properties_that_mean_the_same_are_both_kept() -> None:
    """One of them under the name that others use, whichever is written first."""
    written = {"resolution": "R", "recommendation": "C", "primaryURL": "https://a", "PrimaryURL": "https://b"}
    normalized = properties("somebody", **written)
    assert sorted(normalized.values()) == ["C", "R", "https://a", "https://b"]
    assert {"remediation", "primaryLink"} <= normalized.keys()
    assert properties("somebody", **dict(reversed(written.items()))) == normalized


@pytest.mark.parametrize("text", ["the limit is: 10,000 of 2,000", "see: https://example.com/?rules=b,a"])
def test_a_number_or_a_link_is_no_set(text: str) -> None:
    """Two of Kubewarden's policies are known to list sets between commas; others write what they like."""
    assert read("kubewarden", message=text).message == text


def test_arguments_of_processes_are_not_sent() -> None:
    """`ps` shows what nobody needs and some keep secret; what else a check has found stays."""
    line = PS.format(pid=1, parent=2, busy=6, since="Mar16", spent="05:54")
    normalized = properties(
        "Kube Bench", index="1", actual_value=f"{line}\npermissions=600", audit="/bin/ps -fC kubelet"
    )
    assert normalized == {"index": "1", "actual_value": "permissions=600", "audit": "/bin/ps -fC kubelet"}


def test_the_canonical_form_comes_before_a_text_is_cut() -> None:
    """Of a long message in another order another part would be cut."""
    fields = [f"spec.containers[{number}].securityContext.capabilities.drop: Required value" for number in range(90)]
    reasons = [f"(Forbidden reason: {name}, field error list: [{', '.join(fields)}])" for name in ("a", "b")]
    assert read("kyverno", message=pod_security(*reasons)) == read("kyverno", message=pod_security(*reasons[::-1]))


@pytest.mark.parametrize("text", ["{", '{"a":}', "[" * 2_000, "null", "", '"text"', "7"])
def test_what_is_no_json_stays_as_it_is(text: str) -> None:
    """Or is empty, which no property is."""
    assert properties("netchecks", spec=text, other="x") in ({"other": "x"}, {"other": "x", "spec": text.strip()})


@pytest.mark.parametrize("producer", PRODUCERS.values(), ids=list(PRODUCERS))
@given(
    text=st.text(max_size=200), key=st.sampled_from(["0. message", "1. message", "data", "controls", "actual_value"])
)
def test_whatever_is_written_has_one_form(producer: Producer, text: str, key: str) -> None:
    """It never fails, and what is canonical stays so."""
    once = canonical.properties(producer, {key: text})
    assert canonical.properties(producer, once) == once
    message = canonical.worded(producer, text)
    assert canonical.worded(producer, message) == message


def test_a_text_without_end_is_left_alone() -> None:
    """What one result may cost is bounded."""
    text = "pid=1 " * 4_000
    assert canonical.worded(PRODUCERS["Tracee"], text) == text
    assert canonical.properties(PRODUCERS["netchecks"], {"spec": f"[{text}]"}) == {"spec": f"[{text}]"}


def test_only_what_the_table_names_is_looked_at() -> None:
    """The properties of a producer that has none of these are the very same object: reading costs nothing more."""
    written = {"process": "background scan", "standard": "baseline"}
    assert canonical.properties(PRODUCERS["kyverno"], written) is written
    assert canonical.properties(Producer(), written) is written


def test_a_violation_of_another_kind_keeps_its_digest() -> None:
    """What the table does not name reads as it always did."""
    plain = read("kyverno", message="validation error: x", properties={"standard": "baseline"})
    assert plain.message == "validation error: x"
    assert msgspec.structs.replace(plain, properties=()) == read("kyverno", message="validation error: x")
