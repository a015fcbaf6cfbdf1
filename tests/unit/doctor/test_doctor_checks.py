"""The doctor's checks: the result and message for given facts, without any call."""

import ast
import json
import math
import re
import shlex
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.cli.main import app
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster import conditions, remedies
from policyhub.cluster import engines as rules
from policyhub.cluster.formatting import span
from policyhub.cluster.snapshot import Snapshot
from policyhub.doctor import access, cluster, engines, formatting, hub, network, others, quota, run
from policyhub.doctor.result import CHECKS, CheckResult, exit_code, fine, problem, unchecked
from policyhub.kube.discovery import Discovery
from policyhub.kube.resource import Resource
from policyhub.metrics.definitions import Metrics
from policyhub.model.source_apis import CONSTRAINTS, OPEN_REPORTS, POLICY_REPORTS
from policyhub.model.violation import ParsedReport, SourceKey
from policyhub.settings import Settings
from policyhub.sync.guard import GuardHold

NOW = 1_800_000_000.0
HOUR = 3600
ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/doctor.md").read_text("utf-8")
REPORTS = Resource(POLICY_REPORTS, "v1alpha2", "policyreports", "PolicyReport", namespaced=True)


def monitored(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> MonitoredCluster:
    given = {"connection": {"inCluster": {}}, **(spec or {})}
    return MonitoredCluster.model_validate({"metadata": {"name": "alpha"}, "spec": given, "status": status})


def ready(status: str, reason: str, *, generation: int = 1, listed: float | None = None) -> dict[str, Any]:
    output = {"type": "Ready", "status": status, "reason": reason, "message": "so it is"}
    since = datetime.fromtimestamp(NOW, UTC).isoformat()
    last = None if listed is None else datetime.fromtimestamp(listed, UTC).isoformat()
    return {
        "conditions": [{**output, "observedGeneration": generation, "lastTransitionTime": since}],
        "sources": [{"resource": "policyreports", "lastListed": last}],
    }


# -- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "code"), [("", 0), ("f", 0), ("fp", 1), ("fu", 2), ("fup", 1)], ids=lambda value: str(value) or "none"
)
def test_the_exit_code_is_that_of_the_worst_result(states: str, code: int) -> None:
    """A problem is 1, whatever could not be checked besides; only unchecked results are 2."""
    made = {
        "f": fine("clock", "", "x"),
        "p": problem("clock", "", "x", remedy="y"),
        "u": unchecked("clock", "", "x"),
    }
    assert exit_code([made[state] for state in states]) == code


def test_text_and_json_have_the_same_content() -> None:
    """Every problem has what was found, its consequence and its fix; a good result has one line."""
    verdicts = [
        fine("clock", "alpha", "all right"),
        problem("engines", "alpha", "kyverno " + "is very silent " * 12, remedy="start it"),
        unchecked("quotas", "", "nobody told"),
    ]
    text = formatting.text(verdicts)
    lines = text.splitlines()
    assert lines[0] == "fine     clock               alpha: all right"
    assert all(len(line) <= 118 for line in lines)
    assert " ".join(text.split()).count("is very silent") == 12
    assert f"why {CHECKS['engines'][:40]}" in " ".join(text.split())
    assert "fix start it" in " ".join(text.split())
    assert lines[-1] == "1 problem, 1 not checked, 1 fine"
    output = json.loads(formatting.document(verdicts))
    assert [(v["check"], v["about"], v["state"]) for v in output["results"]] == [
        ("clock", "alpha", "fine"),
        ("engines", "alpha", "problem"),
        ("quotas", "", "unchecked"),
    ]
    assert (output["exitCode"], output["counts"]) == (1, {"problem": 1, "unchecked": 1, "fine": 1})


def test_the_page_has_every_check_and_flag() -> None:
    """docs/doctor.md has each check once in its table, and each flag of both commands."""
    rows = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row in CHECKS] == list(CHECKS)
    for command in ("doctor", "archive-others"):
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"}).stdout
        for flag in {word for word in shown.replace("│", " ").split() if word.startswith("--")} - {"--help"}:
            assert f"`{flag}`" in PAGE or f"`{flag} " in PAGE, flag


