"""What the doctor finds at Security Hub, both ways, and what other tools left there."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from dev import stand
from dev.hub.process import HubProcess
from dev.hub.sample import finding
from tests.integration.doctor.clinic import Clinic
from tests.integration.doctor.conftest import OTHER_ACCOUNT
from tests.integration.operator.world import World, report, result

CLUSTER = f"arn:aws:eks:{stand.REGION}:{stand.ACCOUNT}:cluster/prod-eu"
TYPES = ["Software and Configuration Checks/Kubernetes Policies/kyverno"]
PROVIDED = {"Severity": {"Label": "MEDIUM"}, "Types": TYPES}


def of_policy_reporter(name: str) -> dict[str, Any]:
    """As policy-reporter writes them."""
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
    """As AWS's sample, securityhub-k8s-policy-integration, writes them."""
    return finding(
        f"arn:aws:eks:{stand.REGION}:{stand.ACCOUNT}:gatekeeper/violation/repos-prod-eu-Pod-{name}",
        GeneratorId="Gatekeeper-repos",
        FindingProviderFields=PROVIDED,
        ProductFields={"ProviderName": "Gatekeeper", "ProviderVersion": "1.0"},
        Resources=[{"Type": "AwsEks", "Id": f"prod-eu/Pod/{name}"}],
    )


@pytest.fixture
def aws(hub: HubProcess) -> Iterator[Any]:
    """Another tool's client."""
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


def test_no_credentials(clinic: Clinic) -> None:
    """Without credentials one problem is told, and what could not be asked for lack of them."""
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    told = clinic.doctor(environ=nothing)
    assert "eks.amazonaws.com/role-arn" in told.problem("credentials")["remedy"]
    assert told.states("security-hub") == told.states("get-findings") == ["unchecked"]


def test_sts_out_of_reach_is_not_a_lack_of_credentials(clinic: Clinic, hub: HubProcess) -> None:
    """Who was asked, what the network said and what to check; what was not asked says that AWS was not reached."""
    environ = {
        "AWS_ENDPOINT_URL_SECURITYHUB": hub.env()["AWS_ENDPOINT_URL"],
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    }
    told = clinic.doctor(environ=environ)
    found = told.problem("credentials")
    assert "127.0.0.1:9: the connection was refused" in found["found"]
    assert "credentials" not in found["found"]
    for word in ("route", "VPC endpoint", "security group", "NetworkPolicy", "proxy"):
        assert word in found["remedy"]
        assert word not in found["found"]
    assert told.of("get-findings")[0]["found"].endswith("not checked: AWS was not reached")


def test_a_profile_that_is_not_there(clinic: Clinic) -> None:
    """It is one problem of the hub, and hides nothing else that the doctor has found."""
    told = clinic.doctor(environ={"AWS_PROFILE": "nobody"})
    assert "(nobody) could not be found" in told.problem("credentials")["found"]
    assert "AWS_PROFILE" in told.problem("credentials")["remedy"]
    assert told.states("connection") == ["fine"]


def test_credentials_of_another_account(clinic: Clinic, hub: HubProcess) -> None:
    """Whose they are and where the findings go is told; Security Hub of the wrong account is not asked."""
    told = clinic.doctor(environ=hub.env(account=OTHER_ACCOUNT))
    found = told.problem("credentials")
    assert f"of account {OTHER_ACCOUNT}, but findings go to account {stand.ACCOUNT}" in found["found"]
    assert "use a role in account" in found["remedy"]
    assert told.states("get-findings") == ["unchecked"]


def test_a_role_of_the_findings_account(clinic: Clinic, world: World) -> None:
    """With a role of the other account its hub is looked at, too; a role that is not given is told."""
    arn = f"arn:aws:iam::{OTHER_ACCOUNT}:role/policyhub"
    hub = {"accountId": OTHER_ACCOUNT, "region": stand.REGION, "roleArn": arn}
    world.monitor("beta", securityHub=hub)
    told = clinic.doctor()
    assert told.states("credentials") == ["fine", "fine"]
    assert "assumed-role/policyhub" in told.of("credentials", about=OTHER_ACCOUNT)[0]["found"]
    world.hub.roles({f"arn:aws:iam::{OTHER_ACCOUNT}:role/another": ""})
    try:
        assert "sts:AssumeRole" in clinic.doctor().problem("credentials")["found"]
    finally:
        world.hub.roles({})


