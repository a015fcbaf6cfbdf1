"""How a violation of one object reads once it counts for another."""

import msgspec
import pytest

from policyhub.clock import WallMs
from policyhub.findings.digest import digest
from policyhub.findings.representative import representative_claim
from policyhub.findings.rollup import merged_by_identity, normalized_identity, rolled_up, rule_of
from policyhub.model.violation import SourceKey, Subject, Violation

POD = Subject("", "Pod", "shop", "web-7d4b9-x2x1z")
WEB = Subject("apps", "Deployment", "shop", "web")
LONG = "a-rule-whose-name-is-longer-than-what-kyverno-can-put-behind-a"


def reported(subject: Subject = POD, *, rule: str = "limits", source: str = "kyverno", message: str = "m") -> Violation:
    return Violation(
        source=source,
        policy="p",
        rule=rule,
        subject=subject,
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message=message,
    )


@pytest.mark.parametrize(
    ("subject", "rule", "expected"),
    [
        (WEB, "autogen-limits", "limits"),
        (Subject("batch", "CronJob", "shop", "nightly"), "autogen-cronjob-limits", "limits"),
        (Subject("batch", "Job", "shop", "nightly-1"), "autogen-limits", "limits"),
        (POD, "limits", "limits"),
        (POD, LONG, LONG),
        (WEB, LONG, LONG[:55]),
        (WEB, f"autogen-{LONG}"[:63], LONG[:55]),
        (Subject("batch", "CronJob", "shop", "nightly"), f"autogen-cronjob-{LONG}"[:63], LONG[:47]),
        (Subject("batch", "CronJob", "shop", "nightly"), LONG, LONG[:47]),
        (Subject("", "Service", "shop", "web"), "autogen-limits", "autogen-limits"),
        (Subject("", "Service", "shop", "web"), LONG, LONG),
        (WEB, "", ""),
    ],
)
def test_the_rule_is_the_one_that_its_author_wrote(subject: Subject, rule: str, expected: str) -> None:
    """Copies that Kyverno makes of a Pod rule have its name, as far as both can hold it; others are left alone."""
    assert rule_of("kyverno", rule, subject) == expected
    assert rule_of("kubewarden", rule, subject) == rule


def test_a_pods_name_is_no_part_of_what_is_said() -> None:
    """The next rollout gives the Pod another name, and the finding reads as before."""
    texts = [f"container app of {name} has no limits" for name in ("web-7d4b9-x2x1z", "web-55f7c-kk8pq")]
    first, second = (
        rolled_up(reported(Subject("", "Pod", "shop", text.split()[3]), message=text), WEB) for text in texts
    )
    assert first == second
    assert first.message == "container app of <pod> has no limits"
    assert digest(first) == digest(second)
    assert not first.own


def test_a_name_within_a_longer_one_stays() -> None:
    """A Pod called `web` does not take a piece out of `webhook` or `my-web`."""
    pod = Subject("", "Pod", "shop", "web")
    text = "web: webhook, my-web, web-1, a.web and (web) of web."
    assert (
        rolled_up(reported(pod, message=text), WEB).message
        == "<pod>: webhook, my-web, web-1, a.web and (<pod>) of <pod>."
    )


def test_properties_lose_the_name_too() -> None:
    """They are part of what is shown."""
    violation = msgspec.structs.replace(reported(), properties=(("target", f"pods/{POD.name}"),))
    assert rolled_up(violation, WEB).properties == (("target", "pods/<pod>"),)


def test_what_counts_for_itself_is_left_as_it_is() -> None:
    """No copy is made where nothing changes."""
    violation = reported()
    assert rolled_up(violation, POD) is violation
    assert rolled_up(reported(WEB, rule="autogen-limits"), WEB) == reported(WEB)


def test_the_objects_own_result_speaks() -> None:
    """Where the Deployment says something itself, its Pods only keep the finding open."""
    own = reported(WEB, message="z")
    pods = rolled_up(msgspec.structs.replace(reported(message="a"), severity="CRITICAL"), WEB)
    callers = {SourceKey("g", "r", "shop", str(n)): v for n, v in enumerate((pods, own))}
    assert representative_claim(callers) == own
    assert merged_by_identity([(pods, WallMs(1)), (own, WallMs(2))]) == [(own, WallMs(1))]


def test_an_identity_is_as_its_violation() -> None:
    """Passing results end the calls that the same result made when it failed."""
    violation = reported(WEB, rule="autogen-limits")
    assert normalized_identity(violation.identity) == rolled_up(violation, WEB).identity
