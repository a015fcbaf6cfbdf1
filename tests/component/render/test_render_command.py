"""`policyhub render` as a process: exit codes, messages, output formats, and loaded modules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPORT: dict[str, Any] = {
    "apiVersion": "wgpolicyk8s.io/v1alpha2",
    "kind": "PolicyReport",
    "metadata": {"name": "r", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "scope": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"},
    "results": [
        {"source": "kyverno", "policy": "a", "rule": "r", "result": "fail", "severity": "high", "message": "[red]x"},
        {"source": "kyverno", "policy": "b", "rule": "r", "result": "fail"},
        {"source": "Falco", "policy": "c", "rule": "r", "result": "fail"},
    ],
}
LIST = {"apiVersion": "v1", "kind": "List", "items": [REPORT]}


def run(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Without AWS or Kubernetes settings of this process."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "KUBE", "POLICYHUB_", "COLUMNS"))}
    return subprocess.run(  # noqa: S603  (this project's own program)
        [sys.executable, "-m", "policyhub", "render", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean, **environment},
    )


def policies(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["ProductFields"]["policyhub/policy"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["piped", "dash"])
def test_standard_input_to_json_lines(arguments: tuple[str, ...]) -> None:
    """A list on standard input becomes one finding a line; omissions are reported on standard error."""
    done = run(*arguments, stdin=json.dumps(LIST, indent=4))
    assert (done.returncode, policies(done)) == (0, ["a", "b"])
    assert done.stderr == "policyhub: filtered out: 1 Falco\n"


def test_files_and_folders(tmp_path: Path) -> None:
    """A folder stands for its JSON and YAML files; JSON in a YAML file is read."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.json").write_text("\ufeff" + json.dumps(REPORT))
    (tmp_path / "two.yml").write_text(json.dumps(REPORT, indent=1).replace('"r"', '"other"'))
    (tmp_path / "note.txt").write_text("no input")
    done = run(tmp_path, "--exclude-source", "")
    assert (done.returncode, done.stderr) == (0, "")
    assert policies(done) == ["c", "a", "b"] * 2


def test_an_error_is_located_and_the_rest_rendered(tmp_path: Path) -> None:
    """Exit code 1; file, line, document and path are on standard error."""
    file = tmp_path / "reports.yaml"
    file.write_text(
        "kind: [\n---\napiVersion: wgpolicyk8s.io/v1alpha2\nkind: PolicyReport\nmetadata: {name: r, namespace: s}\n"
        "results:\n- policy: p\n  result: fail\n  message: 3\n- policy: q\n  result: Fail\n"
    )
    done = run(file, tmp_path / "absent.json")
    assert (done.returncode, policies(done)) == (1, ["p"])
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"policyhub: {file}:2: document 1: ")
    assert lines[1].startswith(f"policyhub: {file}:9: document 2, results[0].message: expected `str | null`, got `int`")
    assert lines[2].startswith(f"policyhub: {file}:11: document 2, results[1].result: 'Fail' is not one of")
    assert lines[3] == f"policyhub: {tmp_path / 'absent.json'}: No such file or directory"


