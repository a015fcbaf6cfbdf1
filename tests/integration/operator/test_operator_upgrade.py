"""An upgrade, and a roll-back: from the state that another version left, ids are the same and nothing is sent without
need.

The other version is the operator of the newest release tag or, before the first release, of the newest commit whose
`operator/` differs from the one that is checked out here. So a change of the digest or of an id shows in the very
change that makes it.
"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.operator.world import World, constraint, report, result

ROOT = Path(__file__).parents[3]


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603, S607  (git, fixed arguments)


def other() -> str:
    """The commit of the other version."""
    if tags := git("tag", "--merged", "HEAD", "--list", "v*", "--sort=-version:refname").split():
        return tags[0].decode()
    for commit in git("rev-list", "--max-count=200", "HEAD", "--", "operator/policyhub").decode().split():
        if git("diff", "--name-only", commit, "--", "operator/policyhub"):
            return commit
    raise AssertionError("no commit with another operator is here: fetch the history (git fetch --unshallow)")


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source root of the other version."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git repository: there is no other version to upgrade from")
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(fileobj=io.BytesIO(git("archive", other(), "operator"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "operator"


def test_upgrade_and_back(world: World, former: Path) -> None:
    """The newer version keeps every id and CreatedAt and sends only what it renders otherwise; the older one likewise
    on the way back.
    """
    world.apply(
        *(report(f"web-{n}", result("kept"), result("kept-too", result="warn")) for n in range(10)),
        *(report(f"web-{n}", result("open", severity="critical"), kind="Report") for n in range(10)),
        report("shop", result("wide"), kind="ClusterPolicyReport"),
        constraint("repos", "pod-a", "pod-b", "pod-c"),
        constraint("labels", "pod-a", kind="K8sRequiredLabels"),
    )
    world.monitor()
    world.start(PYTHONPATH=str(former))
    world.until(lambda: len(world.found(state="ACTIVE")) == 35, "the findings of the other version")
    world.well()
    first = world.found()
    for path in ("", str(former)):  # nothing on the path: the one that is installed here
        before = world.found()
        world.operator.stop()
        mark = world.mark()
        world.start(PYTHONPATH=path)
        world.synced()
        after = world.found()
        assert {f["Id"] for f in after.values()} == {f["Id"] for f in first.values()}
        assert {a: f["CreatedAt"] for a, f in after.items()} == {a: f["CreatedAt"] for a, f in first.items()}
        assert {f["RecordState"] for f in after.values()} == {"ACTIVE"}
        sent = {entry["id"] for entry in world.journal(mark)}
        assert sent == {f["Id"] for a, f in after.items() if renderer(f) != renderer(before[a])}


def renderer(finding: dict[str, dict[str, str]]) -> str:
    return finding["ProductFields"]["policyhub/renderer"]
