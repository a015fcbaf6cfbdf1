"""The pictures of the documentation show the current state."""

import shutil
from pathlib import Path

import pytest

from dev.pictures import __main__ as command
from dev.pictures import record, terminal

ROOT = Path(__file__).parents[3]
OF = ("dev/hub/page", "dev/demo", "dev/dashboards", "dev/pictures", "docs/images", "operator")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The subjects of pictures, with a picture of each."""
    for folder in OF:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in record.PICTURES:
        (tmp_path / record.FOLDER / name).write_bytes(b"a picture")
    record.record(tmp_path, record.PICTURES)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_a_changed_subject_makes_a_picture_outdated(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recorded picture is current until its subject changes: the page, a finding's text, the demo's output."""
    assert command.main(["--check", f"--root={root}"]) == 0
    edit(root / "dev/hub/page/style.css", "{", "{ ")
    assert record.stale(root) == {"findings-page.png": "is out of date"}
    assert command.main(["--check", f"--root={root}"]) == 1
    assert "docs/images/findings-page.png is out of date: run `make pictures`" in capsys.readouterr().err
    record.record(root, ["findings-page.png"])
    assert record.stale(root) == {}
    edit(root / "operator/policyhub/findings/compliance.py", "Software and Configuration Checks", "Software and Checks")
    assert list(record.stale(root)) == ["findings-page.png"]
    record.record(root, ["findings-page.png"])
    edit(root / "dev/demo/story.py", "The engines write reports: violations", "Violations")
    assert list(record.stale(root)) == ["demo.svg"]


def test_invisible_changes_need_no_new_picture(root: Path) -> None:
    """A comment or a docstring changes nothing visible."""
    edit(root / "dev/demo/story.py", '"""The demo', '"""All of the demo')
    edit(root / "operator/policyhub/findings/compliance.py", '"""', '"""Again: ')
    assert record.stale(root) == {}


def test_an_unrecorded_picture_is_outdated(root: Path) -> None:
    """One that was replaced manually, is missing, or was never recorded."""
    folder = root / record.FOLDER
    (folder / "dashboard-fleet.png").write_bytes(b"another")
    (folder / "demo.svg").unlink()
    assert record.stale(root) == {
        "dashboard-fleet.png": "is not the recorded one",
        "demo.svg": "was never taken",
    }
    (root / record.RECORD).unlink()
    assert record.stale(root)["findings-page.png"] == "is not in the record"


def test_the_same_findings_twice() -> None:
    """Without a clock: two digests of one state are equal, and findings have the company's times."""
    assert record.digest(record.page(ROOT)) == record.digest(record.page(ROOT))
    made = record.findings(ROOT)
    assert len(made) > 200
    assert {finding["UpdatedAt"] for finding in made} == {"2026-09-22T08:00:00.000Z"}


def test_lines_of_a_terminal() -> None:
    """The output is in it as escaped text, with steps and failures in colour."""
    drawn = terminal.svg("make demo", ["A title", "", "1. A step", "   FAILED: <b> & more"])
    assert drawn == terminal.svg("make demo", ["A title", "", "1. A step", "   FAILED: <b> & more"])
    assert '<text class="t s" x="16" y="100">1. A step</text>' in drawn
    assert "   FAILED: &lt;b&gt; &amp; more" in drawn
    assert drawn.count("<text") == 4


def test_an_unknown_picture_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nobody.png"])
    assert "no picture nobody.png" in capsys.readouterr().err
