"""Which input was rejected, of which object, and how long it is shown."""

import pytest

from policyhub.sync import refusals as module
from policyhub.sync.refusals import MAX_PER_NAMESPACE, Refusal, Refusals

SOURCE_API = "policyreports.wgpolicyk8s.io"
CUT = (Refusal("report-results", number=88_000, taken=5_000),)


def test_a_corrected_object_is_no_longer_shown() -> None:
    """Like a deleted one."""
    refusals = Refusals()
    refusals.put(SOURCE_API, "team-a", "r", CUT)
    (summary,) = refusals.summary()
    assert (summary.namespace, summary.name, summary.refusal) == ("team-a", "r", CUT[0])
    assert refusals.left_out() == {"report-results": 83_000}
    refusals.put(SOURCE_API, "team-a", "r", ())
    assert not refusals
    refusals.put(SOURCE_API, "team-a", "r", CUT)
    refusals.drop(SOURCE_API, "team-a", "r")
    refusals.drop(SOURCE_API, "team-a", "r")
    assert not list(refusals.summary())


def test_a_listing_drops_missing_objects() -> None:
    """Only of its own API, and only if it is complete."""
    refusals = Refusals()
    for source_api, name in ((SOURCE_API, "gone"), (SOURCE_API, "there"), ("pods", "p")):
        refusals.put(source_api, "team-a", name, (Refusal("malformed-object"),))
    refusals.begin(SOURCE_API)
    refusals.put(SOURCE_API, "team-a", "there", (Refusal("malformed-object"),))
    refusals.abort(SOURCE_API)
    assert next(refusals.summary()).objects == 3
    refusals.begin(SOURCE_API)
    refusals.put(SOURCE_API, "team-a", "there", (Refusal("malformed-object"),))
    refusals.finish(SOURCE_API)
    (summary,) = refusals.summary()
    assert (summary.objects, summary.reasons["malformed-object"]) == (2, 2)


def test_bad_input_of_a_namespace_hides_no_other() -> None:
    """A namespace has one summary, and a limited number of its objects is kept."""
    refusals = Refusals()
    for number in range(MAX_PER_NAMESPACE + 50):
        refusals.put(SOURCE_API, "team-a", f"r{number}", (Refusal("malformed-result", number=2),))
    refusals.put(SOURCE_API, "shop", "r", CUT)
    shop, team = refusals.summary()
    assert (shop.namespace, shop.objects) == ("shop", 1)
    assert (team.namespace, team.objects) == ("team-a", MAX_PER_NAMESPACE)
    for number in range(MAX_PER_NAMESPACE + 50):
        refusals.drop(SOURCE_API, "team-a", f"r{number}")
    assert [summary.namespace for summary in refusals.summary()] == ["shop"]


def test_a_full_namespace_can_still_be_shown() -> None:
    """Objects beyond the limit leave nothing behind."""
    refusals = Refusals()
    for number in range(MAX_PER_NAMESPACE):
        refusals.put("reports.openreports.io", "team-a", f"r{number}", (Refusal("malformed-result"),))
    assert not refusals.put(SOURCE_API, "team-a", "one more", CUT)
    assert [summary.namespace for summary in refusals.summary()] == ["team-a"]


def test_invented_namespaces_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """In sum only so much is remembered; even then a namespace that has nothing yet is shown, up to a number; and room
    that becomes free is used again.
    """
    monkeypatch.setattr(module, "MAX_TOTAL", 20)
    monkeypatch.setattr(module, "MAX_NAMESPACES", 30)
    found = Refusals()
    for space in range(4):
        for number in range(5):
            assert found.put(SOURCE_API, f"team-{space}", f"r{number}", (Refusal("malformed-result"),))
    assert not found.put(SOURCE_API, "team-0", "one more", (Refusal("malformed-result"),))
    for space in range(4, 100):
        found.put(SOURCE_API, f"team-{space}", "first", (Refusal("malformed-result"),))
        found.put(SOURCE_API, f"team-{space}", "second", (Refusal("malformed-result"),))
    summary = {refused.namespace: refused.objects for refused in found.summary()}
    assert summary == {f"team-{space}": 5 if space < 4 else 1 for space in range(30)}
    for space in range(30):
        for name in (*(f"r{number}" for number in range(5)), "first"):
            found.drop(SOURCE_API, f"team-{space}", name)
    assert not found
    assert found.put(SOURCE_API, "team-0", "again", (Refusal("malformed-result"),))