# -- access -----------------------------------------------------------------------------------------------------------


def test_each_missing_permission_has_its_own_remedy() -> None:
    """Missing permissions for roll-up are distinguished from those for reading."""
    needs = access.of_monitored(monitored())
    allowed = {need: need.part not in {"roll-up", "namespaces"} for need in needs}
    output = access.evaluate("alpha", allowed)
    assert [(v.state, v.remedy.split()[3]) for v in output] == [
        ("problem", "rbac.namespaces;"),
        ("problem", "rbac.rollUp;"),
    ]
    assert "list pods, watch pods, list replicasets.apps" in output[1].found


def test_only_permissions_of_enabled_features_are_needed() -> None:
    """A disabled feature needs no permission; kubeconfig, Lease and our own objects need theirs."""
    spec = {"sources": {"gatekeeper": False, "openReports": False}, "rollUp": False, "enrichment": False}
    needs = access.of_monitored(monitored(spec))
    asked = {str(need) for need in needs if need.part == "existence"}
    assert asked >= {"get deployments.apps", "get services", "list services", "list clusterpolicies.kyverno.io"}
    assert not {need for need in needs if need.resource in {"secrets", "configmaps"}}
    assert {str(need) for need in needs if need.part != "existence"} == {
        "list policyreports.wgpolicyk8s.io",
        "watch policyreports.wgpolicyk8s.io",
        "list clusterpolicyreports.wgpolicyk8s.io",
        "watch clusterpolicyreports.wgpolicyk8s.io",
        "get namespaces kube-system",
        "list namespaces",
        "watch namespaces",
    }
    connection = {"connection": {"kubeconfigSecretRef": {"namespace": "hub", "name": "beta"}}}
    home = {str(need) for need in access.of_home([monitored(connection)], lease="policyhub/one")}
    assert home == {
        "list monitoredclusters.policyhub.dev",
        "watch monitoredclusters.policyhub.dev",
        "patch monitoredclusters/status.policyhub.dev",
        "create events in default",
        "get leases.coordination.k8s.io one in policyhub",
        "patch leases.coordination.k8s.io one in policyhub",
        "create leases.coordination.k8s.io in policyhub",
        "get secrets beta in hub",
    }


# -- the cluster ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("major", "minor", "state"), [("1", "24", "problem"), ("1", "25", "fine"), ("1", "31+", "fine"), ("", "", "fine")]
)
def test_versions(major: str, minor: str, state: str) -> None:
    """A version below the CRD's minimum is a problem; EKS's plus sign and a missing number are not."""
    version = cluster._Version(git_version=f"v{major}.{minor}", major=major, minor=minor)
    assert cluster.evaluate_version("alpha", "https://x", version).state == state


@pytest.mark.parametrize(("ahead", "reported"), [(59, "differ by 59 s"), (61, "61 s ahead of"), (-300, "300 s behind")])
def test_clocks(ahead: float, reported: str) -> None:
    """A difference of a minute is reported with its direction."""
    assert reported in cluster.evaluate_clock("x", datetime.fromtimestamp(NOW, UTC), NOW + ahead).found


def test_sources() -> None:
    """Unknown, terminating and missing APIs are different problems; a served API is named with its version."""
    constraint = Resource(CONSTRAINTS, "v1beta1", "k8srepos", "K8sRepos", namespaced=False)
    served = Discovery(
        served=(REPORTS, constraint), unknown={OPEN_REPORTS: "403"}, terminating=frozenset({REPORTS.group_resource})
    )
    output = cluster.evaluate_sources("alpha", served)
    assert [v.state for v in output] == ["problem", "problem", "fine"]
    assert (
        output[2].found == "served and read: policyreports.v1alpha2.wgpolicyk8s.io, 1 kind of constraints.gatekeeper.sh"
    )
    assert [v.state for v in cluster.evaluate_sources("alpha", Discovery(served=(), unknown={}))] == ["problem"]


