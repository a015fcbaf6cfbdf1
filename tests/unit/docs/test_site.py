"""The docs site's hook: links out of docs/ lead to the repository, and it warns of text that would render wrongly."""

import logging
from types import SimpleNamespace

import pytest

from dev import site


def made(markdown: str, page: str = "runbooks/README.md") -> str:
    return site.on_page_markdown(markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)))


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("../../charts/policyhub/README.md#values", f"{site.REPOSITORY}/blob/main/charts/policyhub/README.md#values"),
        ("../../dev/dashboards", f"{site.REPOSITORY}/tree/main/dev/dashboards"),
        ("../conditions.md#ready", "../conditions.md#ready"),
        ("PolicyhubNotAtWork.md", "PolicyhubNotAtWork.md"),
    ],
    ids=["file", "folder", "page of docs", "same folder"],
)
def test_only_links_that_leave_docs_lead_to_the_repository(link: str, leads_to: str) -> None:
    """Both of two links in a line, and none in a code block."""
    text = f"see [a]({link}) and [b]({link}).\n\n```\n[c]({link})\n```\n"
    assert made(text) == f"see [a]({leads_to}) and [b]({leads_to}).\n\n```\n[c]({link})\n```\n"


@pytest.mark.parametrize(
    "text",
    [
        "[a](../../nowhere.py)\n",
        "[a](../../../outside)\n",
        "* a\n\n  its second paragraph\n",
        "* a\n\n  ```sh\n  b\n  ```\n",
    ],
    ids=["no file", "outside the project", "paragraph of an item", "code of an item"],
)
def test_wrong_rendering_is_warned_of(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """MkDocs fails a strict build for each warning of a hook."""
    made(text)
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "mkdocs.hooks.site")


def test_right_rendering_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Items indented by four blanks, lines that continue without a blank one, code blocks."""
    made("* a\n  goes on\n\n    more\n\n    ```sh\n    b\n    ```\n\n```\nc\n\n  d\n```\n\n[a](../../LICENSE)\n")
    assert not caplog.records