# -- the hub ----------------------------------------------------------------------------------------------------------


def test_security_hub_is_off(clinic: Clinic, hub: HubProcess) -> None:
    """Where it is off, the command that switches it on is told."""
    hub.enable(on=False)
    told = clinic.doctor("--probe-import")
    assert "aws securityhub enable-security-hub --region eu-west-1" in told.problem("security-hub")["remedy"]
    assert told.states("product-arn") == ["unchecked"]
    hub.enable(on=True)
    assert clinic.doctor().states("security-hub") == ["fine"]


def test_permissions_that_are_missing(clinic: Clinic, hub: HubProcess) -> None:
    """Reading and importing are told by their permission; that of DescribeHub is no problem, but not checked."""
    hub.fault("access_denied", operation="GetFindings")
    told = clinic.doctor()
    assert "securityhub:GetFindings" in told.problem("get-findings")["found"]
    assert told.states("other-tools") == []
    hub.clear_faults()
    hub.fault("access_denied", operation="DescribeHub")
    told = clinic.doctor()
    assert told.states("security-hub") == ["unchecked"]
    assert told.states("get-findings") == ["fine"]
    hub.clear_faults()
    hub.fault("access_denied", operation="BatchImportFindings")
    assert "securityhub:BatchImportFindings" in clinic.doctor("--probe-import").problem("product-arn")["found"]


def test_the_probe_leaves_nothing(clinic: Clinic, hub: HubProcess) -> None:
    """What is sent to see whether it may be is refused by its form, so nothing is stored. Without the flag none is."""
    assert clinic.doctor("--probe-import").states("product-arn") == ["fine"]
    assert hub.findings() == []
    before = len(hub.calls())
    assert clinic.doctor().states("product-arn") == ["fine"]
    assert "BatchImportFindings" not in {call["operation"] for call in hub.calls(before)}


def test_a_throttled_hub(clinic: Clinic, world: World, hub: HubProcess) -> None:
    """A call of its own that is throttled, and an operator that has been slowed down, are both told as quotas."""
    hub.fault("throttle", operation="GetFindings")
    assert "GetFindings is throttled" in clinic.doctor().problem("quotas")["found"]
    hub.clear_faults()
    world.apply(report("cart", result("require-labels")))
    operator = world.start()
    world.well()
    url = f"http://127.0.0.1:{operator.port}/metrics"
    assert {*clinic.doctor("--metrics-url", url).states("quotas")} == {"fine"}
    hub.fault("throttle", operation="BatchImportFindings", count=2)
    world.apply(report("till", result("require-labels")))
    world.until(lambda: len(world.of("require-labels")) == 2, "the second finding to be there")
    found = clinic.doctor("--metrics-url", url).problem("quotas")
    assert "BatchImportFindings: 2 of" in found["found"]
    assert clinic.doctor("--metrics-url", "http://127.0.0.1:9/metrics").states("quotas") == ["unchecked"]


# -- other tools ------------------------------------------------------------------------------------------------------


def test_findings_of_other_tools(clinic: Clinic, hub: HubProcess, world: World, aws: Any) -> None:
    """Each tool is told with how many it left; archived, they are gone for the doctor, and analysts' work stands."""
    world.apply(report("cart", result("require-labels")))
    world.start()
    world.well()
    reporter = [of_policy_reporter(name) for name in ("cart", "till", "shop")]
    sample = [of_the_sample(name) for name in ("a", "b")]
    assert aws.batch_import_findings(Findings=[*reporter, *sample])["FailedCount"] == 0
    hub.analyst([reporter[0]["Id"]], workflow="SUPPRESSED", note="accepted")
    told = {v["found"]: v["remedy"] for v in clinic.doctor().of("other-tools")}
    assert [found.removesuffix(" active findings about Kubernetes policies") for found in told] == [
        "policy-reporter has 3",
        "securityhub-k8s-policy-integration has 2",
    ]
    place = ["--account-id", stand.ACCOUNT, "--region", stand.REGION]
    counted = clinic.run("archive-others", "policy-reporter", *place)
    assert counted.stdout == "policy-reporter has 3 active findings; add --yes to archive them.\n"
    assert len(hub.findings(record_state="ACTIVE")) == 6
    for tool, number in (("policy-reporter", 3), ("securityhub-k8s-policy-integration", 2)):
        done = clinic.run("archive-others", tool, *place, "--yes")
        assert (done.returncode, done.stdout) == (0, f"Archived {number} of {number} findings of {tool}.\n")
    assert clinic.doctor().states("other-tools") == ["fine"]
    (active,) = hub.findings(record_state="ACTIVE")
    assert active["Id"].startswith("policyhub/")
    (kept,) = hub.findings(workflow="SUPPRESSED")
    assert (kept["RecordState"], kept["Note"]["Text"]) == ("ARCHIVED", "accepted")
    assert {**kept, "UpdatedAt": "", "RecordState": "", "Workflow": "", "Note": "", "LastObservedAt": ""}[
        "Resources"
    ] == (reporter[0]["Resources"])


