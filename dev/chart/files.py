"""The chart's generated files: what values.schema.json and README.md should hold, by the comments of values.yaml."""

from pathlib import Path

from dev.chart import readme, schema, values

CHART = Path("charts/policyhub")


def generated(root: Path) -> dict[Path, str]:
    """By path relative to the project. Raises ValuesError."""
    chart = root / CHART
    found = values.parse((chart / "values.yaml").read_text("utf-8"))
    own = schema.own_settings((chart / "templates/_env.tpl").read_text("utf-8"))
    others = schema.other_names((chart / "templates/_names.tpl").read_text("utf-8"))
    return {
        CHART / "values.schema.json": schema.render(found, own=own, others=others),
        CHART / "README.md": readme.render((chart / "README.md").read_text("utf-8"), found),
    }
