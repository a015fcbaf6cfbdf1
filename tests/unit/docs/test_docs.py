"""The docs and the code agree: metrics, settings, conditions, columns, log events, links."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from dev import metrics
from policyhub.api import sla
from policyhub.api.crd import definition
from policyhub.api.sla import SlaDays
from policyhub.api.status import ConditionType
from policyhub.cli.run import run_command
from policyhub.metrics.series import Definition
from policyhub.settings import Settings, flag, variable
from policyhub.sync.holds import Hold
from policyhub.sync.plan import Change

ROOT = Path(__file__).parents[3]
OPERATIONS = "\n".join(
    (ROOT / f"docs/{page}.md").read_text("utf-8")
    for page in ("operations", "conditions", "logs", "settings", "triage", "archiving", "clusters")
)
METRICS = (ROOT / "docs/metrics.md").read_text("utf-8")
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})
REPOSITORY_PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "charts").rglob("*.md"), *(ROOT / "dev").rglob("*.md")})
"""Pages outside the site; `make docs` checks the links of the site."""
SOURCES = {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "operator/policyhub").rglob("*.py")}


# -- reading the docs -------------------------------------------------------------------------------------------------


def section(title: str) -> str:
    """The text under a heading, without its subsections."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no page of docs/operations.md has a section {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables in a section, without their headers."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rules = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-|")]
    return [row for number, row in enumerate(cells) if number not in rules and number + 1 not in rules]


def code(cell: str) -> list[str]:
    """The text in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_cells(title: str) -> list[str]:
    return [name for row in rows(title) for name in code(row[0])]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The ids that a forge gives to headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The relative links and images of a page."""
    text = prose(page)
    found = [*re.findall(r"\]\(([^)\s]+)[^)]*\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


# -- reading the code -------------------------------------------------------------------------------------------------


def literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def log_events() -> dict[str, set[str]]:
    """Event → the levels at which it is logged."""
    found: dict[str, set[str]] = {}
    for tree in SOURCES.values():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.args
                and (event := literal(node.args[0])) is not None
            ):
                found.setdefault(event, set()).add(node.func.attr.replace("exception", "error"))
    return found


# -- metrics and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", metrics.definitions(), ids=lambda metric: metric.name)
def test_every_metric_has_an_example(metric: Definition) -> None:
    """The example beside a metric queries this metric."""
    assert metric.name in metric.example


def test_label_values_are_named() -> None:
    """The reasons for imports and holds are the label values."""
    sent = next(metric for metric in metrics.definitions() if metric.name == "policyhub_findings_sent_total")
    assert {*code(sent.detail)} - {"change"} == {change.value for change in Change}
    assert {*first_cells("What holds a finding")} == {hold.value for hold in Hold}


def test_every_setting_is_described_with_its_default() -> None:
    """The table of settings has each environment variable with its flag and default, and no other."""
    output = {code(row[0])[0]: (code(row[1])[0], (code(row[2]) or [row[2]])[0]) for row in rows("Settings")}
    assert output == {
        variable(name): (flag(name), default(field.default)) for name, field in Settings.model_fields.items()
    }


def default(value: object) -> str:
    """The default as a person would write it."""
    return "none" if value in {None, ()} else sla.render(value) if isinstance(value, SlaDays) else str(value)


def test_every_flag_is_described() -> None:
    """The table of settings has each flag of `policyhub run`, and no other."""
    flags = {option for parameter in run_command().params for option in parameter.opts}
    assert {flag for row in rows("Settings") for flag in code(row[1])} == flags


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_setting_that_does_not_exist(page: Path) -> None:
    """Wherever a page has POLICYHUB_…, that setting exists."""
    names = {name.lower() for name in re.findall(r"POLICYHUB_([A-Z_]+)", page.read_text("utf-8"))}
    assert names <= Settings.model_fields.keys()


# -- conditions -------------------------------------------------------------------------------------------------------


def test_every_condition_has_a_section() -> None:
    """docs/conditions.md has one section for each condition type, and no other."""
    page = (ROOT / "docs/conditions.md").read_text("utf-8")
    assert sorted(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == sorted(get_args(ConditionType))


@pytest.mark.parametrize("type_", get_args(ConditionType))
def test_a_reason_is_unique_in_a_condition(type_: str) -> None:
    """A condition's table has each reason once, with its status."""
    output = first_cells(type_)
    assert len(output) == len({*output})
    assert {row[1] for row in rows(type_)} <= {"True", "False", "Unknown"}


def test_every_column_is_explained() -> None:
    """The table of `kubectl get` has each column of the CRD in its order, after the name."""
    version = definition()["spec"]["versions"][0]
    columns = [column["name"].upper() for column in version["additionalPrinterColumns"]]
    assert [row[0] for row in rows("kubectl get monitoredclusters")] == ["NAME", *columns]


def test_the_sample_shows_the_columns() -> None:
    """The sample output has the columns that kubectl prints without `-o wide`."""
    version = definition()["spec"]["versions"][0]
    shown = [column["name"].upper() for column in version["additionalPrinterColumns"] if not column.get("priority")]
    header = next(line for line in OPERATIONS.splitlines() if line.startswith("NAME "))
    assert header.split() == ["NAME", *shown]


# -- logs -------------------------------------------------------------------------------------------------------------


def test_events_of_the_log_exist() -> None:
    """Each event in the log table is logged, at the level beside it."""
    logged = log_events()
    for row in rows("Logs"):
        event = code(row[0])[0]
        assert row[1] in logged.get(event, set()), event


def test_warnings_are_explained() -> None:
    """Each event that is logged as a warning or an error is in the table."""
    alarming = {event for event, levels in log_events().items() if levels & {"warning", "error"}}
    assert alarming <= {*first_cells("Logs")}


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", REPOSITORY_PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_resolve(page: Path) -> None:
    """Each relative link outside docs/ leads to a file of the project, and each anchor to a heading."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_path_of_a_developers_machine(page: Path) -> None:
    """No page has a home folder, or the project's folder."""
    text = page.read_text("utf-8")
    assert not re.search(r"(?<![\w.])(/home/\w|/Users/\w|/root\b|[A-Z]:\\)", text)
    assert not re.search(rf"(?<![\w.-]){re.escape(str(ROOT))}\b", text)


def test_the_index_and_the_site_have_the_same_pages() -> None:
    """docs/README.md has the pages of the site's navigation with the same titles, in the same four parts."""
    index = (ROOT / "docs/README.md").read_text("utf-8")
    parts = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL)
    listed = {part: {*re.findall(r"^\| \[(.+?)\]\((.+?)\)", text, re.MULTILINE)} for part, text in parts}
    _, _, nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")
    shown = {
        part: {
            (title, page if isinstance(page, str) else page[0]) for entry in entries for title, page in entry.items()
        }
        for part, entries in ((part, entries) for entry in yaml.safe_load(nav)[1:] for part, entries in entry.items())
    }
    assert listed == shown
