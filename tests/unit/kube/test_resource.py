import pytest

from policyhub.kube.discovery import Discovery
from policyhub.kube.resource import Resource

REPORTS = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport", namespaced=True)


@pytest.mark.parametrize(
    ("resource", "group_resource", "path"),
    [
        (REPORTS, "policyreports.wgpolicyk8s.io", "/apis/wgpolicyk8s.io/v1alpha2/policyreports"),
        (Resource("", "v1", "namespaces", "Namespace", namespaced=False), "namespaces", "/api/v1/namespaces"),
        (Resource("", "v1", "pods", "Pod", namespaced=True), "pods", "/api/v1/pods"),
    ],
)
def test_names(resource: Resource, group_resource: str, path: str) -> None:
    """The group resource is the same in every version; the path is not."""
    assert (resource.group_resource, resource.path) == (group_resource, path)


def test_absence_needs_proof() -> None:
    """An unserved resource is absent only if its group could be read."""
    assert Discovery(served=(), unknown={}).absent(REPORTS)
    assert not Discovery(served=(REPORTS,), unknown={}).absent(REPORTS)
    assert not Discovery(served=(), unknown={"wgpolicyk8s.io": "503"}).absent(REPORTS)
