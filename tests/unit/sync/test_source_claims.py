"""Who of many callers speaks."""

from hypothesis import given
from hypothesis import strategies as st

from policyhub.findings.representative import representative_claim
from policyhub.model.violation import Severity, SourceKey, Subject, Violation
from policyhub.sync.claims import Claims, claim_of, excluding, including, representative_of

SUBJECT = Subject("apps", "Deployment", "shop", "web")
SEVERITIES: tuple[Severity | None, ...] = ("HIGH", "LOW", None)


def violation(message: str, severity: Severity | None, *, own: bool) -> Violation:
    return Violation("kyverno", "p", "r", SUBJECT, "", "fail", severity, "", message, own=own)


VIOLATIONS = [violation(m, severity, own=own) for m in "ab" for severity in SEVERITIES for own in (True, False)]
KEYS = [SourceKey(group, "policyreports", "shop", f"r-{n}") for group in ("wgpolicyk8s.io", "a.io") for n in range(12)]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([*VIOLATIONS, None])), max_size=80))
def test_few_or_many_they_speak_alike(steps: list[tuple[SourceKey, Violation | None]]) -> None:
    """After each call and each loss: the same callers, speaker and API as by looking at them all."""
    claims: Claims = ()
    model: dict[SourceKey, Violation] = {}
    for key, text in steps:
        if text is None:
            claims = excluding(claims, key)
            model.pop(key, None)
        else:
            claims = including(claims, key, text)
            model.pop(key, None)
            model[key] = text
        assert dict(claims) == model
        assert list(claims) == list(model.items())
        assert len(claims) == len(model)
        assert claim_of(claims, key) == model.get(key)
        if model:
            representative = representative_claim(model)
            assert claims[0] == next(iter(model.items()))
            assert representative_of(claims) == (
                representative,
                min(one.source_api for one, words in model.items() if words == representative),
            )
