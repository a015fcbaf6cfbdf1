"""A program in a root folder, started as the chart's Deployment specifies it: its permissions and its view."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import testbed
from dev.cluster import Cluster, ControlPlane
from dev.image.pod import SERVICE_ACCOUNT, Image, Pod, PodError, in_image

PYTHON = Path("/usr/bin/python3")
LOOK = """
import json, os, pathlib, urllib.request, ssl
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
folder = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
def refused(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        return error.strerror
host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
request = urllib.request.Request(
    host + "/apis/policyhub.dev/v1alpha1/monitoredclusters",
    headers={"Authorization": "Bearer " + (folder / "token").read_text()},
)
trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
print(json.dumps({
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "root": refused("/new"),
    "token": refused(folder / "token"),
    "tmp": refused("/tmp/new"),
    "tmp_bytes": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize,
    "files": sorted(path.name for path in folder.iterdir()),
    "namespace": (folder / "namespace").read_text(),
    "devices": sorted(os.listdir("/dev")),
    "environment": dict(os.environ),
    "clusters": [item["metadata"]["name"] for item in json.load(opener.open(request))["items"]],
}))
"""
VALUES = {"image": {"repository": "policyhub"}, "extraEnv": [{"name": "OF_THE_CHART", "value": "yes"}]}

if os.geteuid() != 0 or not PYTHON.exists():
    pytest.skip(f"mounting and changing the root need root, and {PYTHON}", allow_module_level=True)


@pytest.fixture(scope="module")
def installed(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[testbed.Installed]:
    cluster = plane.cluster("pod")
    yield testbed.install(cluster, tmp_path_factory.mktemp("pod"), values=VALUES)
    cluster.stop()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The root of this machine, with an image's configuration."""
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "config.json").write_text(json.dumps({"Env": ["PATH=/usr/bin", "OF_THE_IMAGE=a=b", "LANG=C"]}))
    return Image(tmp_path)


def deployment(installed: testbed.Installed, **container: Any) -> dict[str, Any]:
    """The chart's Deployment with another program."""
    found = json.loads(json.dumps(next(d for d in installed.documents if d["kind"] == "Deployment")))
    found["spec"]["template"]["spec"]["containers"][0] |= container
    return dict(found)


def started(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603  (of dev/image)


def test_the_deployments_settings_apply(installed: testbed.Installed, image: Image) -> None:
    """User, groups, no privileges, a read-only root, the service account's files, and no variable of this machine."""
    looking = deployment(installed, command=["python3"], args=["-I", "-c", LOOK])
    pod = Pod(looking, installed.cluster, installed.folder)
    command = pod.start(image, {"LANG": "C.UTF-8"}, parent=os.getpid())
    run = started(command, OF_THIS_MACHINE="yes")
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["ids"] == [65532, 65532, [65532]]
    assert {*seen["capabilities"]} == {"0" * 16}
    assert seen["no_new_privileges"] == "1"
    assert (seen["root"], seen["token"], seen["tmp"]) == ("Read-only file system", "Read-only file system", None)
    assert seen["tmp_bytes"] <= 16 << 20
    assert {"ca.crt", "namespace", "token"} <= {*seen["files"]}
    assert seen["namespace"] == testbed.NAMESPACE
    assert seen["devices"] == ["null", "random", "urandom", "zero"]
    assert seen["clusters"] == ["pod"]
    environment = seen["environment"]
    assert environment["OF_THE_IMAGE"] == "a=b"
    assert environment["OF_THE_CHART"] == "yes"
    assert environment["POLICYHUB_ACCOUNT_ID"] == testbed.ACCOUNT
    assert environment["LANG"] == "C.UTF-8"
    assert "OF_THIS_MACHINE" not in environment


def test_the_pod_dies_with_its_parent(installed: testbed.Installed, image: Image) -> None:
    """A process whose parent is not the expected one does not start."""
    pod = Pod(deployment(installed, command=["python3"], args=["-c", "print(1)"]), installed.cluster, installed.folder)
    run = started(pod.start(image, {}, parent=1))
    assert (run.returncode, run.stdout, run.stderr.strip()) == (1, "", "the parent died")


def test_an_operator_can_run_in_it(installed: testbed.Installed, image: Image) -> None:
    """`dev.testbed` can start an operator in it."""
    command, environment = in_image(image)(installed, {})
    world = json.loads(Path(str(command[-1])).read_text("utf-8"))
    assert world["argv"] == ["policyhub", "run"]
    assert SERVICE_ACCOUNT in world["folders"]
    assert environment == {}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        pytest.param({"securityContext": {"readOnlyRootFilesystem": False}}, "read-only", id="a writable root"),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]}, "hostIP", id="a field"
        ),
        pytest.param({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, "/x", id="a volume"),
    ],
)
def test_unsupported_settings_are_errors(
    installed: testbed.Installed, image: Image, container: dict[str, Any], message: str
) -> None:
    """A setting of a Pod that this runtime does not implement is an error."""
    asking = deployment(installed, **container)
    asking["spec"]["template"]["spec"]["volumes"] = [
        {"name": "x", "hostPath": {"path": "/"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    with pytest.raises(PodError, match=message):
        Pod(asking, installed.cluster, installed.folder).start(image, {}, parent=os.getpid())


def test_the_projected_volume(installed: testbed.Installed, image: Image, cluster: Cluster) -> None:
    """A token that is mounted explicitly, with its own audience and path."""
    del cluster
    asking = deployment(installed, volumeMounts=[{"name": "aws", "mountPath": "/var/run/secrets/aws"}])
    spec = asking["spec"]["template"]["spec"]
    spec["automountServiceAccountToken"] = False
    token = {"audience": "sts.amazonaws.com", "path": "token", "expirationSeconds": 3600}
    spec["volumes"] = [{"name": "aws", "projected": {"sources": [{"serviceAccountToken": token}]}}]
    command = Pod(asking, installed.cluster, installed.folder).start(image, {}, parent=os.getpid())
    world = json.loads(Path(str(command[-1])).read_text("utf-8"))
    assert list(world["folders"]) == ["/var/run/secrets/aws"]
    (folder,) = world["folders"].values()
    assert (Path(folder) / "token").read_text().count(".") == 2
    assert (Path(folder) / "token").stat().st_mode & 0o777 == 0o640
