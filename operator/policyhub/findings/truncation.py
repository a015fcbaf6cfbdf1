"""Findings about truncated lists (sources/truncation.py), and when a changed number needs an update.

Each truncated list gets one INFORMATIONAL finding: how many of the violations are listed, what this means, and what to
do. Its status is NOT_AVAILABLE, because it is unknown what the list lacks.

**Updates.** The numbers change with every scan, and nobody acts on the difference between 57 and 58. So the digest ends
with the numbers, after the hash. Two digests with the same hash have the same content until

| number     | in the last finding sent and now                                                                 |
|------------|--------------------------------------------------------------------------------------------------|
| all        | has doubled or halved                                                                            |
| listed     | has doubled or halved, and differs by at least ten: somebody has changed the limit               |

The last numbers are read back with the finding, so a restart sends nothing. An update for another reason contains the
current numbers. Pure: no I/O, no clock.
"""

import shlex
from typing import Any

from policyhub.findings.limits import cut, fit, fit_distinct, length
from policyhub.model.engines import GATEKEEPER
from policyhub.model.policy_apis import object_of
from policyhub.model.violation import Violation
from policyhub.sources.truncation import counts

GUIDE_URL = "https://open-policy-agent.github.io/gatekeeper/website/docs/audit"
"""Gatekeeper's documentation of its audit and of the flag."""

_DEFAULT = 20
_RECOMMENDED = 500
"""Gatekeeper's guide advises no higher limit: a constraint with its list has to fit into what etcd stores (1.5 MB)."""
_ROUND = 50

_DIGITS = 16
"""Of a number in a digest; others may have written the digest."""
_LISTED_APART = 10

_TITLE, _DESCRIPTION, _TEXT, _GENERATOR = 256, 1024, 512, 512
_SEEN, _CLUSTER, _NAME = 80, 38, 24
"""Characters of a title that lists of findings show; maximum for the cluster's name; minimum for the object's."""


def digest_of(digest: str, violation: Violation) -> str:
    """The digest of a notice: hash and numbers."""
    return ".".join((digest, *(str(number) for number in counts(violation))))


def same_content(known: str, digest: str) -> bool:
    """Whether two digests have the same content, apart from small differences of the numbers."""
    if known == digest:
        return True
    before, after = known.split("."), digest.split(".")
    if len(before) != 3 or len(after) != 3 or before[0] != after[0]:
        return False
    if not all(text.isdecimal() and len(text) <= _DIGITS for text in (*before[1:], *after[1:])):
        return False
    (listed, total), (now_listed, now_total) = map(int, before[1:]), map(int, after[1:])
    limit_changed = abs(listed - now_listed) >= _LISTED_APART and _is_far(listed, now_listed)
    return not limit_changed and not _is_far(total, now_total)


def _is_far(one: int, other: int) -> bool:
    return max(one, other) >= 2 * min(one, other)


def notice_members(violation: Violation, *, cluster: str) -> dict[str, Any]:
    """The members of the finding that differ from those of a violation. `cluster` is its name."""
    listed, total = counts(violation)
    return {
        "GeneratorId": fit_distinct(_generator(violation), _GENERATOR),
        "Title": _title(violation, cluster),
        "Description": fit(_description(violation, listed, total, cluster), _DESCRIPTION) or "policyhub",
        "Compliance": {"Status": "NOT_AVAILABLE"},
        "Remediation": {"Recommendation": _recommendation(violation, total, cluster)},
    }


def _generator(violation: Violation) -> str:
    parts = ("policyhub", violation.source, violation.policy, violation.rule, "truncated-list")
    return "/".join(part for part in parts if part and not part.isspace())


def _title(violation: Violation, cluster: str) -> str:
    lead, tail = "Not all violations are listed: ", f" ({cut(cluster, _CLUSTER)})"
    limit = max(_NAME, _SEEN - length(lead) - length(tail))
    return fit(f"{lead}{cut(_object(violation), limit)}{tail}", _TITLE) or "policyhub"


def _object(violation: Violation) -> str:
    of = violation.subject
    return f"{of.kind} {f'{of.namespace}/' if of.namespace else ''}{of.name}"


def _description(violation: Violation, listed: int, total: int, cluster: str) -> str:
    of, missing = cut(_object(violation), _TEXT), total - listed
    if violation.source == GATEKEEPER:
        what = f"Gatekeeper's constraint {of} in {cluster} lists {listed} of {_number(total, 'violation')}."
        ends = "audits list all of them, or the constraint is deleted"
    else:
        what = (
            f"The report {of} of {cut(violation.source, _TEXT // 4)} in {cluster} lists {listed} of"
            f" {_number(total, 'failure')} that its summary counts."
        )
        ends = "the report lists all of them, or is deleted"
    return (
        f"{what} The other {missing} {'is' if missing == 1 else 'are'} not known: objects that are not listed have no"
        " finding, and no finding is archived because its object is missing from the list. The numbers are those of the"
        " last update of this finding; a change of them alone updates it once they have doubled or halved. It is"
        f" archived once {ends}."
    )


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _recommendation(violation: Violation, total: int, cluster: str) -> dict[str, str]:
    switch = (
        f"To leave out such findings: spec.sources.truncatedLists: false in MonitoredCluster {cut(cluster, _CLUSTER)}."
    )
    if violation.source != GATEKEEPER:
        how = "Have the engine write all results: raise or remove its limit of results in a report"
        return {"Text": f"{how} (configuration.limits.maxResults, where the report names it). {switch}"}
    limit = -(-max(total, _DEFAULT) // _ROUND) * _ROUND
    text = (
        f"Raise the limit of Gatekeeper's audit to {total} or more: --constraint-violations-limit={limit}"
        f" (constraintViolationsLimit: {limit} in its Helm chart; the default is {_DEFAULT})."
    )
    if limit > _RECOMMENDED:
        text = (
            f"Fix what is listed, or narrow the constraint: {total} is more than the {_RECOMMENDED} that Gatekeeper"
            f" recommends for --constraint-violations-limit (constraintViolationsLimit in its Helm chart)."
        )
    of = object_of(violation.source, violation.policy, violation.rule, namespace="")
    see = f" What is listed: {shlex.join(('kubectl', 'get', of.source_api, of.name, '-o', 'yaml'))}." if of else ""
    full_text = f"{text}{see} {switch}"
    return {
        "Text": fit(full_text if length(full_text) <= _TEXT else f"{text} {switch}", _TEXT) or text,
        "Url": GUIDE_URL,
    }
