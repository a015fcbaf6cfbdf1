"""The hook of mkdocs.yml: adapts docs/ so that pages work on GitHub and on the site.

| in a page                                  | on the site                                                  |
|--------------------------------------------|--------------------------------------------------------------|
| a link to a file outside docs/             | the file in the repository that pyproject.toml names         |
| a link to a file that does not exist       | a warning, which fails a strict build                        |
| part of a list item, indented by 1-3 blanks | a warning: part of the item on GitHub, but not on the site   |
"""

import logging
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
LINK = re.compile(r"(?P<before>\]\()(?P<path>(?:\.\./)+[^)\s#]*)(?P<rest>[^)]*\))")
FENCE = re.compile(r"^ *(`{3,})")

log = logging.getLogger("mkdocs.hooks.site")


def on_config(config: Any) -> None:
    """Adds a link to the repository. With `repo_url` instead, each page would call GitHub."""
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": REPOSITORY, "name": "Source"}]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with the repository's address in each link that leaves docs/, except in code blocks."""
    source = PurePosixPath("docs", page.file.src_uri)
    lines: list[str] = []
    fence, blank = "", False
    for number, line in enumerate(markdown.splitlines(), 1):
        found = FENCE.match(line)
        if not fence and blank and re.match(r" {1,3}\S", line):
            log.warning(
                "%s:%d: indented by fewer than four blanks, so the site does not make it part of the list item",
                source,
                number,
            )
        if found and (not fence or found[1].startswith(fence)):
            fence = "" if fence else found[1]
        blank = not line.strip()
        lines.append(line if fence else LINK.sub(lambda link: _link(link, source), line))
    return "\n".join(lines) + "\n"


def _link(link: re.Match[str], source: PurePosixPath) -> str:
    target = (ROOT / source.parent / link["path"]).resolve()
    if target.is_relative_to(ROOT / "docs"):
        return link[0]
    if not target.exists() or not target.is_relative_to(ROOT):
        log.warning("%s: the link %r does not lead to a file of the project", source, link["path"])
        return link[0]
    kind = "tree" if target.is_dir() else "blob"
    return f"{link['before']}{REPOSITORY}/{kind}/main/{target.relative_to(ROOT).as_posix()}{link['rest']}"
