"""What every model of our API has in common, and the marks that only a CRD schema knows. Pure: no I/O, no clock."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

SET_LIST = {"x-kubernetes-list-type": "set"}


def map_list(key: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules, each with the message that says how to mend it."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


class Model(BaseModel):
    """Read from the API server, which has pruned and checked it; a newer CRD may carry fields that we do not know.

    The text below a field is its description in the CRD, which is where it is read (`policyhub.api.crd`): pydantic
    would read the source files at each start of the operator, a tenth of what that costs.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        defer_build=True,  # at the first use: parts are built with the whole, and what nobody uses is not built
    )
