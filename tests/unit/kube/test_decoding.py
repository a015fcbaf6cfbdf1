import contextlib

import msgspec
import pytest

from policyhub.kube import wire
from policyhub.kube.decoding import TooDeep, decoded, elements, fits, members
from policyhub.kube.errors import TooLarge
from policyhub.kube.wire import Unreadable

DEEP = b"[" * 5_000 + b"]" * 5_000
anything: msgspec.json.Decoder[object] = msgspec.json.Decoder()


@pytest.mark.parametrize(
    "raw", [DEEP, b"9" * 5_000, b'"\xff"', b'"\\ud800"', b"{", b"", b"\x00", b'{"a":' * 2_000],
    ids=["deep", "digits", "not UTF-8", "half a surrogate", "cut", "nothing", "zero", "open"],
)  # fmt: skip
def test_every_error_is_the_decoders_own(raw: bytes) -> None:
    """Whatever hostile JSON does to a decoder."""
    with pytest.raises(Unreadable):
        decoded(anything, raw, Unreadable)


def test_excessive_depth_is_distinguished() -> None:
    """JSON that is nested too deeply can still be split."""
    with pytest.raises(TooDeep):
        fits(anything, DEEP, Unreadable)


def test_members_and_elements() -> None:
    """Whatever they contain: strings with brackets and quotes, white space, depth."""
    raw = b' { "a" : [1, {"b": "]}"}] ,"c\\"d":"x\\\\", "deep":%b, "n": null } ' % DEEP
    found = members(raw)
    assert found == {b"a": b'[1, {"b": "]}"}]', b'c\\"d': b'"x\\\\"', b"deep": DEEP, b"n": b"null"}
    assert elements(found[b"a"]) == [b"1", b'{"b": "]}"}']
    assert elements(b"null") == elements(b"[ ]") == []
    assert members(b"{}") == {}


@pytest.mark.parametrize("raw", [b"", b"[1]", b'{"a":1', b"{1:2}", b'{"a"}', b"{}x", b'{"a":"', b"}" * 9])
def test_input_that_is_not_an_object(raw: bytes) -> None:
    """An error, not a result."""
    with pytest.raises(ValueError, match=r"."):
        members(raw)


@pytest.mark.parametrize("piece", [b'"', b"\\", b'\\"', b"[", b"{", b",", b'{"a":', b'"a\\'], ids=repr)
def test_splitting_is_linear(piece: bytes) -> None:
    """A megabyte is split in well under a minute; a quadratic algorithm would take hours."""
    for beginning in (b"{", b'{"', b"["):
        with contextlib.suppress(ValueError):
            members(beginning + piece * (2**20 // len(piece)))


async def test_pages_with_too_many_objects() -> None:
    """More objects than the bytes allow are rejected before, or as soon as, they are stored."""
    page = b'{"metadata":{},"items":[%b{}]}'
    with pytest.raises(Unreadable, match="20001 objects in"):
        await wire.page(bytearray(page % (b"{}," * 20_000)))
    with pytest.raises(TooLarge, match="more than 2000000 parts"):
        await wire.page(bytearray(page % (b"0," * 2_000_001)))


def test_names_for_people() -> None:
    """As far as they can be read, and printable characters only."""
    assert wire.display_name(msgspec.Raw(b'{"metadata":{"name":"a","namespace":"b"}}')) == "b/a"
    assert wire.display_name(msgspec.Raw(b'{"metadata":{"name":"a\\u001b[2J"},"spec":%b}' % DEEP)) == "a[2J"
    for raw in (b"7", b"{", b'{"metadata":7}', DEEP, b'{"metadata":{"name":""}}'):
        assert wire.display_name(msgspec.Raw(raw)) == "(no name)"