@pytest.mark.parametrize(
    ("status", "generation", "state", "reported"),
    [
        (None, 1, "problem", "no status yet"),
        (ready("True", "AllWell"), 1, "fine", "Ready is True, AllWell: so it is"),
        (
            ready("True", "AllWell"),
            2,
            "problem",
            "describes generation 1 of the object, which has generation 2",
        ),
        (ready("False", "AccessDenied"), 1, "problem", "Ready is False, AccessDenied"),
        (ready("Unknown", "Connecting"), 1, "unchecked", "Ready is Unknown, Connecting"),
        (ready("True", "AllWell", listed=NOW - 2 * HOUR), 1, "fine", "Ready is True"),
        (ready("True", "AllWell", listed=NOW - 4 * HOUR), 1, "problem", "last listed the cluster 4.0 h ago"),
    ],
    ids=["none", "well", "older generation", "unwell", "unknown", "listed", "gone"],
)
def test_the_operators_status(status: dict[str, Any] | None, generation: int, state: str, reported: str) -> None:
    """The status counts for as long as a running operator could have written it."""
    given = monitored(status=status)
    output = cluster.evaluate_operator("alpha", given, generation, now=NOW, relist_interval=HOUR)
    assert (output.state, reported in output.found) == (state, True)


# -- engines ----------------------------------------------------------------------------------------------------------


def states(seen: engines.Seen, **silent_after: float) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for verdict in engines.evaluate("alpha", seen, now=NOW, silent_after={**rules.SILENT_AFTER, **silent_after}):
        found.setdefault(verdict.check, []).append(verdict.state)
    return found


def test_an_unchanged_time_makes_no_engine_silent() -> None:
    """Trivy's adapter gives results the time of Trivy's report, which may be months ago."""
    seen = engines.Seen()
    old = int(NOW) - 2_000 * int(HOUR)
    times = (("Trivy Compliance", old), ("Trivy ConfigAudit", old), ("house rules", int(NOW)))
    key = SourceKey(POLICY_REPORTS, "clusterpolicyreports", "", "r")
    seen.take(ParsedReport(key=key, violations=(), created=None, complete=True, newest_by=times))
    assert states(seen)["engines"] == ["fine"] * 3


def test_results_in_either_api_count() -> None:
    """An engine's newest result counts, in whichever API group it is; the other group is superseded then."""

    def seen(*, newest: int) -> engines.Seen:
        made = engines.Seen()
        for group, at in ((POLICY_REPORTS, int(NOW) - 5 * HOUR), (OPEN_REPORTS, newest)):
            made.newest["kyverno", group] = at
            made.superseded.note(group, "kyverno", "shop", at)
        return made

    assert states(seen(newest=int(NOW))) == {"engines": ["fine"], "superseded-reports": ["problem"]}
    assert states(seen(newest=int(NOW) - 4 * HOUR)) == {"engines": ["problem"], "superseded-reports": ["fine"]}


def test_the_limits_equal_the_alerts() -> None:
    """The doctor and the alerts call the same engines silent."""
    alerts: dict[str, str] = {}
    for group in yaml.safe_load((ROOT / "charts/policyhub/alerts/policyhub.yaml").read_text("utf-8"))["groups"]:
        alerts |= {rule["alert"]: " ".join(rule["expr"].split()) for rule in group["rules"] if "alert" in rule}
    hourly, others = alerts["PolicyhubEngineSilent"].split(" or ")
    assert hourly.endswith(f"> {rules.SILENT_AFTER['kyverno'] / HOUR:.0f} * 3600")
    assert others.endswith(f"> {rules.OTHERS_SILENT_AFTER / HOUR:.0f} * 3600")
    stale = alerts["PolicyhubGatekeeperAuditStale"]
    assert stale.endswith(f"> {rules.SILENT_AFTER['gatekeeper'] / 60:.0f} * 60")
    named = re.findall(r"\(\?i:([^)]*)\)", hourly)[0].replace(".*", "").split("|")
    timed = {engine for engine, most in rules.SILENT_AFTER.items() if most < math.inf}
    assert {*named} == timed - {"gatekeeper"}
    left_out = re.findall(r"\(\?i:([^)]*)\)", others)[0].replace(".*", "").split("|")
    assert {*left_out} == rules.SILENT_AFTER.keys()


