"""Checks of the running operator's metrics.

* quotas of Security Hub: the operator's current rate, and the calls that were throttled;
* wording: producers that change the text of their findings at each scan.
"""

from collections import defaultdict
from collections.abc import Iterable

import aiohttp
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from policyhub.cluster.formatting import counted, some
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.model.text import line
from policyhub.securityhub.errors import is_throttle
from policyhub.securityhub.rate_limit import IMPORTS, READS

_SECONDS = 5.0
_SLOW = 0.9
"""A rate below this part of its maximum is slowed: it grows back by a twentieth with each answer."""
_NAME = 64
"""Characters of a source's name, and of a member's, at most."""
_QUOTAS = {"BatchImportFindings": IMPORTS, "GetFindings": READS}


async def check(url: str, *, share: float) -> list[CheckResult]:
    """`share` is the operator's part of the quotas (`hub_quota_share`)."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=False) as session,
            session.get(url) as answer,
        ):
            text = await answer.text()
            families = list(text_string_to_metric_families(text))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        found = f"the metrics cannot be read from {url}: {type(error).__name__} {error}"
        return [unchecked("quotas", "", found, remedy=DOCTOR["quotas"])]
    return [*evaluate(families, share=share), *evaluate_wording(families)]


def evaluate_wording(families: Iterable[Metric]) -> list[CheckResult]:
    """Pure."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for family in families:
        for sample in family.samples:
            if sample.name == "policyhub_findings_reworded":
                source, member = (line(sample.labels.get(name, ""), _NAME) for name in ("source", "member"))
                number = counted(round(sample.value), "finding")
                found[sample.labels.get("cluster", "")].append(f"{source} changes {member} of {number}")
    return [
        problem("wording", cluster, some(sorted(changes)), remedy=DOCTOR["wording"])
        for cluster, changes in sorted(found.items())
    ] or [fine("wording", "", "no producer keeps changing the text of its findings")]


def evaluate(families: Iterable[Metric], *, share: float) -> list[CheckResult]:
    """Pure."""
    rates: dict[tuple[str, str], float] = {}
    calls: defaultdict[tuple[str, str], float] = defaultdict(float)
    throttled: defaultdict[tuple[str, str], float] = defaultdict(float)
    for family in families:
        for sample in family.samples:
            key = sample.labels.get("hub", ""), sample.labels.get("operation", "")
            if sample.name == "policyhub_hub_rate_limit":
                rates[key] = sample.value
            elif sample.name == "policyhub_hub_requests_total":
                calls[key] += sample.value
                throttled[key] += sample.value if is_throttle(sample.labels.get("code", "")) else 0
    results = []
    for (hub, operation), rate in sorted(rates.items()):
        granted = _QUOTAS[operation].rate * share if operation in _QUOTAS else rate
        key = hub, operation
        total = f"{counted(round(calls[key]), 'call')} {'was' if round(calls[key]) == 1 else 'were'}"
        found = f"{operation}: {throttled[key]:.0f} of {total} throttled; the"
        found += f" rate limit is {rate:.2g} of {granted:.2g} calls a second"
        if rate < granted * _SLOW:
            results.append(problem("quotas", hub, found, remedy=DOCTOR["quotas/slowed"]))
        else:
            results.append(fine("quotas", hub, found))
    return results or [
        unchecked("quotas", "", "the operator has not called Security Hub yet", remedy=DOCTOR["quotas/none"])
    ]
