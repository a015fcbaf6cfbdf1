"""The severities that there are, wherever a person names one."""

from typing import get_args

import pytest

from policyhub.api.monitoredcluster import MinimumSeverity
from policyhub.api.sla import SlaDays
from policyhub.cli.findings import Severity as Listed
from policyhub.cli.render import Severity as Rendered
from policyhub.model.violation import SEVERITIES


@pytest.mark.parametrize(
    "named",
    [get_args(MinimumSeverity), get_args(Rendered), [*Listed]],
    ids=["spec.minimumSeverity", "render", "findings"],
)
def test_each_severity_has_its_word(named: list[str]) -> None:
    assert {word.upper() for word in named} == {*SEVERITIES}


def test_a_deadline_is_for_a_severity() -> None:
    """An INFORMATIONAL finding has none."""
    assert {name.upper() for name in SlaDays.model_fields} <= {*SEVERITIES}
