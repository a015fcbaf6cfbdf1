"""The addresses of releases: pyproject.toml names the repository's owner, and the other files are generated from it.

| published                     | address                                       |
|-------------------------------|-----------------------------------------------|
| source, runbooks, advisories  | `https://github.com/OWNER/policyhub`          |
| image                         | `ghcr.io/OWNER/policyhub`                     |
| charts                        | `oci://ghcr.io/OWNER/charts/policyhub`, `…/charts/policyhub-access` |

While the owner is the placeholder `OWNER`, nothing is published, and the chart has a note instead of links.
"""

import re
import tomllib
from pathlib import Path

PLACEHOLDER = "OWNER"
FILES = (
    Path("SECURITY.md"),
    Path("charts/policyhub-access/Chart.yaml"),
    Path("charts/policyhub/Chart.yaml"),
    Path("docs/ci.md"),
    Path("docs/image.md"),
    Path("docs/install.md"),
    Path("docs/upgrade.md"),
)
"""Files with such an address; a test finds any that is missing here."""
ADDRESS = re.compile(
    r"(?P<host>github(?:\\)?\.com/|raw\.githubusercontent\.com/|ghcr\.io/|--repo )(?P<owner>[\w.-]+)"
    r"(?P<rest>/(?:charts/policyhub(?:-access)?|policyhub)(?![\w-]))"
)


class AddressError(Exception):
    """pyproject.toml does not name the repository in the expected form, which the message has."""


def owner(root: Path) -> str:
    """Owner of the repository in pyproject.toml. Raises AddressError."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/policyhub", project.get("urls", {}).get("Repository", ""))
    if found is None:
        raise AddressError("pyproject.toml: [project.urls] Repository is not https://github.com/<owner>/policyhub")
    return found[1]


def addressed(text: str, owner: str) -> str:
    """The text with this owner in each address; in lower case for the registry, except the placeholder."""

    def named(found: re.Match[str]) -> str:
        registry = found["host"] == "ghcr.io/" and owner != PLACEHOLDER
        return f"{found['host']}{owner.lower() if registry else owner}{found['rest']}"

    return ADDRESS.sub(named, text)


def generated(root: Path) -> dict[Path, str]:
    """Path relative to the project → expected content, for each of FILES. Raises AddressError."""
    name = owner(root)
    return {path: addressed((root / path).read_text("utf-8"), name) for path in FILES}
