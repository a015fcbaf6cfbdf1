"""`python -m dev.generated` in a copy of the files that it reads and writes."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dev import address, generated
from dev.chart.files import ACCESS, CHART, RULES
from policyhub.api import crd

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the generators read, in a folder of its own."""
    for chart in (CHART, ACCESS):
        shutil.copytree(ROOT / chart, tmp_path / chart)
    for path in (Path("pyproject.toml"), *address.FILES):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def named(project: Path, repository: str) -> None:
    text = (project / "pyproject.toml").read_text("utf-8")
    changed, number = re.subn(r'(?m)^Repository = ".*"$', f'Repository = "{repository}"', text)
    assert number == 1
    (project / "pyproject.toml").write_text(changed, "utf-8")


def test_one_setting_is_sufficient(project: Path) -> None:
    """Another owner in pyproject.toml, and after `make generate` no file names the old one."""
    named(project, "https://github.com/Acme-Corp/policyhub")
    assert generated.main(["--check", f"--root={project}"]) == 1
    assert generated.main(["--write", f"--root={project}"]) == 0
    for path in address.FILES:
        text = (project / path).read_text("utf-8")
        assert {found["owner"] for found in address.ADDRESS.finditer(text)} <= {"Acme-Corp", "acme-corp"}, path
        assert address.PLACEHOLDER not in text, path
    chart = yaml.safe_load((project / CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["home"] == chart["sources"][0] == "https://github.com/Acme-Corp/policyhub"
    images = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert images[0]["image"] == f"ghcr.io/acme-corp/policyhub:{chart['appVersion']}"
    named(project, "https://github.com/OWNER/policyhub")
    assert generated.main(["--write", f"--root={project}"]) == 0
    for path in address.FILES:
        assert (project / path).read_text("utf-8") == (ROOT / path).read_text("utf-8"), path


@pytest.mark.parametrize(
    "repository", ["", "policyhub", "https://github.com/acme/other", "https://example.com/a/policyhub"]
)
def test_an_invalid_address_is_rejected(repository: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any other repository ends `make generate` with what is wanted, and nothing is written."""
    named(project, repository)
    assert generated.main(["--write", f"--root={project}"]) == 2
    assert "Repository is not https://github.com/<owner>/policyhub" in capsys.readouterr().err


def test_check_names_outdated_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails and names the file until `--write` has been run; a value that is wrong is named too."""
    root = f"--root={project}"
    assert generated.main(["--check", root]) == 1
    assert f"{crd.FILES[0]} is out of date" in capsys.readouterr().err
    assert generated.main(["--write", root]) == 0
    assert generated.main(["--check", root]) == 0
    (project / crd.FILES[1]).write_text("edited", "utf-8")
    assert list(generated.stale(project)) == [crd.FILES[1]]
    for chart in (ACCESS, CHART):
        (project / chart / "values.yaml").write_text("undocumented: 1\n", "utf-8")
        assert generated.main(["--check", root]) == 2
        assert f"{chart}/values.yaml: " in capsys.readouterr().err


def test_both_charts_have_the_same_rules(project: Path) -> None:
    """A rule that is added for the home cluster alone, or edited in the copy, is out of date until it is in both."""
    root = f"--root={project}"
    assert generated.main(["--write", root]) == 0
    for chart in (CHART, ACCESS):
        path = project / chart / RULES
        path.write_text(path.read_text("utf-8").replace("verbs: [get]", "verbs: [get, list]", 1), "utf-8")
        assert list(generated.stale(project)) == [ACCESS / RULES]
        assert generated.main(["--write", root]) == 0