NOTHING = {
    "nothing at all": "",
    "no object": "hello",
    "broken": '{"kind": ',
    "other kinds": json.dumps({"kind": "Secret", "apiVersion": "v1"}),
}


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_nothing_readable_is_exit_code_2(text: str) -> None:
    """Nothing on standard output, and the reason on standard error."""
    done = run(stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert "policyhub: nothing to render" in done.stderr


def test_an_empty_list_is_not_an_error() -> None:
    """A cluster without reports has no findings."""
    done = run("-o", "json", stdin='{"apiVersion": "v1", "items": [], "kind": "List"}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


WRONG = {
    "a wrong account": (["--account-id", "1"], "--account-id"),
    "a wrong time": (["--now", "noon"], "--now"),
    "a time without a zone": (["--now", "2026-11-25T08:00:00"], "--now"),
    "files and a cluster": (["f.json", "--live"], "give either"),
    "two questions": (["--explain", "--summary"], "give either"),
    "a context that is not there": (["--kubeconfig", "absent", "--context", "x"], "kubeconfig absent cannot be used"),
    "no MonitoredCluster": (["--from-monitoredcluster", "absent.yaml"], "absent.yaml"),
}


@pytest.mark.parametrize(("arguments", "output"), WRONG.values(), ids=WRONG)
def test_invalid_arguments_exit_with_2(arguments: list[str], output: str) -> None:
    """The flag or file is named, and there is no traceback."""
    done = run(*arguments, stdin=json.dumps(REPORT), COLUMNS="200")
    assert (done.returncode, done.stdout) == (2, "")
    assert output in done.stderr
    assert "Traceback" not in done.stderr


FORMS = [("--output", "table"), ("--explain",), ("--summary",)]


def test_json_table_and_explanations() -> None:
    """An array; a table with the most severe first and without markup; fields with their provenance, as text and
    data.
    """
    text = json.dumps(REPORT)
    array = json.loads(run("--output", "json", stdin=text).stdout)
    assert [finding["Compliance"]["Status"] for finding in array] == ["FAILED"] * 2
    table = run("--output", "table", stdin=text).stdout.splitlines()
    assert table[0].split()[:3] == ["SEVERITY", "COMPLIANCE", "TITLE"]
    assert [line.split()[0] for line in table[1:]] == ["HIGH", "MEDIUM"]
    output = run("--explain", stdin=text).stdout
    assert "reported by policyreports.wgpolicyk8s.io shop/r (<stdin>:1: document 1)" in output
    assert "[red]x" in output
    first = json.loads(run("--explain", "-o", "jsonl", stdin=text).stdout.splitlines()[0])
    assert first["finding"] == {**array[0], **{k: first["finding"][k] for k in ("UpdatedAt", "LastObservedAt")}}
    assert first["from"]["Compliance.Status"] == "results[0].result"


@pytest.mark.parametrize("columns", [80, 110])
def test_tables_fit(columns: int) -> None:
    """No line is longer than the terminal; on a narrow one ids and long fields are wrapped without loss."""
    output = {form: run(*form, stdin=json.dumps(REPORT), COLUMNS=str(columns)).stdout.splitlines() for form in FORMS}
    for lines in output.values():
        assert max(map(len, lines)) <= columns
    ids = [line.split()[-1] for line in output["--output", "table"] if line.startswith("HIGH")]
    assert list(map(len, ids)) == [16 if columns == 80 else 32]
    fields = [line[:42].split("  ")[0] for line in output["--explain",]]
    assert ("FindingProviderFields.Severity.Label" in fields) == (columns == 110)
    assert ("FindingProviderFields.Severity" in fields) == (columns == 80)


def test_pods_without_their_owners_are_reported() -> None:
    """With the command that gets both, for the kinds in the input; and which results are not rolled up."""
    on_pod = {**REPORT, "scope": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-1-x"}}
    done = run(stdin=json.dumps(on_pod))
    command = "kubectl get policyreports,pods,replicasets,jobs -A -o json"
    assert f"were not read: 2 (to read them: {command})" in done.stderr
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": "shop", "uid": "u"}}
    done = run(stdin=json.dumps(on_pod) + json.dumps(other))
    assert (done.returncode, done.stdout) == (0, "")
    assert "ignored violations: 2; their Pods, ReplicaSets or Jobs are not in the input" in done.stderr


def test_now_is_an_argument() -> None:
    """With --now the same input gives the same output."""
    once, again = (run("--now", "2026-11-25T08:00:00Z", stdin=json.dumps(REPORT)).stdout for _ in range(2))
    assert once == again
    assert json.loads(once.splitlines()[0])["UpdatedAt"] == "2026-11-25T08:00:00.000Z"


def test_summary() -> None:
    """Counts by severity and policy, and the forecast with its price; as data too."""
    text = run("--summary", stdin=json.dumps(REPORT)).stdout
    assert ["kyverno", "a", "1", "-", "1", "-", "-", "-"] in [line.split() for line in text.splitlines()]
    assert ["first", "month", "5", "$0.00"] in [line.split() for line in text.splitlines()]
    data = json.loads(run("--summary", "-o", "json", "--changes-per-day", "1000000", stdin=json.dumps(REPORT)).stdout)
    assert data["bySeverity"] == {"CRITICAL": 0, "HIGH": 1, "MEDIUM": 1, "LOW": 0, "INFORMATIONAL": 0}
    assert data["leftOut"] == {"Falco": 1}
    assert data["forecast"]["dollars"]["eachMonthAfter"] == 899.7
    assert data["forecast"]["changesAssumed"] is False


def test_options_of_the_target() -> None:
    """Account, Region, cluster and filters by flags; the account also by the operator's environment."""
    done = run(
        "--cluster-arn", "arn:aws-us-gov:eks:us-gov-west-1:444455556666:cluster/gov", "--region", "us-gov-west-1",
        "--minimum-severity", "high", "-n", "sh*", "--result", "fail",
        stdin=json.dumps(REPORT), POLICYHUB_ACCOUNT_ID="444455556666",
    )  # fmt: skip
    (finding,) = map(json.loads, done.stdout.splitlines())
    assert finding["ProductArn"].startswith("arn:aws-us-gov:securityhub:us-gov-west-1:444455556666:")
    assert finding["Resources"][1]["Details"]["AwsEksCluster"]["Name"] == "gov"
    assert run("--exclude-namespace", "shop", stdin=json.dumps(REPORT)).stdout == ""
    done = run(stdin=json.dumps(REPORT), POLICYHUB_ACCOUNT_ID="bad")
    assert (done.returncode, done.stderr.partition(": String")[0]) == (2, "policyhub: POLICYHUB_ACCOUNT_ID")


def test_lists_appended_to_a_file_of_yaml_are_read(tmp_path: Path) -> None:
    """`kubectl get polr -o json > all.yaml; kubectl get cpolr -o json >> all.yaml`."""
    other = {**LIST, "items": [{**REPORT, "metadata": {"name": "other", "namespace": "shop"}, "scope": None}]}
    file = tmp_path / "all.yaml"
    file.write_text(f"{json.dumps(LIST, indent=4)}\n{json.dumps(other, indent=4)}\n")
    done = run(file)
    assert (done.returncode, policies(done)) == (0, ["a", "b", "a", "b"])


def test_a_closed_pipe() -> None:
    """It ends without a traceback."""
    many = json.dumps(
        {"items": [{**REPORT, "scope": None, "metadata": {"name": f"r{n}", "namespace": f"n{n}"}} for n in range(2000)]}
    )
    command = f"{sys.executable} -m policyhub render - | head -c 10"
    done = subprocess.run(  # noqa: S602  (a pipe is what is tried)
        command, shell=True, input=many, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == '{"SchemaVe'
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["render", "-"], ["policyhub.settings", "structlog"]),
        (["render", "-", "--output", "table"], ["policyhub.settings", "structlog"]),
        (["--help"], ["asyncio", "msgspec", "pydantic", "structlog", "yaml"]),
        (["render", "--help"], ["asyncio", "msgspec", "structlog", "yaml"]),
    ],
    ids=" ".join,
)
def test_no_network_library_is_loaded(arguments: list[str], heavy: list[str]) -> None:
    """Rendering standard input loads neither the AWS nor the Kubernetes client, nor the operator; help loads even
    less.
    """
    heavy = [*heavy, "aiohttp", "boto3", "botocore", "kopf", "kubernetes", "prometheus_client", "urllib3"]
    code = (
        "import sys\nfrom policyhub.cli.main import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(  # noqa: S603  (this project's own program)
        [sys.executable, "-c", code], input=json.dumps(REPORT), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
