"""The base of all models of our API, and the extensions of their CRD schemas. Pure: no I/O, no clock."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

SET_LIST = {"x-kubernetes-list-type": "set"}


def map_list(key: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules, each with the message that says how to fix the object."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


class Model(BaseModel):
    """Part of an object that the API server has pruned and validated. A newer CRD may have fields that we do not know.

    The docstring of a field is its description in the CRD. `policyhub.api.crd` reads it: pydantic would read the source
    files at each start of the operator, a tenth of the time of a start.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        defer_build=True,  # at the first use, with all its parts: unused models are never built
    )
