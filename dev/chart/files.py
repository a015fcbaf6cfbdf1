"""The charts' generated files: values.schema.json and README.md from the comments of values.yaml; the RBAC rules for
reading, from the operator's tables; and the other rules of policyhub-access, a copy of those in the chart policyhub.
"""

from pathlib import Path

from dev.chart import readme, rules, schema, values

CHART = Path("charts/policyhub")
ACCESS = Path("charts/policyhub-access")
RULES = Path("templates/_rules.tpl")
READ = Path("templates/_read.tpl")


def generated(root: Path) -> dict[Path, str]:
    """By path relative to the project. Raises ValuesError."""
    templates = root / CHART / "templates"
    own = schema.own_settings((templates / "_env.tpl").read_text("utf-8"))
    others = schema.other_names((templates / "_names.tpl").read_text("utf-8"))
    return {
        **_documented(root, CHART, own=own, others=others),
        **_documented(root, ACCESS),
        ACCESS / RULES: (root / CHART / RULES).read_text("utf-8"),
        **dict.fromkeys((CHART / READ, ACCESS / READ), rules.render()),
    }


def _documented(
    root: Path, chart: Path, *, own: frozenset[str] = frozenset(), others: frozenset[str] = frozenset()
) -> dict[Path, str]:
    """The files generated from the values of one chart."""
    try:
        found = values.parse((root / chart / "values.yaml").read_text("utf-8"))
        return {
            chart / "values.schema.json": schema.render(found, chart=chart.name, own=own, others=others),
            chart / "README.md": readme.render((root / chart / "README.md").read_text("utf-8"), found),
        }
    except values.ValuesError as error:
        raise values.ValuesError(f"{chart / 'values.yaml'}: {error}") from error
