"""The operator between a real API server and moto's Security Hub."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from dev import testbed
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.integration.moto.server import ACCOUNT, REGION, Moto
from tests.integration.operator.world import ENGINES, World, report, result, subject_of

TRIAGE = ("Workflow", "Note", "UserDefinedFields", "VerificationState")
NUMBER = 130
"""More reports than a page of GetFindings and a call of BatchImportFindings can hold."""
FOREIGN = "another-product/1"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with Moto(tmp_path_factory.mktemp("moto")) as moto:
        yield moto


@pytest.fixture(scope="module")
def world(plane: ControlPlane, moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cluster = plane.cluster("moto")
    installed = testbed.install(cluster, tmp_path_factory.mktemp("moto-chart"), values={"clusterName": "alpha"})
    cluster.apply(ENGINES)
    world = World(installed, cast("HubProcess", moto))
    yield world
    world.end()


def triaged(finding: dict[str, Any]) -> dict[str, Any]:
    return {
        **finding,
        "Workflow": {"Status": "SUPPRESSED"},
        "Note": {"Text": "accepted", "UpdatedBy": "analyst", "UpdatedAt": "2026-01-01T00:00:00Z"},
        "UserDefinedFields": {"ticket": "SEC-1"},
        "VerificationState": "BENIGN_POSITIVE",
    }


def triage(finding: dict[str, Any]) -> dict[str, Any]:
    return {name: finding.get(name) for name in TRIAGE}


def named(moto: Moto, name: str) -> dict[str, Any]:
    ours = (finding for id_, finding in moto.findings().items() if id_ != FOREIGN)
    (found,) = (finding for finding in ours if subject_of(finding)[5] == name)
    return found


def foreign() -> dict[str, Any]:
    return {
        "SchemaVersion": "2018-10-08",
        "Id": FOREIGN,
        "ProductArn": f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default",
        "GeneratorId": "another-product",
        "AwsAccountId": ACCOUNT,
        "Types": ["Software and Configuration Checks"],
        "CreatedAt": "2026-01-01T00:00:00Z",
        "UpdatedAt": "2026-01-01T00:00:00Z",
        "Severity": {"Label": "HIGH"},
        "Title": "of another product",
        "Description": "not ours",
        "Resources": [{"Type": "Other", "Id": "something"}],
        "RecordState": "ACTIVE",
    }


def test_sync_restart_and_archive(world: World, moto: Moto) -> None:
    """All violations arrive once; a restart sends nothing; a fix and a deletion are archived; the analyst's values and
    another product's finding stay unchanged.
    """
    moto.write(foreign())
    reports = [report(f"app-{number:03}", result("registry")) for number in range(NUMBER)]
    world.apply(*reports)
    world.monitor(archiveDelay="3s")
    world.start()
    world.until(lambda: len(moto.findings()) == NUMBER + 1, "the findings")
    world.synced()
    moto.write(*(triaged(named(moto, name)) for name in ("app-000", "app-001", "app-002")))
    before, calls = moto.findings(), moto.imports()
    assert {finding["RecordState"] for finding in before.values()} == {"ACTIVE"}

    world.operator.kill()
    world.start()
    world.synced()
    world.well()
    assert moto.imports() == calls
    assert moto.findings() == before

    world.apply(report("app-000", result("registry", result="pass")))
    world.delete(reports[1])
    world.until(
        lambda: {named(moto, name)["RecordState"] for name in ("app-000", "app-001")} == {"ARCHIVED"}, "both archived"
    )
    after = moto.findings()
    changed = {id_ for id_, finding in after.items() if finding != before[id_]}
    assert changed == {named(moto, name)["Id"] for name in ("app-000", "app-001")}
    assert {id_: triage(finding) for id_, finding in after.items()} == {
        id_: triage(finding) for id_, finding in before.items()
    }
    assert {id_: finding["CreatedAt"] for id_, finding in after.items()} == {
        id_: finding["CreatedAt"] for id_, finding in before.items()
    }
