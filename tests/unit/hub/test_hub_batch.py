"""Which findings go together in one call."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyhub.securityhub.batch import (
    MAX_CALL_BYTES,
    MAX_FINDING_BYTES,
    MAX_FINDINGS,
    Batch,
    measure,
    oversize,
    split,
)
from policyhub.securityhub.body import body

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def finding(ident: object, text: str = "", size: int = 0) -> dict[str, Any]:
    """A finding of exactly `size` bytes as compact JSON, if given."""
    body = {"Id": str(ident), "Description": text}
    if size:
        body["Description"] += "x" * (size - len(json.dumps(body, separators=(",", ":"))))
    return body


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])],
)
def test_at_most_a_hundred_in_a_call(count: int, sizes: list[int]) -> None:
    """250 findings are three calls."""
    assert [len(batch) for batch in split(map(finding, range(count))).batches] == sizes


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(59_990, [100]), (60_000, [99, 1]), (240_000, [24] * 4 + [4])],
)
def test_at_most_six_megabytes_in_a_call(size: int, sizes: list[int]) -> None:
    """A call's body stays within 6 MB, envelope and separators counted."""
    result = split(finding(f"{n:03}", size=size) for n in range(100))
    assert [len(batch) for batch in result.batches] == sizes
    assert not result.refused


def test_measured_sizes_are_not_measured_again() -> None:
    """Given sizes are used."""
    result = split(map(finding, range(3)), sizes=[3_000_000, 240_000, MAX_FINDING_BYTES + 1][::-1])
    assert ([len(batch) for batch in result.batches], [*result.refused]) == ([1], [finding(0)["Id"], finding(2)["Id"]])


@pytest.mark.parametrize(("size", "refused"), [(MAX_FINDING_BYTES, False), (MAX_FINDING_BYTES + 1, True)])
def test_too_large_a_finding_is_refused(size: int, refused: bool) -> None:  # noqa: FBT001 - a column of the table
    """A finding over 240,000 bytes is never sent; the failure is permanent and has the reason. The others are sent."""
    result = split([finding("a"), finding("big", size=size), finding("b")])
    assert ("big" in result.refused) is refused
    assert [f["Id"] for f in result.batches[0]] == (["a", "b"] if refused else ["a", "big", "b"])
    if refused:
        assert result.refused["big"].kind == "permanent"
        assert "240001 bytes" in result.refused["big"].message


@given(st.lists(st.dictionaries(TEXTS, TEXTS | st.integers(-(2**53), 2**53) | st.lists(TEXTS)), max_size=5))
def test_sizes_are_those_of_the_body(texts: list[dict[str, Any]]) -> None:
    """To the byte, whatever the texts contain."""
    batch = Batch()
    for number, more in enumerate(texts):
        one = finding(number) | {"Details": more}
        assert oversize(measure(one)) is None
        assert batch.offer(one, measure(one))
    assert batch.size == len(body(batch.findings))


def test_ids_are_unique_in_a_batch() -> None:
    """Failures contain only the id, so a second version of a finding goes into the next call."""
    first, second = finding("a", "old"), finding("a", "new")
    assert split([first, finding("b"), second]).batches == ((first, finding("b")), (second,))


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(100, MAX_FINDING_BYTES + 10_000)).map(
            lambda pair: finding(pair[0], size=pair[1])
        ),
        max_size=120,
    )
)
def test_nothing_is_lost_and_every_limit_kept(findings: list[dict[str, Any]]) -> None:
    """Each finding is in one batch, in order, or rejected; each batch is within every limit."""
    result = split(findings)
    sendable = [f for f in findings if len(json.dumps(f, separators=(",", ":"))) <= MAX_FINDING_BYTES]
    assert [f for batch in result.batches for f in batch] == sendable
    assert set(result.refused) == {f["Id"] for f in findings if f not in sendable}
    for batch in result.batches:
        assert 1 <= len(batch) <= MAX_FINDINGS
        assert len({f["Id"] for f in batch}) == len(batch)
        assert len(body(batch)) <= MAX_CALL_BYTES
