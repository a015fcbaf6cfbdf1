"""Findings about Kubernetes policies that other tools have left in Security Hub: counted here, archived on request.

All custom findings of an account belong to one product, so their fields identify the tool:

| tool                                            | its findings                                                     |
|-------------------------------------------------|------------------------------------------------------------------|
| policy-reporter (Kyverno's)                     | `Report`, `Policy`, `Result` in the details of the resource      |
| securityhub-k8s-policy-integration (AWS sample) | product fields `ProviderName`, `ProviderVersion`; the id is like |
|                                                 | an ARN of EKS                                                    |
| others                                          | named by `ProductName`, or by the first part of `GeneratorId`    |

Neither of the two archives its findings when it is removed: policy-reporter only resolves. Any identity that may import
into the product may archive: it sends the same finding with RecordState ARCHIVED and a later UpdatedAt.
"""

import shlex
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from policyhub.clock import WallMs
from policyhub.cluster.formatting import counted as counted_as
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.findings.identity import ROOT
from policyhub.model.text import line
from policyhub.securityhub import retirement
from policyhub.securityhub.client import Filters, HubClient
from policyhub.securityhub.errors import AccessLost, HubError
from policyhub.securityhub.inventory import milliseconds

PAGES = 10
"""Pages that the check reads at most: all tools of the account share the quota of GetFindings."""
REPORTER = "policy-reporter"
SAMPLE = "securityhub-k8s-policy-integration"
_HOW_TO_STOP: Mapping[str, str] = {
    REPORTER: "switch its target securityHub off",
    SAMPLE: "delete its CloudFormation stack, because its schedule would write them again",
}
_NAME = 128
_MOST = 20
"""Tools that are named at most: whoever may import chooses the product name."""
_TYPES = "Software and Configuration Checks/Kubernetes Policies"
"""The finding type of both tools."""
_FILTERS: Filters = {
    "Type": [{"Value": _TYPES, "Comparison": "PREFIX"}],
    "Id": [{"Value": ROOT, "Comparison": "PREFIX_NOT_EQUALS"}],
}


def tool(finding: Mapping[str, Any]) -> str:
    """The tool that wrote the finding, in one line of limited length. Pure."""
    fields = _mapping(finding.get("ProductFields"))
    resources = finding.get("Resources")
    first = resources[0] if isinstance(resources, list) and resources else {}
    details = _mapping(_mapping(_mapping(first).get("Details")).get("Other"))
    if {"Report", "Policy", "Result"} <= details.keys():
        return REPORTER
    if {"ProviderName", "ProviderVersion"} <= fields.keys() and ":eks:" in str(finding.get("Id")):
        return SAMPLE
    named = finding.get("ProductName") or str(finding.get("GeneratorId") or "unknown").partition("/")[0]
    return line(str(named), _NAME) or "unknown"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


async def left(client: HubClient, *, pages: int | None = None) -> AsyncIterator[tuple[list[dict[str, Any]], bool]]:
    """Active findings of other tools, page by page; the boolean: more pages follow. Raises HubError."""
    read = 0
    async with aclosing(client.find(_FILTERS)) as found:
        async for page in found:
            read += 1
            yield [finding for finding in page.findings if _is_left(finding)], bool(page.token)
            if read == pages:
                return


def _is_left(finding: Mapping[str, Any]) -> bool:
    """Checks the filters again, since `archive` relies on them."""
    return finding.get("RecordState") == "ACTIVE" and not str(finding.get("Id")).startswith(ROOT)


async def check(client: HubClient) -> list[CheckResult]:
    about = f"{client.account}/{client.region}"
    counted: Counter[str] = Counter()
    more = False
    try:
        async for findings, more in left(client, pages=PAGES):  # noqa: B007  (used after the loop)
            counted.update(tool(finding) for finding in findings)
    except AccessLost:
        return [unchecked("other-tools", about, "not checked: GetFindings is denied", remedy=DOCTOR["not-asked"])]
    except HubError as error:
        return [unchecked("other-tools", about, error.found, remedy=error.advice or DOCTOR["hub-failed"])]
    return evaluate(about, client.account, client.region, counted, more=more)


def evaluate(about: str, account: str, region: str, counted: Counter[str], *, more: bool) -> list[CheckResult]:
    """Pure."""
    if not counted:
        return [fine("other-tools", about, "no other tool has active findings about Kubernetes policies")]
    results = []
    for name, number in counted.most_common(_MOST):
        number_of = f"{'at least ' if more else ''}{counted_as(number, 'active finding')}"
        found = f"{name} has {number_of} about Kubernetes policies"
        command = f"policyhub archive-others --account-id {account} --region {region} -- {shlex.quote(name)}"
        remedy = DOCTOR["other-tools"].format(stop=_HOW_TO_STOP.get(name, "stop the tool"), command=command)
        results.append(problem("other-tools", about, found, remedy=remedy))
    if len(counted) > _MOST:
        found = f"{counted_as(len(counted) - _MOST, 'more tool')} not shown: only {_MOST} are"
        results.append(unchecked("other-tools", about, found, remedy=DOCTOR["other-tools/more"]))
    return results


@dataclass(slots=True)
class Outcome:
    """How many findings of a tool were found and archived."""

    found: int = 0
    archived: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Error of Security Hub → findings."""


async def archive(client: HubClient, name: str, *, now: Callable[[], WallMs], dry: bool) -> Outcome:
    """Archive every active finding of a tool, or with `dry` count them. Raises HubError.

    All are read before the first is archived: pagination may skip findings if they change meanwhile.
    """
    chosen = [finding async for page, _ in left(client) for finding in page if tool(finding) == name]
    outcome = Outcome(found=len(chosen))
    if chosen and not dry:
        result = await client.import_findings([archived(finding, now=now()) for finding in chosen])
        outcome.archived = len(result.accepted)
        outcome.refused.update(f"{failure.code}: {failure.message}" for failure in result.failures.values())
    return outcome


def archived(finding: Mapping[str, Any], *, now: WallMs) -> dict[str, Any]:
    """The finding as its provider would archive it, without the fields that belong to analysts or to AWS. Pure."""
    return retirement.archived(finding, updated=max(now, milliseconds(finding.get("UpdatedAt")) + 1))
