"""What the real engines wrote about our own company (`make e2e RECORD=1`), for tests; and what a rescan would write."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec

from policyhub.model.source_apis import plural_of
from policyhub.model.violation import Identity, ParsedReport
from policyhub.sources import reader

DATA = Path(__file__).parents[2] / "data" / "engines"
LATEST = 4_000_000_000
"""Recordings may be renewed: whatever time they name, it is past."""


Document = dict[str, Any]
BAD = ("fail", "warn", "error")


class Recorded(msgspec.Struct, frozen=True):
    """An object, and the moment of the story in which it was recorded, or the file that it is from."""

    moment: str
    document: Document

    @property
    def name(self) -> str:
        """For people: of the test."""
        return f"{self.moment}-{self.document['metadata']['name']}"

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

    def passed(self) -> frozenset[Identity]:
        return reader.passed(self.group, self.resource, self.raw)

    @property
    def entries(self) -> int:
        """Bad results of a report, or entries of a constraint's list, counted without the code under test."""
        if "results" in self.document:
            return sum(result.get("result") in BAD for result in self.document["results"])
        return len(self._listed)

    @property
    def violations(self) -> int:
        """How many they are of different violations: several entries of a constraint about one object are one."""
        if "results" in self.document:
            return self.entries
        return len({tuple(entry.get(member) for member in ("kind", "namespace", "name")) for entry in self._listed})

    @property
    def passes(self) -> int:
        """Results that show that a violation ended."""
        return sum(result.get("result") in {"pass", "skip"} for result in self.document.get("results", ()))

    @property
    def _listed(self) -> list[Document]:
        return [entry for entry in self.document.get("status", {}).get("violations") or () if "name" in entry]

    def rescanned(self) -> "Recorded":
        """What a scan changes when nothing else has changed."""
        again = copy.deepcopy(self.document)
        again["metadata"] |= {"resourceVersion": "999", "generation": 99, "uid": "another", "managedFields": []}
        again["metadata"]["labels"] = {
            **again["metadata"].get("labels", {}),
            "kubewarden.io/audit-scanner-run-uid": "r",
        }
        for result in again.get("results", ()):
            result["timestamp"] = {"seconds": LATEST - 1, "nanos": 7}
            result["properties"] = {
                **result.get("properties", {}),
                "process": "admission review",
                "policy-resource-version": "5",
                "policy-uid": "another",
                "resultID": "another",
            }
        if "status" in again:
            again["status"] |= {"auditTimestamp": "2026-11-26T00:00:00Z", "byPod": None}
        return msgspec.structs.replace(self, document=again)

    def reordered(self) -> "Recorded":
        """Its results, or its entries, in another order."""
        turned = copy.deepcopy(self.document)
        turned.get("results", []).reverse()
        (turned.get("status", {}).get("violations") or []).reverse()
        return msgspec.structs.replace(self, document=turned)


def at(moment: str, *names: str) -> list[Recorded]:
    """The objects of the named files; without names all that an engine wrote."""
    folder = DATA / moment
    stems = names or [path.stem for path in sorted(folder.glob("*.json")) if path.stem != "owners"]
    files = [json.loads((folder / f"{stem}.json").read_text("utf-8")) for stem in stems]
    return [Recorded(moment, document) for file in files for document in file["items"]]


def everything() -> list[Recorded]:
    return [one for folder in sorted(DATA.iterdir()) if folder.is_dir() for one in at(folder.name)]
