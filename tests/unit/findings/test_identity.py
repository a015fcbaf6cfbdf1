"""Ids are a promise."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policyhub.findings.identity import encode, finding_id, prefix
from policyhub.model.violation import Identity, Subject

GOLDEN = json.loads(Path(__file__).with_name("ids.golden.json").read_text("utf-8"))

PARTS = st.tuples(*[st.text(st.characters(codec=None), max_size=6) | st.text(":,0123456789\0/", max_size=6)] * 8)
POD = Identity("kyverno", "p", "r", Subject("", "Pod", "shop", "cart-1"), "")


@pytest.mark.parametrize("case", GOLDEN["ids"], ids=lambda case: case["name"])
def test_an_id_never_changes(case: dict[str, Any]) -> None:
    """Triage in Security Hub hangs on these very characters."""
    source, policy, rule, group, kind, namespace, name, discriminator = case["identity"]
    identity = Identity(source, policy, rule, Subject(group, kind, namespace, name), discriminator)
    assert finding_id(case["cluster"], identity) == case["id"]


def test_the_golden_ids_are_distinct_and_many() -> None:
    """Every case is its own finding, so none of them shows by accident what another one should."""
    ids = [case["id"] for case in GOLDEN["ids"]]
    assert len(set(ids)) == len(ids) >= 14


@given(PARTS, PARTS)
@example(("a", "", "", "", "", "", "", ""), ("", "a", "", "", "", "", "", ""))
@example(("1:a,", "", "", "", "", "", "", ""), ("a", "", "", "", "", "", "", ""))
@example(("a,1:b", "", "", "", "", "", "", ""), ("a", "b", "", "", "", "", "", ""))
def test_distinct_identities_have_distinct_encodings(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """No part can forge a separator, whatever it holds."""
    assert (encode(one) == encode(other)) == (one == other)


@given(PARTS)
def test_the_encoding_can_be_read_back(identity: tuple[str, ...]) -> None:
    """What can be decoded is unambiguous."""
    rest, parts = encode(identity), []
    while rest:
        size, _, rest = rest.partition(b":")
        part, rest = rest[: int(size)], rest[int(size) :]
        assert rest[:1] == b","
        parts.append(part.decode("utf-8", "surrogatepass"))
        rest = rest[1:]
    assert tuple(parts) == identity


def test_the_id_is_made_of_the_cluster_and_half_a_hash() -> None:
    """Anybody can compute it: 128 bits of SHA-256 over the netstrings of the eight parts."""
    netstrings = b"7:kyverno,1:p,1:r,0:,3:Pod,4:shop,6:cart-1,0:,"
    assert finding_id("prod", POD) == f"policyhub/prod/{hashlib.sha256(netstrings).hexdigest()[:32]}"
    assert finding_id("prod", POD).startswith(prefix("prod"))


def test_a_cluster_id_must_leave_room() -> None:
    """An id has at most 512 characters; one that was cut would belong to two clusters."""
    assert len(finding_id("c" * 469, POD)) == 512
    with pytest.raises(ValueError, match="470 characters"):
        finding_id("c" * 470, POD)
    with pytest.raises(ValueError, match="300 characters"):
        finding_id("\U0001f600" * 300, POD)
