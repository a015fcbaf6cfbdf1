"""The publishing address of releases is configured in one place."""

from pathlib import Path

import pytest
import yaml

from dev import address
from dev.chart.files import ACCESS, CHART

ROOT = Path(__file__).parents[3]
WRITTEN = [
    path
    for place in (".github", "charts", "crds", "dev", "docs", "operator", "requirements", "tests")
    for path in (ROOT / place).rglob("*")
] + list(ROOT.glob("*"))


def test_no_other_file_has_an_address() -> None:
    """`make generate` maintains each file with an address of ours."""
    found = {
        path.relative_to(ROOT)
        for path in WRITTEN
        if path.suffix in {".md", ".yaml", ".yml", ".toml", ".txt", ".tpl", ".py", ".sh", ""}
        and path.is_file()
        and address.ADDRESS.search(path.read_text("utf-8"))
    }
    own = {Path("pyproject.toml"), Path("dev/address.py"), Path("tests/component/generated/test_generated_command.py")}
    assert found - own == set(address.FILES)


def test_the_chart_is_complete_for_artifact_hub() -> None:
    """Its annotations, which are YAML themselves, list the CRDs."""
    chart = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text("utf-8"))
    crds = {
        (found["metadata"]["name"], version["name"])
        for path in (ROOT / CHART / "crds").glob("*.yaml")
        for found in [yaml.safe_load(path.read_text("utf-8"))]
        for version in found["spec"]["versions"]
    }
    output = yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])
    assert {(one["name"], one["version"]) for one in output} == crds


@pytest.mark.parametrize("folder", [CHART, ACCESS], ids=lambda path: path.name)
def test_the_pages_of_a_chart_exist(folder: Path) -> None:
    """Links and icon lead to files of the project."""
    chart = yaml.safe_load((ROOT / folder / "Chart.yaml").read_text("utf-8"))
    assert {"home", "sources", "icon", "maintainers", "kubeVersion", "keywords"} <= set(chart)
    assert (ROOT / chart["icon"].partition("/main/")[2]).is_file()
    for link in yaml.safe_load(chart["annotations"]["artifacthub.io/links"]):
        _, _, page = link["url"].partition("/blob/main/")
        assert not page or (ROOT / page).is_file(), link
