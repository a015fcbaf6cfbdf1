"""The result of a check, and the exit code of all.

| state     | means                                         | exit code                |
|-----------|-----------------------------------------------|--------------------------|
| fine      | checked, and nothing is wrong                 | 0                        |
| problem   | something is wrong; `remedy` says what to do  | 1                        |
| unchecked | could not be checked; `found` says why        | 2 if there is no problem |

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["fine", "problem", "unchecked"]

CHECKS: Mapping[str, str] = {
    "proxy": "a proxy that stands where none can work, or the other way round, looks like a network that is down",
    "certificates": "a bundle that cannot be read makes every TLS connection fail",
    "monitored-clusters": "without a MonitoredCluster the operator has nothing to do",
    "operator": "the operator itself knows best what it waits for",
    "identity": "of two clusters with one identity one sends; a cluster with two has each violation twice",
    "archive-held": "findings that are held stay active in Security Hub until their engine reports again or somebody"
    " approves",
    "connection": "what cannot be read has no findings, and none of its findings is archived",
    "clock": "AWS refuses what is signed five minutes off, and ages and SLAs are counted by this clock",
    "api-access": "what the operator may not read is missing from Security Hub",
    "sources": "an API that is not served in a version that the operator reads is not read",
    "engines": "findings of an engine that has stopped are old news: nothing appears, and nothing is archived",
    "superseded-reports": "reports that nobody updates contradict those that replaced them; the operator ignores them",
    "gatekeeper-limit": "violations beyond the limit of a constraint's list are not in Security Hub",
    "gatekeeper-audit": "only the audit tells what violates a constraint; without it nothing is known",
    "credentials": "Security Hub takes an account's findings only from identities of that account",
    "security-hub": "where Security Hub CSPM is off, it takes no findings",
    "product-arn": "findings are imported under the default product of the account and Region",
    "get-findings": "what Security Hub holds must be read before anything is sent or archived",
    "quotas": "quotas are shared by all tools of an account and Region: who waits is late",
    "wording": "a finding whose words alone change at each scan has them sent once a day, so they may be a day old",
    "other-tools": "findings that another tool left behind are shown twice, and nobody archives them",
}
"""Check → why it matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    check: str
    about: str
    """The cluster, the hub (`account/Region`), or empty for this process."""
    state: State
    found: str
    remedy: str = ""
    """What to do about a problem or an unchecked result, from the tables in `policyhub.cluster.remedies`."""

    @property
    def why(self) -> str:
        return CHECKS[self.check]


def fine(check: str, about: str, found: str) -> CheckResult:
    return CheckResult(check=check, about=about, state="fine", found=found)


def problem(check: str, about: str, found: str, *, remedy: str) -> CheckResult:
    return CheckResult(check=check, about=about, state="problem", found=found, remedy=remedy)


def unchecked(check: str, about: str, found: str, *, remedy: str = "") -> CheckResult:
    return CheckResult(check=check, about=about, state="unchecked", found=found, remedy=remedy)


def tally(results: Iterable[CheckResult]) -> dict[State, int]:
    counted = Counter(result.state for result in results)
    return {"problem": counted["problem"], "unchecked": counted["unchecked"], "fine": counted["fine"]}


def exit_code(results: Iterable[CheckResult]) -> int:
    counted = tally(results)
    return 1 if counted["problem"] else 2 if counted["unchecked"] else 0
