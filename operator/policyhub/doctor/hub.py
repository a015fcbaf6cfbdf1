"""One Security Hub: whose the operator's credentials are, whether the hub is enabled, and what it answers."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from policyhub.api.reason import Reason
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor import cluster
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.findings.identity import ROOT
from policyhub.securityhub.arn import hub_arn
from policyhub.securityhub.client import HubClient
from policyhub.securityhub.errors import AccessLost, HubError, Throttled, Unavailable, access_kind

_CHECKS = ("credentials", "security-hub", "product-arn", "get-findings")
_INVALID_ID = f"{ROOT}doctor"
"""The id of the deliberately invalid finding that `--probe-import` sends: it has no title and no resources."""


async def check(client: HubClient, *, wall: Callable[[], float], probe_import: bool) -> list[CheckResult]:
    """`probe_import`: send an invalid finding; the kind of refusal shows whether we have the permission to import."""
    about = f"{client.account}/{client.region}"
    try:
        caller = await client.caller()
    except HubError as error:
        why = f"not checked: {'AWS was not reached' if isinstance(error, Unavailable) else 'the sign-in failed'}"
        return [
            problem("credentials", about, error.found, remedy=error.advice or DOCTOR["credentials/other"]),
            *(unchecked(check, about, why, remedy=DOCTOR["not-asked"]) for check in _CHECKS[1:]),
        ]
    results = [evaluate_caller(about, client.account, caller), *_clock(about, caller, wall())]
    if results[0].state == "problem":
        results += [
            unchecked(check, about, "not checked: the credentials are for another account", remedy=DOCTOR["not-asked"])
            for check in _CHECKS[1:]
        ]
        return results
    results += [await _enabled(client, about), await _readable(client, about)]
    if probe_import:
        results.append(await _importable(client, about))
    else:
        found = f"{client.product_arn}; add --probe-import to test the permission to import"
        results.append(fine("product-arn", about, found))
    return results


def evaluate_caller(about: str, account: str, caller: Mapping[str, Any]) -> CheckResult:
    """Pure."""
    identity = f"{caller.get('Arn')} of account {caller.get('Account')}"
    if caller.get("Account") == account:
        return fine("credentials", about, f"signed in as {identity}")
    remedy = DOCTOR["credentials/account"].format(account=account)
    return problem(
        "credentials", about, f"signed in as {identity}, but findings go to account {account}", remedy=remedy
    )


def _clock(about: str, answer: Mapping[str, Any], now: float) -> list[CheckResult]:
    """Compare our clock with the Date header of an AWS response."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        sent = parsedate_to_datetime(str(headers.get("date")))
    except ValueError:
        return []
    return [cluster.evaluate_clock(about, sent, now)]


async def _enabled(client: HubClient, about: str) -> CheckResult:
    expected = hub_arn(partition=client.partition, region=client.region, account=client.account)
    try:
        hub = await client.describe_hub()
    except AccessLost as error:
        if error.kind is Reason.NOT_ENABLED:
            remedy = DOCTOR["security-hub/off"].format(region=client.region)
            return problem("security-hub", about, f"Security Hub CSPM is off: {error.found}", remedy=remedy)
        return unchecked("security-hub", about, error.found, remedy=DOCTOR["security-hub"])
    except HubError as error:
        return unchecked("security-hub", about, error.found, remedy=error.advice or DOCTOR["hub-failed"])
    if hub.get("HubArn") != expected:
        remedy = DOCTOR["security-hub/other"]
        return problem("security-hub", about, f"the hub is {hub.get('HubArn')}, not {expected}", remedy=remedy)
    return fine("security-hub", about, f"enabled since {hub.get('SubscribedAt')}")


async def _readable(client: HubClient, about: str) -> CheckResult:
    try:
        page = await client.get_findings({"Id": [{"Value": ROOT, "Comparison": "PREFIX"}]})
    except Throttled as error:
        remedy = DOCTOR["quotas/readings"]
        return problem("quotas", about, f"GetFindings is throttled: {error.message}", remedy=remedy)
    except AccessLost as error:
        if error.kind is Reason.NOT_ENABLED:
            return unchecked("get-findings", about, "not checked: Security Hub is off", remedy=DOCTOR["not-asked"])
        return problem("get-findings", about, error.found, remedy=error.advice or DOCTOR["get-findings"])
    except HubError as error:
        return unchecked("get-findings", about, error.found, remedy=error.advice or DOCTOR["hub-failed"])
    number = f"{len(page.findings)} or more" if page.token else str(len(page.findings))
    return fine("get-findings", about, f"readable; findings of policyhub: {number}")


async def _importable(client: HubClient, about: str) -> CheckResult:
    moment = "2020-01-01T00:00:00.000Z"
    finding = {
        "SchemaVersion": "2018-10-08",
        "Id": _INVALID_ID,
        "ProductArn": client.product_arn,
        "GeneratorId": _INVALID_ID,
        "AwsAccountId": client.account,
        "CreatedAt": moment,
        "UpdatedAt": moment,
        "Title": "",
        "Description": "",
        "Resources": [],
    }
    remedy = DOCTOR["product-arn"]
    try:
        result = await client.import_findings([finding])
    except AccessLost as error:
        return problem("product-arn", about, f"{client.product_arn}: {error.found}", remedy=remedy)
    except HubError as error:
        return unchecked("product-arn", about, error.found, remedy=error.advice or DOCTOR["hub-failed"])
    failure = result.failures.get(_INVALID_ID)
    if failure is None:
        remedy = DOCTOR["product-arn/taken"].format(id=_INVALID_ID)
        return problem("product-arn", about, "Security Hub accepted a finding without a title", remedy=remedy)
    match failure.kind:
        case "permanent":
            return fine("product-arn", about, f"findings may be imported under {client.product_arn}")
        case "configuration" if access_kind(failure.code) is Reason.NOT_ENABLED:
            return unchecked("product-arn", about, "not checked: Security Hub is off", remedy=DOCTOR["not-asked"])
        case "configuration":
            return problem("product-arn", about, failure.message, remedy=failure.advice or remedy)
        case _:
            return unchecked("product-arn", about, f"{failure.code}: {failure.message}", remedy=DOCTOR["hub-failed"])
