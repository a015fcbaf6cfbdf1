"""The rendered examples: the output of `helm template` for each set of values, committed and reviewed.

The values are in `values/<name>.yaml`, the output in `golden/<name>.yaml`.
"""

from pathlib import Path

from dev.cluster import helm
from dev.cluster.gobuild import Progress, silent

FOLDER = Path("tests/component/chart")
RELEASE = "policyhub"
NAMESPACE = "policyhub"


def names(folder: Path) -> list[str]:
    """The names of the sets of values, in order."""
    return sorted(path.stem for path in (folder / "values").glob("*.yaml"))


def render(chart: Path, folder: Path, name: str, *, progress: Progress = silent) -> str:
    """Helm's output for one set, without the CRDs. Raises HelmError."""
    return helm.template(
        chart, RELEASE, NAMESPACE, values=folder / "values" / f"{name}.yaml", crds=False, progress=progress
    )


def write(chart: Path, folder: Path, *, progress: Progress = silent) -> None:
    """Renders all sets, and removes the output of sets that no longer exist."""
    (folder / "golden").mkdir(exist_ok=True)
    for path in (folder / "golden").glob("*.yaml"):
        path.unlink()
    for name in names(folder):
        (folder / "golden" / f"{name}.yaml").write_text(render(chart, folder, name, progress=progress), "utf-8")
