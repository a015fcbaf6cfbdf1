"""Each check of the doctor on Security Hub reports its problem, and is fine after the fix; and findings of other
tools.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from dev import testbed
from dev.hub.process import HubProcess
from dev.hub.sample import finding
from tests.integration.doctor.cli import DoctorCli
from tests.integration.doctor.conftest import OTHER_ACCOUNT
from tests.integration.operator.world import World, report, result

CLUSTER = f"arn:aws:eks:{testbed.REGION}:{testbed.ACCOUNT}:cluster/prod-eu"
TYPES = ["Software and Configuration Checks/Kubernetes Policies/kyverno"]
PROVIDED = {"Severity": {"Label": "MEDIUM"}, "Types": TYPES}


def of_policy_reporter(name: str) -> dict[str, Any]:
    """A finding as policy-reporter writes it."""
    details = {
        "Source": "kyverno",
        "Category": "Best Practices",
        "Policy": "require-labels",
        "Rule": "check",
        "Result": "fail",
        "Report": f"shop/report-{name}",
        "Resource Kind": "Deployment",
        "Resource Name": name,
    }
    return finding(
        f"{int.from_bytes(name.encode()):019d}",
        GeneratorId="kyverno/require-labels",
        ProductName="Policy Reporter",
        CompanyName="Kyverno",
        Title=f"require-labels: {name}",
        FindingProviderFields=PROVIDED,
        Resources=[{"Type": "Other", "Id": f"uid-{name}", "Details": {"Other": details}}],
        Workflow={"Status": "NEW"},
    )


def of_the_sample(name: str) -> dict[str, Any]:
    """A finding as AWS's sample, securityhub-k8s-policy-integration, writes it."""
    return finding(
        f"arn:aws:eks:{testbed.REGION}:{testbed.ACCOUNT}:gatekeeper/violation/repos-prod-eu-Pod-{name}",
        GeneratorId="Gatekeeper-repos",
        FindingProviderFields=PROVIDED,
        ProductFields={"ProviderName": "Gatekeeper", "ProviderVersion": "1.0"},
        Resources=[{"Type": "AwsEks", "Id": f"prod-eu/Pod/{name}"}],
    )


@pytest.fixture
def aws(hub: HubProcess) -> Iterator[Any]:
    """An AWS client of another tool."""
    environ = hub.env()
    client = boto3.client(
        "securityhub",
        region_name=environ["AWS_REGION"],
        endpoint_url=hub.url,
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )
    yield client
    client.close()


# -- sign-in ----------------------------------------------------------------------------------------------------------


def test_missing_credentials(cli: DoctorCli) -> None:
    """One problem is reported, and the checks that could not run for lack of credentials."""
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    output = cli.doctor(environ=nothing)
    assert "eks.amazonaws.com/role-arn" in output.problem("credentials")["remedy"]
    assert output.states("security-hub") == output.states("get-findings") == ["unchecked"]


def test_an_unreachable_sts_is_not_a_lack_of_credentials(cli: DoctorCli, hub: HubProcess) -> None:
    """The problem has the endpoint, the network error and what to check; checks that did not run say that AWS was not
    reached.
    """
    environ = {
        "AWS_ENDPOINT_URL_SECURITYHUB": hub.env()["AWS_ENDPOINT_URL"],
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    }
    output = cli.doctor(environ=environ)
    found = output.problem("credentials")
    assert "127.0.0.1:9: the connection was refused" in found["found"]
    assert "credentials" not in found["found"]
    for word in ("route", "VPC endpoint", "security group", "NetworkPolicy", "proxy"):
        assert word in found["remedy"]
        assert word not in found["found"]
    assert output.of("get-findings")[0]["found"].endswith("not checked: AWS was not reached")


def test_a_missing_aws_profile(cli: DoctorCli) -> None:
    """It is one problem of the hub, and does not hide other results."""
    output = cli.doctor(environ={"AWS_PROFILE": "nobody"})
    assert "(nobody) could not be found" in output.problem("credentials")["found"]
    assert "AWS_PROFILE" in output.problem("credentials")["remedy"]
    assert output.states("connection") == ["fine"]


def test_credentials_of_another_account(cli: DoctorCli, hub: HubProcess) -> None:
    """Their account and the destination are reported; Security Hub of the wrong account is not called."""
    output = cli.doctor(environ=hub.env(account=OTHER_ACCOUNT))
    found = output.problem("credentials")
    assert f"of account {OTHER_ACCOUNT}, but findings go to account {testbed.ACCOUNT}" in found["found"]
    assert "use a role in account" in found["remedy"]
    assert output.states("get-findings") == ["unchecked"]


