"""Names that no API server accepts: an object with such a name cannot be read, so none is kept."""

import json

import msgspec
import pytest

from policyhub.sync import owner_reference
from policyhub.sync.owner_reference import UnnamedObject
from policyhub.sync.policy_metadata import _object


def raw(name: str, namespace: str) -> bytes:
    return json.dumps({"metadata": {"name": name, "namespace": namespace, "uid": "u"}}).encode()


@pytest.mark.parametrize(
    ("name", "namespace", "served"),
    [("n" * 253, "s" * 63, True), ("n" * 254, "shop", False), ("web", "s" * 64, False)],
    ids=["as long as can be", "name", "namespace"],
)
def test_what_is_longer_than_any_api_server_takes(name: str, namespace: str, *, served: bool) -> None:
    """Of Pods and their owners, also where the rest of them cannot be read, and of policies."""
    document = raw(name, namespace)
    if served:
        assert owner_reference.subject_of("", "Pod", document).name == name
        assert owner_reference.read("", "Pod", document)[0].namespace == namespace
        assert _object.decode(document).metadata.name == name
        return
    for read in (owner_reference.subject_of, owner_reference.read):
        with pytest.raises(UnnamedObject):
            read("", "Pod", document)
    with pytest.raises(msgspec.ValidationError):
        _object.decode(document)
