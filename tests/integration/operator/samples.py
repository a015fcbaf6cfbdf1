"""Objects that engines wrote, put into a cluster as those engines would write them now."""

import copy
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from policyhub.model.source_apis import SOURCE_GROUPS
from tests.integration.operator.world import Document, World

SERVERS = ("resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "managedFields")
"""Metadata that the API server makes."""


def fresh(document: Document) -> Document:
    """Without what the API server makes, in the version of its API that the operator prefers."""
    made = copy.deepcopy(document)
    for name in SERVERS:
        made["metadata"].pop(name, None)
    for owner in made["metadata"].get("ownerReferences", ()):
        owner.setdefault("uid", "not-in-the-excerpt")
    if "results" in made:
        group = made["apiVersion"].partition("/")[0]
        made["apiVersion"] = f"{group}/{SOURCE_GROUPS[group].versions[0]}"
    return made


def put(world: World, documents: Iterable[Document]) -> None:
    """Create the objects, with their status."""
    made = [fresh(document) for document in documents]
    world.spaces({document["metadata"].get("namespace", "default") for document in made})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(world.create, made))
    for document in made:
        if "status" in document:
            world.write_status(document)
