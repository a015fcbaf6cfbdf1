"""Others' objects, as the tests of this folder read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.sources.recorded import Recorded

DATA = Path(__file__).parents[3] / "shared" / "data"


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file as an API server returns them. Excerpts in documentation leave out names and namespaces."""
    text = path.read_text("utf-8")
    loaded = [json.loads(text)] if path.suffix == ".json" else yaml.safe_load_all(text)
    found = [item for one in loaded for item in (one["items"] if one["kind"].endswith("List") else [one])]
    for number, document in enumerate(found):
        metadata = document["metadata"]
        metadata.setdefault("name", f"{path.stem}-{number}".lower())
        if document["kind"] in {"PolicyReport", "Report"}:
            metadata.setdefault("namespace", document.get("scope", {}).get("namespace", "default"))
        yield document


def of(name: str) -> list[Recorded]:
    """The objects of one file, such as `live/owners.json`."""
    return [Recorded(name, document) for document in documents(DATA / name)]


def everything() -> list[Recorded]:
    """Each report and constraint."""
    paths = sorted([*DATA.glob("live/*s.json"), *DATA.glob("samples/*.*")])
    names = [f"{path.parent.name}/{path.name}" for path in paths if path.suffix != ".md" and path.name != "owners.json"]
    return [one for name in names for one in of(name)]
