"""What is kept to be shared has an end, and what everybody uses survives what one writes."""

from pathlib import Path

import msgspec
import pytest

import policyhub
from policyhub.model import recent
from policyhub.model.recent import Recent, share
from policyhub.model.text import LIMIT
from policyhub.sources import reports


def test_a_flood_of_texts_is_bounded_and_pushes_out_what_nobody_uses() -> None:
    """However many come: two generations are kept, and what is asked for goes on into the next."""
    kept: Recent[str, str] = Recent(limit=100_000)
    kept.put("used", "used", weight=4)
    kept.put("unused", "unused", weight=6)
    for number in range(100_000):
        kept.put(f"{number:06}", "", weight=6)
        if number % 500 == 0:
            assert kept.get("used", weight=4) == "used"
    assert len(kept) <= 2 * 100_000 // 106 + 2
    assert kept.get("unused", weight=6) is None


def test_long_values_weigh_more() -> None:
    """The bound is one of characters, not of entries."""
    kept: Recent[int, str] = Recent(limit=100_000)
    for number in range(100):
        kept.put(number, "x" * 10_000, weight=10_000)
    assert len(kept) <= 20


def test_equal_texts_are_one_object() -> None:
    """What reports repeat is held once."""
    one, other = ("a policy of many " + str(number) for number in (1, 1))
    assert one is not other
    assert share(one) is share(other)
    assert recent.known(other) is share(one)


def test_what_is_long_or_unclean_is_not_kept() -> None:
    """So that whoever finds a text there need not look at it again."""
    for text in ("x" * (LIMIT + 1), "a\x1bb"):
        assert share(text) == text
        assert recent.known(text) is None


def test_reports_that_come_again_and_again_with_other_texts_end() -> None:
    """A passing report that is rewritten with new names each time leaves no more than the table holds."""
    for number in range(300):
        results = [
            {"policy": f"{number}-{one}-{'x' * 200}", "rule": f"{number}-{one}", "result": "pass", "source": f"{one}"}
            for one in range(200)
        ]
        raw = msgspec.json.encode({"metadata": {"name": "r", "namespace": "a"}, "results": results})
        reports.read("wgpolicyk8s.io", "policyreports", raw, latest=0)
        reports.passed("wgpolicyk8s.io", "policyreports", raw)
    assert sum(map(len, (*recent._texts.young, *recent._texts._old))) < 8_000_000


@pytest.mark.parametrize("folder", ["sources", "findings", "securityhub"])
def test_no_foreign_text_is_interned(folder: str) -> None:
    """Python 3.12 keeps an interned text for ever."""
    files = list((Path(policyhub.__path__[0]) / folder).glob("*.py"))
    assert len(files) > 5
    assert not [file.name for file in files if "intern(" in file.read_text("utf-8")]
