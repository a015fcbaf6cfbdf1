"""The committed files that are made from others."""

import functools
import shutil
from pathlib import Path

import pytest

from dev import address, generated
from dev.chart.files import ACCESS, CHART, RULES
from policyhub.api import crd

ROOT = Path(__file__).parents[3]


@functools.cache
def stale() -> tuple[Path, ...]:
    return tuple(generated.stale(ROOT))


@pytest.mark.parametrize("path", generated.generated(ROOT), ids=str)
def test_committed_files_are_up_to_date(path: Path) -> None:
    """After a change of what it is made from: `make generate`."""
    assert path not in stale()


def copied(to: Path) -> None:
    """What the generators read, in another folder."""
    for chart in (CHART, ACCESS):
        shutil.copytree(ROOT / chart, to / chart)
    for path in (Path("pyproject.toml"), *address.FILES):
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, to / path)


def test_check_names_what_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails and names the file until `--write` has been run; a value that is wrong is named too."""
    copied(tmp_path)
    root = f"--root={tmp_path}"
    assert generated.main(["--check", root]) == 1
    assert f"{crd.FILES[0]} is out of date" in capsys.readouterr().err
    assert generated.main(["--write", root]) == 0
    assert generated.main(["--check", root]) == 0
    (tmp_path / crd.FILES[1]).write_text("edited", "utf-8")
    assert list(generated.stale(tmp_path)) == [crd.FILES[1]]
    for chart in (ACCESS, CHART):
        (tmp_path / chart / "values.yaml").write_text("undocumented: 1\n", "utf-8")
        assert generated.main(["--check", root]) == 2
        assert f"{chart}/values.yaml: " in capsys.readouterr().err


def test_the_rules_of_one_chart_are_those_of_the_other(tmp_path: Path) -> None:
    """A rule that is added for the home cluster alone, or edited in the copy, is out of date until it is in both."""
    copied(tmp_path)
    root = f"--root={tmp_path}"
    assert generated.main(["--write", root]) == 0
    for chart in (CHART, ACCESS):
        path = tmp_path / chart / RULES
        path.write_text(path.read_text("utf-8").replace("verbs: [get]", "verbs: [get, list]", 1), "utf-8")
        assert list(generated.stale(tmp_path)) == [ACCESS / RULES]
        assert generated.main(["--write", root]) == 0
