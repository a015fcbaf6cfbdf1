"""The pictures of the documentation, and whether they are of what there is now."""

import shutil
from pathlib import Path

import pytest

from dev.pictures import __main__ as command
from dev.pictures import record, terminal

ROOT = Path(__file__).parents[3]
OF = ("dev/hub/page", "dev/demo", "dev/dashboards", "dev/pictures", "docs/images", "operator")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What pictures are of, with a picture of each."""
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


def test_each_picture_is_of_what_there_is_now(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Taken and recorded, it is right, until what it shows changes: the page, a finding's words, the demo's words."""
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


def test_what_nobody_sees_needs_no_picture(root: Path) -> None:
    """A comment or a docstring of the program changes nothing that is shown."""
    edit(root / "dev/demo/story.py", '"""The demo', '"""All of the demo')
    edit(root / "operator/policyhub/findings/compliance.py", '"""', '"""Again: ')
    assert record.stale(root) == {}


def test_a_picture_that_nobody_recorded_is_stale(root: Path) -> None:
    """One that was replaced by hand, is missing, or was never recorded."""
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
    """Without a clock: two digests of one state are equal, and the findings have times of the company's."""
    assert record.digest(record.page(ROOT)) == record.digest(record.page(ROOT))
    made = record.findings(ROOT)
    assert len(made) > 200
    assert {finding["UpdatedAt"] for finding in made} == {"2026-09-22T08:00:00.000Z"}


def test_lines_of_a_terminal() -> None:
    """What was printed stands in it as text, escaped, a step and a failure in their colours."""
    drawn = terminal.svg("make demo", ["A title", "", "1. A step", "   FAILED: <b> & more"])
    assert drawn == terminal.svg("make demo", ["A title", "", "1. A step", "   FAILED: <b> & more"])
    assert '<text class="t s" x="16" y="100">1. A step</text>' in drawn
    assert "   FAILED: &lt;b&gt; &amp; more" in drawn
    assert drawn.count("<text") == 4


def test_an_unknown_picture_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nobody.png"])
    assert "no picture nobody.png" in capsys.readouterr().err