@pytest.mark.parametrize(
    ("engine", "hours"),
    [
        ("kyverno", 3),
        ("KyvernoValidatingPolicy", 3),
        ("gatekeeper", 0.5),
        ("Trivy Vulnerability", math.inf),
        ("CIS Kube Bench", math.inf),
        ("Tetragon", math.inf),
        ("trivy x", 48),
        ("Falco", math.inf),
    ],
)
def test_engines_match_by_prefix(engine: str, hours: float) -> None:
    """All of Kyverno's kinds of policy are Kyverno; a name on the command line is another prefix."""
    assert rules.most_of({**rules.SILENT_AFTER, "Trivy X": 48 * HOUR}, engine) == hours * HOUR


def test_engines_without_usable_times() -> None:
    """Trivy's adapter keeps the time of a report that is rewritten in place, and event logs are quiet while nothing
    happens: neither is a problem, unless a limit is configured; excluded engines are not missed.
    """
    seen = engines.Seen(newest={("Trivy Compliance", POLICY_REPORTS): int(NOW) - 900 * HOUR})
    (output, *_) = engines.evaluate("alpha", seen, now=NOW)
    assert (output.state, output.found) == (
        "fine",
        "the newest result of Trivy Compliance is 37 d 12 h old, but its age does not show whether the engine works",
    )
    assert states(seen, **{"Trivy Compliance": 48 * HOUR})["engines"] == ["problem"]
    other = engines.Seen(newest={("x", POLICY_REPORTS): int(NOW) - 900 * HOUR}, unlisted={"k/a": (1, 1)})
    assert [v.state for v in engines.evaluate("alpha", other, now=NOW)] == ["problem", "fine"]
    assert [v.state for v in engines.evaluate("alpha", other, now=NOW, exclude=(" X", "Gatekeeper"))] == ["fine"]


def test_the_doctor_and_the_conditions_agree() -> None:
    """A problem for one is a problem for the other, with the same remedy and the same text except for the exact age."""
    seen = engines.Seen(
        newest={("kyverno", POLICY_REPORTS): int(NOW) - 73 * HOUR, ("kubewarden", OPEN_REPORTS): int(NOW)},
        audited={"k/a": int(NOW) - 2 * HOUR},
        unlisted={"k/a": (20, 1)},
    )
    output = [verdict for verdict in engines.evaluate("alpha", seen, now=NOW) if verdict.state == "problem"]
    condition = rules.problems(seen.engines(), now=NOW)
    assert [verdict.check for verdict in output] == ["engines", "gatekeeper-limit", "gatekeeper-audit"]
    assert {verdict.found.replace(" 1 h old", " old") for verdict in output} == {
        trouble.message for trouble in condition
    }
    for trouble in condition:
        assert any(verdict.remedy.startswith(trouble.remedy) for verdict in output)


def test_held_archives_are_a_problem() -> None:
    """The doctor says what is held, and how to approve it; otherwise that nothing is held."""
    hold = GuardHold(since=SteadyMs(1), lost=279, total=613)
    snapshot = Snapshot(name="alpha", identity="a", account="1", region="r", guarded={"kyverno": hold})
    message = conditions.guarded(snapshot).message
    held = {"type": "ArchiveHeld", "status": "True", "reason": "TooManyLost", "message": message}
    status = {"conditions": [{**held, "lastTransitionTime": datetime.fromtimestamp(NOW, UTC).isoformat()}]}
    (output,) = cluster.evaluate_holds("alpha", monitored(status=status))
    assert output.state == "problem"
    assert output.found.startswith("kyverno: 279 of 613 active findings are no longer reported")
    assert "policyhub archive alpha --approve=kyverno" in output.remedy
    status["conditions"][0]["status"] = "False"
    assert [v.state for v in cluster.evaluate_holds("alpha", monitored(status=status))] == ["fine"]
    assert cluster.evaluate_holds("alpha", monitored()) == []


