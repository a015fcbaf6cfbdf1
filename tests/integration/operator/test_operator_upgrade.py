"""An upgrade and a rollback: from the state that another version left, ids stay the same and nothing is sent without
need.

The other version is the operator of the newest release tag or, before the first release, of the newest commit whose
`operator/` differs from the checked-out one. So a change of the digest or of an id shows in the very change that makes
it. If both render alike, a copy of this version that renders otherwise stands in for a newer one. Each copy records
that it was the one that ran.
"""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from policyhub.findings.asff import RENDERER
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
    return instrumented(folder / "operator")


@pytest.fixture
def next_one(tmp_path: Path) -> Path:
    """The source root of a copy with another version name that renders otherwise."""
    root = instrumented(
        Path(shutil.copytree(ROOT / "operator", tmp_path / "next", ignore=shutil.ignore_patterns("*.pyc")))
    )
    asff = root / "policyhub" / "findings" / "asff.py"
    text = asff.read_text()
    assert text.count(f"\nRENDERER = {RENDERER}\n") == 1
    asff.write_text(text.replace(f"\nRENDERER = {RENDERER}\n", f"\nRENDERER = {RENDERER + 1}\n"))
    return root


def instrumented(root: Path) -> Path:
    """Change a copy so that it writes the file `ran` when it is imported, and has another version name."""
    init = root / "policyhub" / "__init__.py"
    note = (
        '\n__version__ += "+copy"\n' + f"import pathlib\n\npathlib.Path({str(root / 'ran')!r}).write_text(__file__)\n"
    )
    init.write_text(init.read_text() + note)
    return root


def has_run(root: Path) -> bool:
    """Whether this copy was started since the last call."""
    ran = root / "ran"
    if not ran.exists():
        return False
    assert Path(ran.read_text()).is_relative_to(root)
    ran.unlink()
    return True


def test_upgrade_and_back(world: World, former: Path) -> None:
    """The newer version keeps every id and CreatedAt and sends only what it renders otherwise; so does the older one on
    the way back.
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
    assert has_run(former)
    first = world.found()
    for path in ("", str(former)):  # without a path: the installed operator
        before = world.found()
        world.operator.stop()
        mark = world.mark()
        world.start(PYTHONPATH=path)
        world.synced()
        assert has_run(former) == bool(path)
        after = world.found()
        assert {f["Id"] for f in after.values()} == {f["Id"] for f in first.values()}
        assert {a: f["CreatedAt"] for a, f in after.items()} == {a: f["CreatedAt"] for a, f in first.items()}
        assert {f["RecordState"] for f in after.values()} == {"ACTIVE"}
        sent = {entry["id"] for entry in world.journal(mark)}
        assert sent == {f["Id"] for a, f in after.items() if renderer(f) != renderer(before[a])}


def test_a_version_that_renders_otherwise_sends_everything_again(world: World, next_one: Path) -> None:
    """Each active finding once, with its id, its first time and its digest; analysts' values stay, and archived
    findings are left unchanged.
    """
    world.apply(*(report(f"web-{n}", result("kept")) for n in range(10)), report("web-x", result("over")))
    world.monitor()
    world.start()
    world.until(lambda: len(world.found(state="ACTIVE")) == 11, "the findings of this version")
    world.apply(report("web-x", result("over", result="pass")))
    world.until(lambda: len(world.found(state="ACTIVE")) == 10, "one that is archived")
    world.well()
    before = world.found()
    world.operator.stop()
    mark = world.mark()
    world.start(PYTHONPATH=str(next_one))
    active = {f["Id"] for f in before.values() if f["RecordState"] == "ACTIVE"}
    world.until(lambda: {e["id"] for e in world.journal(mark)} >= active, "all that the newer version writes")
    world.synced()
    assert has_run(next_one)
    after = world.found()
    assert sorted(entry["id"] for entry in world.journal(mark)) == sorted(active)
    for about, finding in after.items():
        old = before[about]
        for name in ("Id", "CreatedAt", "FirstObservedAt", "RecordState", "Workflow", "Title", "Description"):
            assert finding[name] == old[name]
        assert finding["ProductFields"]["policyhub/digest"] == old["ProductFields"]["policyhub/digest"]
        assert renderer(finding) == str(RENDERER + (finding["Id"] in active))


def renderer(finding: dict[str, dict[str, str]]) -> str:
    return finding["ProductFields"]["policyhub/renderer"]
