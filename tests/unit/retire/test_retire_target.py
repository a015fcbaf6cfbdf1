"""Whose findings `policyhub retire` archives, who still writes them, and its output."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from policyhub.cli.main import app
from policyhub.control.finalizer import FINALIZER
from policyhub.retire import output
from policyhub.retire.target import Options, RetireError, Target, target, uids
from policyhub.securityhub.target import HubTarget
from policyhub.settings import Settings

ACCOUNT, REGION = "111122223333", "eu-west-1"
HUB = {"accountId": ACCOUNT, "region": REGION}
SET = {"account_id": ACCOUNT, "region": REGION}
ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod"
DELETED = {"deletionTimestamp": "2026-11-29T05:00:00Z", "finalizers": [FINALIZER]}


def monitored(
    name: str = "prod", *, uid: str | None = "8e5c", hub: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A MonitoredCluster; `uid` and `hub` are in its status."""
    status: dict[str, Any] = {"clusterUid": uid, "hub": hub}
    return {
        "metadata": {"name": name, "uid": f"object-{name}"},
        "spec": {"connection": {"inCluster": {}}, "securityHub": HUB, **spec},
        "status": {key: value for key, value in status.items() if value is not None},
    }


def conflicting(document: dict[str, Any]) -> dict[str, Any]:
    """With the condition IdentityConflict, which stops it from sending."""
    condition = {
        "type": "IdentityConflict",
        "status": "True",
        "reason": "OtherCluster",
        "message": "m",
        "lastTransitionTime": "2026-11-29T05:00:00Z",
    }
    return {**document, "status": {**document["status"], "conditions": [condition]}}


def resolved(asked: Options, *there: dict[str, Any], **settings: Any) -> Target:
    return target(asked, there, settings=Settings(**settings))


def test_a_monitored_cluster_has_all_parts() -> None:
    """Identity, hub, role and uid are its own."""
    role = f"arn:aws:iam::{ACCOUNT}:role/policyhub"
    body = monitored(clusterArn=ARN, securityHub={**HUB, "roleArn": role, "externalId": "x"}, mode="DryRun")
    found = resolved(Options(cluster="prod"), body)
    assert (found.identity, found.hub) == (ARN, (ACCOUNT, REGION, role, "x"))
    assert found.uids == {"8e5c"}
    assert not found.writer


@pytest.mark.parametrize(
    ("asked", "there", "settings", "hub"),
    [
        pytest.param(("", ""), [monitored(securityHub={})], SET, HUB, id="settings"),
        pytest.param(
            ("", ""),
            [monitored(hub={"accountId": "444455556666", "region": "us-east-1"})],
            SET,
            None,
            id="where they were sent",
        ),
        pytest.param((ACCOUNT, REGION), [], {}, HUB, id="options"),
        pytest.param(
            (ACCOUNT, REGION),
            [monitored(hub={"accountId": "444455556666", "region": "us-east-1"})],
            {},
            HUB,
            id="options win",
        ),
    ],
)
def test_the_hub(
    asked: tuple[str, str], there: list[Any], settings: dict[str, str], hub: dict[str, str] | None
) -> None:
    """From options, else the status, else the spec, else the settings."""
    found = resolved(Options(cluster="prod", account=asked[0], region=asked[1]), *there, **settings)
    assert found.hub[:2] == (tuple(hub.values()) if hub else ("444455556666", "us-east-1"))


@pytest.mark.parametrize("there", [[], [monitored(securityHub={})]], ids=["none", "one that does not say"])
def test_no_hub(there: list[Any]) -> None:
    with pytest.raises(RetireError, match="give --account-id and --region"):
        resolved(Options(cluster="prod"), *there)


@pytest.mark.parametrize(
    ("there", "writer"),
    [
        pytest.param(monitored(), "prod", id="writes them"),
        pytest.param(monitored(mode="NoArchive"), "prod", id="never archives, but sends"),
        pytest.param(monitored(mode="DryRun"), "", id="sends nothing"),
        pytest.param(monitored(uid=None), "prod", id="its uid is not known yet"),
        pytest.param(monitored(uid="other"), "", id="another cluster's"),
        pytest.param(monitored("prod-eu"), "", id="another identity"),
        pytest.param(monitored("another", clusterArn=ARN), "", id="another identity by its ARN"),
        pytest.param(monitored(securityHub={**HUB, "region": "us-east-1"}), "", id="another hub"),
        pytest.param(
            monitored(securityHub={}, hub={"accountId": ACCOUNT, "region": REGION}), "prod", id="this hub by its status"
        ),
        pytest.param(monitored(securityHub={}), "prod", id="its hub is not known"),
        pytest.param({**monitored(), "metadata": {**monitored()["metadata"], **DELETED}}, "", id="deleted"),
        pytest.param(conflicting(monitored()), "", id="was rebuilt: its own uid is another one now"),
        pytest.param(
            {**monitored(uid="new"), "metadata": {"name": "prod", "annotations": {"policyhub.dev/adopt-uid": "8e5c"}}},
            "prod",
            id="has adopted them",
        ),
    ],
)
def test_who_still_writes_them(there: dict[str, Any], writer: str) -> None:
    """MonitoredClusters with this identity, hub and uid; an unknown part counts as equal."""
    asked = Options(cluster="gone", identity="prod", uids=frozenset({"8e5c"}), account=ACCOUNT, region=REGION)
    assert resolved(asked, there).writer == writer


