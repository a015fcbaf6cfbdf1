"""Where releases are published: pyproject.toml names the repository's owner, and every other file follows.

| published                     | address                                       |
|-------------------------------|-----------------------------------------------|
| source, runbooks, advisories  | `https://github.com/OWNER/policyhub`          |
| image                         | `ghcr.io/OWNER/policyhub`                     |
| charts                        | `oci://ghcr.io/OWNER/charts/policyhub`, `…/charts/policyhub-access` |

While the owner is the placeholder `OWNER`, nothing is published, and the chart says so where it would link to a page.
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
"""Those that tell an address; a test finds any that is missing here."""
ADDRESS = re.compile(
    r"(?P<host>github(?:\\)?\.com/|raw\.githubusercontent\.com/|ghcr\.io/|--repo )(?P<owner>[\w.-]+)"
    r"(?P<rest>/(?:charts/policyhub(?:-access)?|policyhub)(?![\w-]))"
)


class AddressError(Exception):
    """pyproject.toml names no repository; the message says what it should look like."""


def owner(root: Path) -> str:
    """Of the repository that pyproject.toml names. Raises AddressError."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/policyhub", project.get("urls", {}).get("Repository", ""))
    if found is None:
        raise AddressError("pyproject.toml: [project.urls] Repository is not https://github.com/<owner>/policyhub")
    return found[1]


def addressed(text: str, owner: str) -> str:
    """The text with this owner in each address. A registry's names are in lower case, but for the placeholder."""

    def named(found: re.Match[str]) -> str:
        registry = found["host"] == "ghcr.io/" and owner != PLACEHOLDER
        return f"{found['host']}{owner.lower() if registry else owner}{found['rest']}"

    return ADDRESS.sub(named, text)


def generated(root: Path) -> dict[Path, str]:
    """What each of FILES should hold, by path relative to the project. Raises AddressError."""
    name = owner(root)
    return {path: addressed((root / path).read_text("utf-8"), name) for path in FILES}