def test_archiving_of_others_needs_a_place_and_a_hub(clinic: Clinic, hub: HubProcess) -> None:
    """Without account and Region nothing is asked; where Security Hub refuses, that is told; both end with 2."""
    done = clinic.run("archive-others", "policy-reporter")
    message = "policyhub: the account and Region of the hub are unknown: give --account-id and --region\n"
    assert (done.returncode, done.stderr) == (2, message)
    hub.fault("access_denied", operation="GetFindings")
    done = clinic.run("archive-others", "policy-reporter", "--account-id", stand.ACCOUNT, "--region", stand.REGION)
    assert done.returncode == 2
    assert "securityhub:GetFindings" in done.stderr


def test_archiving_of_others_tells_what_was_refused(clinic: Clinic, hub: HubProcess, aws: Any) -> None:
    """A finding that Security Hub does not take as archived is counted with its reason, and the exit code is 1."""
    aws.batch_import_findings(Findings=[of_the_sample("a")])
    hub.fault("partial", operation="BatchImportFindings", share=1.0)
    place = ["--account-id", stand.ACCOUNT, "--region", stand.REGION, "--yes"]
    done = clinic.run("archive-others", "securityhub-k8s-policy-integration", *place)
    assert (done.returncode, done.stdout.split()[:4]) == (1, ["Archived", "0", "of", "1"])
    assert "1 not archived: InternalFailure" in done.stderr


# -- sign-in by the cluster's own tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_in", ["irsa", "pod-identity"])
def test_operator_and_doctor_sign_in_as_in_eks(clinic: Clinic, world: World, hub: HubProcess, sign_in: str) -> None:
    """With a token of the API server and the role that iam-policy prints, the operator's process does its work by
    either sign-in, and the doctor says who it is.
    """
    audience = {"irsa": "sts.amazonaws.com", "pod-identity": "pods.eks.amazonaws.com"}[sign_in]
    path = f"/api/v1/namespaces/{stand.NAMESPACE}/serviceaccounts/policyhub/token"
    granted = world.cluster.request("POST", path, {"spec": {"audiences": [audience], "expirationSeconds": 3600}})
    token = clinic.kubeconfig({}, "token")
    token.write_text(granted["status"]["token"])
    issuer = world.cluster.request("GET", "/.well-known/openid-configuration")["issuer"]
    who = ["--oidc-issuer", issuer] if sign_in == "irsa" else ["--cluster", CLUSTER]
    place = ["--account-id", stand.ACCOUNT, "--region", stand.REGION]
    roles = json.loads(clinic.run("iam-policy", *place, *who).stdout)
    hub.policies(roles)
    hub.clusters({CLUSTER: world.cluster.request("GET", "/openid/v1/jwks")})
    hub.associate(CLUSTER, f"{stand.NAMESPACE}/policyhub", roles[0]["role"])
    environ = hub.irsa(role=roles[0]["role"], token=token) if sign_in == "irsa" else hub.pod_identity(token=token)
    environ |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    try:
        world.apply(report("cart", result("require-labels")))
        settings: dict[str, Any] = {**environ}  # names of variables, not of parameters
        world.start(**settings)
        world.well()
        assert len(world.of("require-labels")) == 1
        told = clinic.doctor("--probe-import", environ=environ)
        assert (told.code, told.states("product-arn")) == (0, ["fine"])
        assert "assumed-role/policyhub/" in told.of("credentials")[0]["found"]
    finally:
        hub.policies([])
