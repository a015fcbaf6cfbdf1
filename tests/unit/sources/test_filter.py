"""Which violations are asked for."""

import msgspec
import pytest

from policyhub.model.violation import Subject, Violation
from policyhub.sources.filter import Filter

POD = Subject("", "Pod", "team-a", "p")
NODE = Subject("", "Node", "", "team-a")
NAMESPACE = Subject("", "Namespace", "", "team-a")
CUSTOM_NAMESPACE = Subject("example.com", "Namespace", "", "team-a")

FAILING = Violation(
    source="Trivy Vulnerability",
    policy="p",
    rule="r",
    subject=POD,
    discriminator="",
    result="fail",
    severity="MEDIUM",
    category="",
    message="m",
)


@pytest.mark.parametrize(
    ("admitted", "chosen", "violation"),
    [
        pytest.param(True, Filter(), FAILING, id="everything by default"),
        pytest.param(False, Filter(exclude_sources=(" trivy VULNERABILITY",)), FAILING, id="source in another case"),
        pytest.param(True, Filter(exclude_sources=("Trivy",)), FAILING, id="a part of a source's name"),
        pytest.param(False, Filter(results=frozenset({"warn"})), FAILING, id="result"),
        pytest.param(True, Filter(minimum_severity="MEDIUM"), FAILING, id="severity at the least"),
        pytest.param(False, Filter(minimum_severity="HIGH"), FAILING, id="severity below the least"),
        pytest.param(
            True,
            Filter(minimum_severity="HIGH", default_severity="HIGH"),
            msgspec.structs.replace(FAILING, severity=None),
            id="the default severity counts",
        ),
        pytest.param(
            False,
            Filter(minimum_severity="HIGH"),
            msgspec.structs.replace(FAILING, severity=None),
            id="the default severity below the least",
        ),
    ],
)
def test_what_is_wanted(*, admitted: bool, chosen: Filter, violation: Violation) -> None:
    """Each part of the filter alone."""
    assert chosen.admits(violation) is admitted


@pytest.mark.parametrize(
    ("include", "exclude", "subject", "admitted"),
    [
        (("*",), (), POD, True),
        (("team-*",), (), POD, True),
        (("team-?",), ("team-b",), POD, True),
        (("TEAM-a",), (), POD, False),
        (("prod", "stage"), (), POD, False),
        ((), (), POD, False),
        (("*",), ("team-*",), POD, False),
        (("*",), ("team-*",), NAMESPACE, False),
        (("prod",), (), NAMESPACE, False),
        (("prod",), ("*",), NODE, True),
        (("prod",), ("*",), CUSTOM_NAMESPACE, True),
    ],
)
def test_namespaces(include: tuple[str, ...], exclude: tuple[str, ...], subject: Subject, *, admitted: bool) -> None:
    """Globs choose namespaced objects and Namespaces by name; other cluster-scoped objects are in none."""
    chosen = Filter(include_namespaces=include, exclude_namespaces=exclude)
    assert chosen.admits(msgspec.structs.replace(FAILING, subject=subject)) is admitted
