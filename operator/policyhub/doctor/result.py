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
    "proxy": "a proxy for a server that must be reached directly, or a missing proxy, looks like a network failure",
    "certificates": "every TLS connection that uses an unreadable bundle fails",
    "monitored-clusters": "without a MonitoredCluster, the operator sends no findings",
    "operator": "the operator's status shows whether it works, and what it waits for",
    "identity": "if two clusters share an identity, only one of them sends; a cluster with two identities has two"
    " findings for each violation",
    "archive-held": "held findings stay active in Security Hub until their engine reports again or somebody approves"
    " archiving them",
    "connection": "without a connection, new violations are not reported, and no finding of the cluster is archived",
    "clock": "AWS rejects signatures that are more than five minutes off, and this clock determines ages and SLAs",
    "api-access": "violations that the operator may not read are missing from Security Hub",
    "sources": "the operator reads an API only in the versions that it supports",
    "engines": "if an engine has stopped, new violations do not appear, and findings of fixed ones are not archived",
    "superseded-reports": "reports that nobody updates contradict their replacements; the operator ignores them",
    "gatekeeper-limit": "violations beyond the limit of a constraint's list do not reach Security Hub",
    "gatekeeper-audit": "only the audit finds violations of constraints; without it, new ones are not found",
    "credentials": "Security Hub accepts an account's findings only from identities of that account",
    "security-hub": "Security Hub CSPM accepts findings only where it is enabled",
    "product-arn": "the operator needs the permission to import under the default product of the account and Region",
    "get-findings": "the operator must read the findings in Security Hub before it sends or archives any",
    "quotas": "all tools of an account and Region share the quotas; throttled calls delay findings",
    "wording": "if only the text of a finding changes at each scan, it is sent once a day, so it may be a day old",
    "other-tools": "findings of another tool duplicate those of policyhub, and nobody archives them",
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