@pytest.mark.parametrize(
    ("status", "state"), [("True", ["problem"]), ("False", ["fine"]), ("Unknown", []), ("", [])], ids=str
)
def test_an_identity_conflict_is_a_problem(status: str, state: list[str]) -> None:
    """The doctor repeats the condition's message."""
    reported = {"type": "IdentityConflict", "status": status, "reason": "TwoIdentities", "message": "two of them"}
    moment = datetime.fromtimestamp(NOW, UTC).isoformat()
    seen = monitored(status={"conditions": [{**reported, "lastTransitionTime": moment}]} if status else None)
    output = cluster.evaluate_identity("alpha", seen)
    assert [verdict.state for verdict in output] == state
    assert all(verdict.found == "two of them" for verdict in output)


def test_no_message_names_a_file_of_the_repository() -> None:
    """An admin has the program, not its sources, so each remedy is complete."""
    for path in sorted((ROOT / "operator/policyhub").rglob("*.py")):
        texts = [n.value for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant)]
        reported = [text for text in texts if isinstance(text, str) and re.search(r"(?<!/)\bdocs/\w+\.md", text)]
        documented = [node for node in _docstrings(path) if node]
        assert [text for text in reported if text not in documented] == [], path


def test_every_problem_has_its_remedy_from_the_table() -> None:
    """Every problem or unchecked result takes its remedy from the one table; each entry of it is used."""
    used: set[str] = set()
    package = ROOT / "operator/policyhub"
    for path in (package / "cli/doctor.py", *sorted((package / "doctor").rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"problem", "unchecked"}
            ):
                assert "remedy" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "DOCTOR":
                used |= {str(n.value) for n in ast.walk(node.slice) if isinstance(n, ast.Constant) and n.value}
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                assert not isinstance(node.value, ast.JoinedStr), f"{path}:{node.value.lineno}"
                assert not isinstance(node.value, ast.Constant), f"{path}:{node.value.lineno}"
    assert used == remedies.DOCTOR.keys()


def _docstrings(path: Path) -> list[str]:
    """Every docstring, also of members."""
    tree = ast.parse(path.read_text("utf-8"))
    return [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def test_nothing_about_gatekeeper_without_constraints() -> None:
    """Without a constraint neither audit nor limit is mentioned; reports without a time are reported as such."""
    assert states(engines.Seen(objects=3)) == {"engines": ["fine"], "superseded-reports": ["fine"]}
    assert states(engines.Seen()) == {"superseded-reports": ["fine"]}


def test_an_unreadable_object_is_unchecked() -> None:
    """It is reported beside the results of the others."""
    assert states(engines.Seen(problems=["a", "b"]))["engines"] == ["unchecked"]


def test_long_lists_are_shortened() -> None:
    """Five names of a list are printed, the others counted; no limit above Gatekeeper's maximum is recommended."""
    seen = engines.Seen(unlisted={f"k/{n}": (20, 600) for n in range(7)}, audited={"k/0": int(NOW)})
    output = engines.truncated("alpha", seen.engines())
    assert output.found.startswith("4200 violations are not listed: k/0 lists 20 of 620, ")
    assert output.found.endswith("k/4 lists 20 of 620 and 2 more")
    assert output.remedy.endswith("to 500; 500 is the most that Gatekeeper recommends")


@pytest.mark.parametrize(
    ("seconds", "reported"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3602, "1 h"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_spans(seconds: float, reported: str) -> None:
    """A duration has its greatest unit and the next one."""
    assert span(seconds) == reported


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "state", "reported"),
    [
        ({}, "fine", "no proxy"),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "10.0.0.1"}, "fine", "reached directly: 10.0.0.1"),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, "problem", "the range 10.0.0.0/8"),
        ({"HTTPS_PROXY": "http://p:3128"}, "fine", "reached directly: nothing"),
        ({"HTTPS_PROXY": "http://p:3128", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "problem", "of this cluster"),
        ({"https_proxy": "p:3128", "no_proxy": "*"}, "problem", "not an http or https URL"),
    ],
    ids=["none", "direct", "range", "outside", "inside", "no url"],
)
def test_proxies(environ: dict[str, str], state: str, reported: str) -> None:
    """Only a proxy that would not work is a problem: an external API server may well be behind a proxy."""
    (output,) = network.check_proxy(environ, {"home": "https://10.0.0.1:443"})
    assert (output.state, reported in output.found) == (state, True)