def test_a_role_of_the_findings_account(cli: DoctorCli, world: World) -> None:
    """With a role of the other account its hub is checked too; a role that cannot be assumed is a problem."""
    arn = f"arn:aws:iam::{OTHER_ACCOUNT}:role/policyhub"
    hub = {"accountId": OTHER_ACCOUNT, "region": testbed.REGION, "roleArn": arn}
    world.monitor("beta", securityHub=hub)
    output = cli.doctor()
    assert output.states("credentials") == ["fine", "fine"]
    assert "assumed-role/policyhub" in output.of("credentials", about=OTHER_ACCOUNT)[0]["found"]
    world.hub.roles({f"arn:aws:iam::{OTHER_ACCOUNT}:role/another": ""})
    try:
        assert "sts:AssumeRole" in cli.doctor().problem("credentials")["found"]
    finally:
        world.hub.roles({})


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_security_hub_is_disabled(cli: DoctorCli, hub: HubProcess) -> None:
    """The remedy has the command that enables it."""
    hub.enable(on=False)
    output = cli.doctor("--probe-import")
    assert "aws securityhub enable-security-hub --region eu-west-1" in output.problem("security-hub")["remedy"]
    assert output.states("product-arn") == ["unchecked"]
    hub.enable(on=True)
    assert cli.doctor().states("security-hub") == ["fine"]


def test_missing_iam_permissions(cli: DoctorCli, hub: HubProcess) -> None:
    """Reading and importing are reported with their IAM action; DescribeHub is not a problem, only unchecked."""
    hub.fault("access_denied", operation="GetFindings")
    output = cli.doctor()
    assert "securityhub:GetFindings" in output.problem("get-findings")["found"]
    assert output.states("other-tools") == []
    hub.clear_faults()
    hub.fault("access_denied", operation="DescribeHub")
    output = cli.doctor()
    assert output.states("security-hub") == ["unchecked"]
    assert output.states("get-findings") == ["fine"]
    hub.clear_faults()
    hub.fault("access_denied", operation="BatchImportFindings")
    assert "securityhub:BatchImportFindings" in cli.doctor("--probe-import").problem("product-arn")["found"]


def test_the_probe_stores_nothing(cli: DoctorCli, hub: HubProcess) -> None:
    """The probe import is rejected as invalid, so nothing is stored. Without the flag there is no probe."""
    assert cli.doctor("--probe-import").states("product-arn") == ["fine"]
    assert hub.findings() == []
    before = len(hub.calls())
    assert cli.doctor().states("product-arn") == ["fine"]
    assert "BatchImportFindings" not in {call["operation"] for call in hub.calls(before)}


def test_a_throttled_hub(cli: DoctorCli, world: World, hub: HubProcess) -> None:
    """A throttled call of the doctor, and an operator that was throttled, are both reported under quotas."""
    hub.fault("throttle", operation="GetFindings")
    assert "GetFindings is throttled" in cli.doctor().problem("quotas")["found"]
    hub.clear_faults()
    world.apply(report("cart", result("require-labels")))
    operator = world.start()
    world.well()
    url = f"http://127.0.0.1:{operator.port}/metrics"
    assert {*cli.doctor("--metrics-url", url).states("quotas")} == {"fine"}
    hub.fault("throttle", operation="BatchImportFindings", count=2)
    world.apply(report("till", result("require-labels")))
    world.until(lambda: len(world.of("require-labels")) == 2, "the second finding to be there")
    found = cli.doctor("--metrics-url", url).problem("quotas")
    assert "BatchImportFindings: 2 of" in found["found"]
    assert cli.doctor("--metrics-url", "http://127.0.0.1:9/metrics").states("quotas") == ["unchecked"]


# -- other tools ------------------------------------------------------------------------------------------------------


