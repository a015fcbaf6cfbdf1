"""Which MonitoredClusters are reported as twins, because they send one cluster's findings under two identities."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from policyhub.cluster.capture import twins
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.snapshot import Twin


def plane(name: str, **differs: Any) -> DataPlane:
    """A data plane that sends; `differs`: identity, uid, account, region, sends."""
    has = {
        "identity": name,
        "uid": "5b2d7f1c",
        "account": "111122223333",
        "region": "eu-west-1",
        "sends": True,
    } | differs
    site = SimpleNamespace(
        account=has["account"], region=has["region"], monitored=SimpleNamespace(identity=has["identity"])
    )
    return cast(
        DataPlane,
        SimpleNamespace(name=name, site=site, state=SimpleNamespace(cluster_uid=has["uid"]), sends=has["sends"]),
    )


@pytest.mark.parametrize(
    ("one", "other", "is_twin"),
    [
        pytest.param({}, {}, True, id="both send"),
        pytest.param({"sends": False}, {}, True, id="this one is a dry run"),
        pytest.param({}, {"sends": False}, False, id="the other one is a dry run, or may not send"),
        pytest.param({}, {"uid": "other"}, False, id="another cluster"),
        pytest.param({}, {"account": "444455556666"}, False, id="another account"),
        pytest.param({}, {"region": "us-east-1"}, False, id="another Region"),
        pytest.param({"identity": "arn"}, {"identity": "arn"}, False, id="one identity: claimed twice"),
        pytest.param({"uid": ""}, {"uid": ""}, False, id="not connected yet"),
        pytest.param({"uid": "a b"}, {"uid": "a b"}, False, id="no uid that Kubernetes gives"),
    ],
)
def test_which_clusters_are_twins(one: dict[str, Any], other: dict[str, Any], is_twin: bool) -> None:  # noqa: FBT001  (a table)
    """Those that send findings of the same cluster to the same hub under another identity."""
    first, second = plane("first", **one), plane("second", **other)
    expected = (Twin("second", second.site.monitored.identity),) if is_twin else ()
    assert twins(first, [first, second]) == expected