def test_bundles(tmp_path: Path) -> None:
    """A folder and a bundle are fine, a file without PEM is not."""
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    assert [v.state for v in network.check_certificates({"SSL_CERT_FILE": str(wrong)})] == ["problem"]
    assert [v.state for v in network.check_certificates({"AWS_CA_BUNDLE": str(tmp_path)})] == ["fine"]
    assert [v.state for v in network.check_certificates({})] == ["fine"]


# -- Security Hub -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "settings", "status", "expected"),
    [
        ({"accountId": "1" * 12, "region": "eu-west-1"}, {"account_id": "2" * 12}, None, ("1" * 12, "eu-west-1")),
        ({}, {"account_id": "2" * 12, "region": "us-east-1"}, None, ("2" * 12, "us-east-1")),
        (
            {"region": "eu-west-1"},
            {"account_id": "2" * 12, "region": "us-east-1"},
            {"accountId": "3" * 12, "region": "eu-west-3"},
            ("3" * 12, "eu-west-3"),
        ),
        ({"accountId": "1" * 12}, {}, None, None),
    ],
    ids=["spec", "settings", "status", "unknown"],
)
def test_the_destination_of_findings(
    spec: dict[str, str], settings: dict[str, str], status: dict[str, str] | None, expected: tuple[str, str] | None
) -> None:
    """From the operator's status, else the spec, else the settings; incomplete values are ignored."""
    given = monitored({"securityHub": spec}, {"hub": status} if status else None)
    found = run.hub_of(given, Settings.load(**settings))
    assert (None if found.missing else found.place) == expected


def test_the_callers_account() -> None:
    """The account decides, not the name."""
    caller = {"Arn": "arn:aws:sts::1:assumed-role/policyhub/x", "Account": "111122223333"}
    assert hub.evaluate_caller("x", "111122223333", caller).state == "fine"
    output = hub.evaluate_caller("x", "444455556666", caller)
    assert (output.state, "iam::444455556666:role" in output.remedy) == ("problem", True)


@pytest.mark.parametrize(
    ("finding", "name"),
    [
        (
            {"Resources": [{"Details": {"Other": {"Report": "a/b", "Policy": "p", "Result": "fail"}}}]},
            "policy-reporter",
        ),
        (
            {"Id": "arn:aws:eks:x", "ProductFields": {"ProviderName": "kyverno", "ProviderVersion": "1.0"}},
            "securityhub-k8s-policy-integration",
        ),
        ({"ProductName": "Own Tool", "GeneratorId": "x/y"}, "Own Tool"),
        ({"GeneratorId": "x/y"}, "x"),
        ({}, "unknown"),
    ],
    ids=["policy-reporter", "sample", "product", "generator", "nothing"],
)
def test_tools_are_recognised_by_their_findings(finding: dict[str, Any], name: str) -> None:
    """Known tools by fields that only they write, others by their own name."""
    assert others.tool(finding) == name


def test_an_archived_finding_of_another_tool() -> None:
    """UpdatedAt increases even if it is in the future; analysts' and AWS's members are not sent."""
    stored = {
        "Id": "1",
        "UpdatedAt": "2030-01-01T00:00:00.000Z",
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "SUPPRESSED"},
        "Severity": {"Label": "LOW"},
        "ProcessedAt": "2026-01-01T00:00:00Z",
        "ProductFields": {"aws/x": "1", "Own": "2"},
        "FindingProviderFields": {"Severity": {"Label": "HIGH"}},
        "Resources": [{"Type": "Other", "Id": "x"}],
    }
    sent = others.archived(stored, now=WallMs(int(NOW * 1000)))
    assert (sent["RecordState"], sent["UpdatedAt"]) == ("ARCHIVED", "2030-01-01T00:00:00.001Z")
    assert not sent.keys() & {"Workflow", "Severity", "ProcessedAt"}
    assert sent["ProductFields"] == {"Own": "2"}


