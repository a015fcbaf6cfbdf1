"""Where releases are published: named in one place."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dev import address, generated
from dev.chart.files import ACCESS, CHART

ROOT = Path(__file__).parents[3]
WRITTEN = [
    path
    for place in (".github", "charts", "crds", "dev", "docs", "operator", "requirements", "tests")
    for path in (ROOT / place).rglob("*")
] + list(ROOT.glob("*"))


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


def test_one_setting_is_enough(project: Path) -> None:
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
def test_what_is_no_address_is_said(repository: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any other repository ends `make generate` with what is wanted, and nothing is written."""
    named(project, repository)
    assert generated.main(["--write", f"--root={project}"]) == 2
    assert "Repository is not https://github.com/<owner>/policyhub" in capsys.readouterr().err


def test_no_other_file_names_an_address() -> None:
    """Each file with an address of ours is one that `make generate` keeps right."""
    found = {
        path.relative_to(ROOT)
        for path in WRITTEN
        if path.suffix in {".md", ".yaml", ".yml", ".toml", ".txt", ".tpl", ".py", ".sh", ""}
        and path.is_file()
        and address.ADDRESS.search(path.read_text("utf-8"))
    }
    own = {Path("pyproject.toml"), Path("dev/address.py"), Path("tests/unit/generated/test_address.py")}
    assert found - own == set(address.FILES)


def test_the_chart_is_complete_for_artifact_hub() -> None:
    """Its annotations, which are YAML themselves, name the CRDs as they are."""
    chart = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text("utf-8"))
    crds = {
        (found["metadata"]["name"], version["name"])
        for path in (ROOT / CHART / "crds").glob("*.yaml")
        for found in [yaml.safe_load(path.read_text("utf-8"))]
        for version in found["spec"]["versions"]
    }
    told = yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])
    assert {(one["name"], one["version"]) for one in told} == crds


@pytest.mark.parametrize("folder", [CHART, ACCESS], ids=lambda path: path.name)
def test_the_pages_of_a_chart_are_there(folder: Path) -> None:
    """Links and icon lead to files of the project."""
    chart = yaml.safe_load((ROOT / folder / "Chart.yaml").read_text("utf-8"))
    assert {"home", "sources", "icon", "maintainers", "kubeVersion", "keywords"} <= set(chart)
    assert (ROOT / chart["icon"].partition("/main/")[2]).is_file()
    for link in yaml.safe_load(chart["annotations"]["artifacthub.io/links"]):
        _, _, page = link["url"].partition("/blob/main/")
        assert not page or (ROOT / page).is_file(), link