def test_which_object_is_released() -> None:
    """The deleted MonitoredCluster that waits for exactly these findings."""
    body = monitored()
    body["metadata"] |= DELETED
    assert resolved(Options(cluster="prod"), body).finalizer_of == "object-prod"
    assert resolved(Options(cluster="prod", uids=frozenset({"another"})), body).finalizer_of == ""
    assert resolved(Options(cluster="prod", identity="old"), body).finalizer_of == ""
    assert resolved(Options(cluster="prod"), monitored()).finalizer_of == ""


@pytest.mark.parametrize(("account", "region"), [("444455556666", ""), ("", "us-east-1")])
def test_it_stays_while_its_own_hub_has_findings(account: str, region: str) -> None:
    """If another account or Region was given, its own findings still exist."""
    body = monitored(hub=HUB)
    body["metadata"] |= DELETED
    assert resolved(Options(cluster="prod", account=ACCOUNT, region=REGION), body).finalizer_of == "object-prod"
    assert resolved(Options(cluster="prod", account=account, region=region), body).finalizer_of == ""


def test_uids() -> None:
    assert uids(["a", "none"]) == {"a", ""}
    assert output.uid_argument("") == "none"


@pytest.mark.parametrize(
    "given", [["--uid", ""], ["--uid", " "], ["--identity", ""], ["--uid", "8e5c", "--uid", ""]], ids=" ".join
)
def test_an_empty_option_is_ignored(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable selects neither findings without a uid nor those of the MonitoredCluster."""
    began: list[object] = []

    async def begin(*asked: object, **_: object) -> int:
        began.append(asked)
        return 0

    monkeypatch.setattr("policyhub.retire.run.run", begin)
    done = CliRunner().invoke(app, ["retire", "prod", *given, "--yes"])
    assert (done.exit_code, began) == (2, [])
    assert given[-2] in done.output


def test_numbers() -> None:
    """A row for each existing severity, known or not, and the clusters that are not touched."""
    found = Counter({
        ("8e5c", "CRITICAL", "NEW"): 3,
        ("8e5c", "LOW", "SUPPRESSED"): 2,
        ("8e5c", "", "odd"): 1,
        ("other", "LOW", "NEW"): 4,
        ("", "LOW", "NEW"): 1,
    })  # fmt: skip
    hub = HubTarget(ACCOUNT, REGION)
    text = output.summary(Target(cluster="prod", identity="prod", hub=hub, uids=frozenset({"8e5c"})), found)
    assert [line.split() for line in text.splitlines() if line[:4].isupper()] == [
        ["SEVERITY", "NEW", "NOTIFIED", "SUPPRESSED", "RESOLVED", "(other)", "TOTAL"],
        ["CRITICAL", "3", "0", "0", "0", "0", "3"],
        ["LOW", "0", "0", "2", "0", "0", "2"],
        ["TOTAL", "3", "0", "2", "0", "1", "6"],
    ]
    assert "Not touched: 4 findings of the cluster with uid other" in text
    assert "Not touched: 1 finding of the cluster with uid none" in text


def test_foreign_text_is_quoted() -> None:
    """Anybody with import permission can write a uid: the printed command runs nothing else."""
    hub = HubTarget(ACCOUNT, REGION)
    reported = output.command(
        Target(cluster="prod", identity="prod", hub=hub, uids=frozenset()), frozenset({"x; rm -rf ~\n"})
    )
    assert "--uid 'x; rm -rf ~" in reported
    assert "\n" not in reported


def test_the_page_shows_the_commands_output() -> None:
    """docs/retire.md shows the command's own output."""
    uid = "7c0e3d5a-6f0b-4a53-9b52-7f2f3f8f2f11"
    arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod-eu"
    found = {(uid, "HIGH", "NEW"): 1, (uid, "MEDIUM", "NEW"): 1, (uid, "MEDIUM", "NOTIFIED"): 1}
    hub = HubTarget(ACCOUNT, REGION)
    asked = Target(cluster="prod-eu", identity=arn, hub=hub, uids=frozenset({uid}), writer="prod-eu")
    page = (Path(__file__).parents[3] / "docs/retire.md").read_text("utf-8")
    assert f"{output.summary(asked, found)}\n\npolicyhub: {output.still_written_message(asked)}\n" in page
