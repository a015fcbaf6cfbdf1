"""Others' objects, stored through the CRDs of their projects."""

from collections.abc import Iterator

import pytest
import yaml

from dev import crds
from policyhub.model.source_apis import OPEN_REPORTS, POLICY_REPORTS, SOURCE_GROUPS
from tests.integration.operator.samples import put
from tests.integration.operator.world import ENGINES, World
from tests.shared.recordings import DATA, everything
from tests.unit.sources.recorded import Recorded

AGAIN = 213
"""Violations that the openreports of a switched Kyverno claim again, of objects of its old reports."""
CUT = 6
"""Three constraints, and three excerpts of reports whose summary counts more failures than they show."""


@pytest.fixture(scope="module")
def recorded() -> list[Recorded]:
    return everything()


@pytest.fixture
def real(world: World, recorded: list[Recorded]) -> Iterator[World]:
    """A cluster with the report CRDs as their projects publish them, and a kind for each constraint."""
    files = [*DATA.glob("crds/wg-policy-prototypes_v1alpha2_*.yaml"), *DATA.glob("crds/openreports.io_*.yaml")]
    published = [yaml.safe_load(path.read_text("utf-8")) for path in files]
    assert len(published) == 4
    reports = [(kind.plural, group) for group in (POLICY_REPORTS, OPEN_REPORTS) for kind in SOURCE_GROUPS[group].kinds]
    kinds = {one.document["kind"] for one in recorded if "results" not in one.document}
    for plural, group in reports:
        world.cluster.remove_crd(plural, group)
    world.cluster.apply([*published, *(crds.constraint(kind) for kind in kinds)])
    yield world
    world.clear()
    for plural, group in reports:
        world.cluster.remove_crd(plural, group)
    for kind in kinds:
        world.cluster.remove_crd(kind.lower(), "constraints.gatekeeper.sh")
    world.cluster.apply(ENGINES)


def test_every_violation_becomes_a_finding(real: World, recorded: list[Recorded]) -> None:
    """Security Hub accepts all of them, and no object is malformed."""
    assert len(recorded) > 100
    put(real, [one.document for one in recorded])
    real.monitor(sources={"exclude": []})
    real.start()
    real.synced()
    found = real.hub.findings(record_state="ACTIVE")
    assert len(found) == sum(one.violations for one in recorded) - AGAIN + CUT
    assert real.operator.metric("policyhub_findings_rejected_total") == 0
    assert real.operator.metric("policyhub_source_objects_malformed_total") == 0
