"""Whether every report API has been listed."""

from collections.abc import Collection

import pytest

from policyhub.cluster.report_apis import Api, report_apis
from policyhub.model.source_apis import OPEN_REPORTS, POLICY_REPORTS


def api(group: str = POLICY_REPORTS, **changes: bool) -> Api:
    return Api(**{"source_api": f"reports.{group}", "group": group, "listed": True, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("apis", "discovered", "unknown", "all_listed", "groups"),
    [
        pytest.param([], True, (), True, 0, id="none is served"),
        pytest.param([], False, (), False, 0, id="what is served is not known"),
        pytest.param([api()], True, (), True, 1, id="listed"),
        pytest.param([api(), api(listed=False)], True, (), False, 1, id="one is not listed"),
        pytest.param([api(), api(OPEN_REPORTS)], True, (), True, 2, id="two groups"),
        pytest.param([api(), api(OPEN_REPORTS, vanished=True)], True, (), True, 1, id="one has vanished"),
        pytest.param([api(), api(listed=False, vanished=True)], True, (), False, 1, id="one vanished, unlisted"),
        pytest.param([api(listed=False, vanished=True, gone=True)], True, (), True, 0, id="one vanished for sure"),
        pytest.param([api()], True, {OPEN_REPORTS}, False, 1, id="a group that nothing tells of"),
        pytest.param([api()], True, {POLICY_REPORTS}, True, 1, id="one that was listed before"),
    ],
)
def test_coverage(
    *, apis: list[Api], discovered: bool, unknown: Collection[str], all_listed: bool, groups: int
) -> None:
    """Everything that is served has been listed, and it is known what is served."""
    made = report_apis(apis, discovered=discovered, unknown=unknown)
    assert (made.all_listed, made.groups) == (all_listed, groups)
