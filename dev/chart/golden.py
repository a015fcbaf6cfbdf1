"""The rendered examples: what `helm template` makes of each set of values, as committed and reviewed.

A set of values is `values/<name>.yaml` beside the folder of what it becomes, `golden/<name>.yaml`.
"""

from pathlib import Path

from dev.cluster import helm
from dev.cluster.gobuild import Progress, silent

FOLDER = Path("tests/component/chart")
RELEASE = "policyhub"
NAMESPACE = "policyhub"


def names(folder: Path) -> list[str]:
    """Of the sets of values, in order."""
    return sorted(path.stem for path in (folder / "values").glob("*.yaml"))


def render(chart: Path, folder: Path, name: str, *, progress: Progress = silent) -> str:
    """What helm makes of one set, without the CRDs. Raises HelmError."""
    return helm.template(
        chart, RELEASE, NAMESPACE, values=folder / "values" / f"{name}.yaml", crds=False, progress=progress
    )


def write(chart: Path, folder: Path, *, progress: Progress = silent) -> None:
    """All of them anew; one whose values are gone goes."""
    (folder / "golden").mkdir(exist_ok=True)
    for path in (folder / "golden").glob("*.yaml"):
        path.unlink()
    for name in names(folder):
        (folder / "golden" / f"{name}.yaml").write_text(render(chart, folder, name, progress=progress), "utf-8")