def pace(**rates: float) -> list[CheckResult]:
    """As the operator's metrics have it, by operation."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for operation, rate in rates.items():
        metrics.hub_rate_limit.labels("1/eu", operation).set(rate)
        metrics.hub_requests.labels("1/eu", operation, "OK").inc(7)
        metrics.hub_requests.labels("1/eu", operation, "TooManyRequestsException").inc(3)
    return quota.evaluate(registry.collect(), share=0.8)


def test_a_reduced_rate_is_a_problem() -> None:
    """A rate below its ceiling means that others use the quota; at its ceiling old throttling is irrelevant."""
    slow, well = pace(BatchImportFindings=4.0, GetFindings=2.4)
    assert (slow.state, well.state) == ("problem", "fine")
    assert slow.found == "BatchImportFindings: 3 of 10 calls were throttled; the rate limit is 4 of 8 calls a second"
    assert [v.state for v in pace()] == ["unchecked"]


def test_counts_of_other_tools() -> None:
    """The tool with the most findings comes first, and each has its command; with further pages, numbers are
    minimums.
    """
    place = ("1", "111122223333", "eu-west-1")
    output = others.evaluate(place[0], place[1], place[2], Counter({"a": 1, "policy-reporter": 9}), more=True)
    assert output[0].found == "policy-reporter has at least 9 active findings about Kubernetes policies"
    assert "switch its target securityHub off" in output[0].remedy
    assert "policyhub archive-others --account-id 111122223333 --region eu-west-1 -- a" in output[1].remedy


@pytest.mark.parametrize("name", ["a'; reboot; '", "$(reboot)", "-x", "a\nb", "\x1b[2J", "Tool of ours"])
def test_a_tools_name_is_quoted_in_commands(name: str) -> None:
    """A tool can choose any name."""
    called = others.tool({"ProductName": name})
    (output,) = others.evaluate("1", "111122223333", "eu-west-1", Counter({called: 1}), more=False)
    *_, last = shlex.split(output.remedy.rpartition(": ")[2])
    assert last == called
    assert called.isprintable()


@pytest.mark.parametrize("odd", [None, 1, "x", [], [None], ["x"], {"a": 1}])
def test_a_malformed_finding_of_a_tool_has_a_name(odd: Any) -> None:
    """Whatever Security Hub stores."""
    assert others.tool({"ProductFields": odd, "Resources": odd, "ProductName": "", "GeneratorId": None}) == "unknown"


def test_many_names_do_not_fill_the_output() -> None:
    """Unknown tools and engines come last, and are counted."""
    tools = Counter({f"tool-{number}": 1 for number in range(5_000)})
    assert len(others.evaluate("1", "111122223333", "eu-west-1", tools, more=False)) < 30
    seen = engines.Seen(objects=1)
    seen.newest = {(f"a{number}", "wgpolicyk8s.io"): 1 for number in range(5_000)} | {("kyverno", "wgpolicyk8s.io"): 1}
    output = [verdict for verdict in engines.evaluate("prod", seen, now=100_000.0) if verdict.check == "engines"]
    assert len(output) < 40
    assert "kyverno" in output[0].found


def test_text_output_is_printable() -> None:
    """Whatever a check repeats."""
    output = formatting.text([problem("engines", "prod", "a\x1b[2Jb\r\u202ec" + "x" * 90_000, remedy="d\x9be")])
    assert all(line.isprintable() for line in output.splitlines())
    assert len(output) < 6_000


@pytest.mark.parametrize("minor", ["9" * 5_000, "²", "29+", ""])
def test_hostile_versions(minor: str) -> None:
    """Endless digits, or none."""
    version = cluster._Version(git_version="v1\x1b" + "9" * 5_000, major="1", minor=minor)
    assert len(cluster.evaluate_version("prod", "https://x", version).found) < 200


def test_a_producer_with_changing_texts_is_named() -> None:
    """With the member that changes, for each cluster."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    assert [v.state for v in quota.evaluate_wording(registry.collect())] == ["fine"]
    metrics.findings_reworded.labels("beta", "scanner", "properties.pid").set(1)
    metrics.findings_reworded.labels("beta", "scanner", "message").set(12)
    (output,) = quota.evaluate_wording(registry.collect())
    assert (output.check, output.about, output.state) == ("wording", "beta", "problem")
    assert output.found == "scanner changes message of 12 findings, scanner changes properties.pid of 1 finding"
