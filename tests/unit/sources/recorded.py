"""What the real engines wrote about our own company (`make e2e RECORD=1`), for tests."""

import json
from pathlib import Path
from typing import Any

import msgspec

from policyhub.model.source_apis import plural_of
from policyhub.model.violation import ParsedReport
from policyhub.sources import reader

DATA = Path(__file__).parents[2] / "data" / "engines"
LATEST = 4_000_000_000
"""Recordings may be renewed: whatever time they name, it is past."""


class Recorded(msgspec.Struct, frozen=True):
    moment: str
    document: dict[str, Any]

    @property
    def group(self) -> str:
        return str(self.document["apiVersion"]).partition("/")[0]

    @property
    def resource(self) -> str:
        """Plural, as the API path has it."""
        return plural_of(self.group, str(self.document["kind"]))

    @property
    def raw(self) -> bytes:
        return json.dumps(self.document).encode()

    def read(self) -> ParsedReport:
        return reader.read(self.group, self.resource, self.raw, latest=LATEST)


def at(moment: str, *names: str) -> list[Recorded]:
    """The objects of the named files; without names all that an engine wrote."""
    folder = DATA / moment
    stems = names or [path.stem for path in sorted(folder.glob("*.json")) if path.stem != "owners"]
    files = [json.loads((folder / f"{stem}.json").read_text("utf-8")) for stem in stems]
    return [Recorded(moment, document) for file in files for document in file["items"]]


def everything() -> list[Recorded]:
    return [one for folder in sorted(DATA.iterdir()) if folder.is_dir() for one in at(folder.name)]