def test_findings_of_other_tools(cli: DoctorCli, hub: HubProcess, world: World, aws: Any) -> None:
    """Each tool is reported with its number of active findings; after archiving it is gone, and analysts' work
    stays.
    """
    world.apply(report("cart", result("require-labels")))
    world.start()
    world.well()
    reporter = [of_policy_reporter(name) for name in ("cart", "till", "shop")]
    sample = [of_the_sample(name) for name in ("a", "b")]
    assert aws.batch_import_findings(Findings=[*reporter, *sample])["FailedCount"] == 0
    hub.analyst([reporter[0]["Id"]], workflow="SUPPRESSED", note="accepted")
    output = {v["found"]: v["remedy"] for v in cli.doctor().of("other-tools")}
    assert [found.removesuffix(" active findings about Kubernetes policies") for found in output] == [
        "policy-reporter has 3",
        "securityhub-k8s-policy-integration has 2",
    ]
    place = ["--account-id", testbed.ACCOUNT, "--region", testbed.REGION]
    counted = cli.run("archive-others", "policy-reporter", *place)
    assert counted.stdout == "policy-reporter has 3 active findings; add --yes to archive them.\n"
    assert len(hub.findings(record_state="ACTIVE")) == 6
    for tool, number in (("policy-reporter", 3), ("securityhub-k8s-policy-integration", 2)):
        done = cli.run("archive-others", tool, *place, "--yes")
        assert (done.returncode, done.stdout) == (0, f"Archived {number} of {number} findings of {tool}.\n")
    assert cli.doctor().states("other-tools") == ["fine"]
    (active,) = hub.findings(record_state="ACTIVE")
    assert active["Id"].startswith("policyhub/")
    (kept,) = hub.findings(workflow="SUPPRESSED")
    assert (kept["RecordState"], kept["Note"]["Text"]) == ("ARCHIVED", "accepted")
    assert {**kept, "UpdatedAt": "", "RecordState": "", "Workflow": "", "Note": "", "LastObservedAt": ""}[
        "Resources"
    ] == (reporter[0]["Resources"])


def test_archive_others_needs_account_and_region(cli: DoctorCli, hub: HubProcess) -> None:
    """Without account and Region no call is made; if Security Hub refuses, that is reported; both end with 2."""
    done = cli.run("archive-others", "policy-reporter")
    message = "policyhub: the account and Region of the hub are unknown: give --account-id and --region\n"
    assert (done.returncode, done.stderr) == (2, message)
    hub.fault("access_denied", operation="GetFindings")
    done = cli.run("archive-others", "policy-reporter", "--account-id", testbed.ACCOUNT, "--region", testbed.REGION)
    assert done.returncode == 2
    assert "securityhub:GetFindings" in done.stderr


def test_archive_others_reports_refused_findings(cli: DoctorCli, hub: HubProcess, aws: Any) -> None:
    """A finding that Security Hub does not accept as archived is counted with its reason, and the exit code is 1."""
    aws.batch_import_findings(Findings=[of_the_sample("a")])
    hub.fault("partial", operation="BatchImportFindings", share=1.0)
    place = ["--account-id", testbed.ACCOUNT, "--region", testbed.REGION, "--yes"]
    done = cli.run("archive-others", "securityhub-k8s-policy-integration", *place)
    assert (done.returncode, done.stdout.split()[:4]) == (1, ["Archived", "0", "of", "1"])
    assert "1 not archived: InternalFailure" in done.stderr


# -- sign-in by the cluster's own tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_in", ["irsa", "pod-identity"])
def test_operator_and_doctor_sign_in_as_in_eks(cli: DoctorCli, world: World, hub: HubProcess, sign_in: str) -> None:
    """With a token of the API server and the role that iam-policy prints, the operator works with either sign-in, and
    the doctor reports its identity.
    """
    audience = {"irsa": "sts.amazonaws.com", "pod-identity": "pods.eks.amazonaws.com"}[sign_in]
    path = f"/api/v1/namespaces/{testbed.NAMESPACE}/serviceaccounts/policyhub/token"
    granted = world.cluster.request("POST", path, {"spec": {"audiences": [audience], "expirationSeconds": 3600}})
    token = cli.kubeconfig({}, "token")
    token.write_text(granted["status"]["token"])
    issuer = world.cluster.request("GET", "/.well-known/openid-configuration")["issuer"]
    who = ["--oidc-issuer", issuer] if sign_in == "irsa" else ["--cluster", CLUSTER]
    place = ["--account-id", testbed.ACCOUNT, "--region", testbed.REGION]
    roles = json.loads(cli.run("iam-policy", *place, *who).stdout)
    hub.policies(roles)
    hub.clusters({CLUSTER: world.cluster.request("GET", "/openid/v1/jwks")})
    hub.associate(CLUSTER, f"{testbed.NAMESPACE}/policyhub", roles[0]["role"])
    environ = hub.irsa(role=roles[0]["role"], token=token) if sign_in == "irsa" else hub.pod_identity(token=token)
    environ |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    try:
        world.apply(report("cart", result("require-labels")))
        settings: dict[str, Any] = {**environ}  # names of environment variables, not of parameters
        world.start(**settings)
        world.well()
        assert len(world.of("require-labels")) == 1
        output = cli.doctor("--probe-import", environ=environ)
        assert (output.code, output.states("product-arn")) == (0, ["fine"])
        assert "assumed-role/policyhub/" in output.of("credentials")[0]["found"]
    finally:
        hub.policies([])
