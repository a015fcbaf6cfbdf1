"""How bad a violation is where neither its result nor its policy says so: the risk of well-known policies.

The ranks stand in risk.toml, with their version and sources. They depend on what identifies the violation and on the
controls that it names, on nothing that another scan or another report could say otherwise.

| nobody states a severity, and                             | the risk is                                             |
|-----------------------------------------------------------|---------------------------------------------------------|
| a benchmark's check has to be made by hand                | INFORMATIONAL: nothing was found                        |
| the result names controls of the Pod Security Standards   | that of the worst                                       |
| the policy is a well-known one, by its engine and name    | that of the policy                                      |
| otherwise                                                 | unknown: the default applies                            |

Pure: no I/O beyond the package's own file, no clock.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, get_args

import msgspec

from policyhub.sources.violation import Severity, Violation

_MANUAL: Final = "(Manual)"
"""How the CIS benchmarks mark what a person has to look at; kube-bench reports it as a warning."""
_BENCHMARKS: Final = frozenset({"Kube Bench", "kube-cis", "CIS Kube Bench", "CIS Vulnerability"})
_CONTROLS: Final = "controls"
_ENGINES: Final = ("-cel", "-vpol", "-validating-admission-policy")
"""What Kyverno's library adds to names of the same policy, written for another engine."""
_CHECK: Final = re.compile(r"(?:AVD-)?([A-Z]{2,4})-?0{0,8}(\d{1,4})")
_STRONGEST_FIRST: Final[tuple[Severity, ...]] = ("HIGH", "MEDIUM", "LOW")


def _ranks() -> tuple[int, Mapping[str, Mapping[str, Severity]], Mapping[str, Severity]]:
    document: dict[str, Any] = tomllib.loads(files("policyhub.sources").joinpath("risk.toml").read_text("utf-8"))
    by_source: dict[str, Mapping[str, Severity]] = {}
    controls: Mapping[str, Severity] = {}
    for name, table in document.items():
        if not isinstance(table, dict):
            continue
        ranks: dict[str, Severity] = {
            policy.lower(): level for level in get_args(Severity) for policy in table.get(level, ())
        }
        if name == _CONTROLS:
            controls = ranks
        else:
            by_source |= dict.fromkeys(table["sources"], ranks)
    return document["version"], by_source, controls


VERSION, RANKS, CONTROLS = _ranks()


def rated(violation: Violation, *, by_policy: bool = True) -> Violation:
    """With its risk where nobody states a severity. `by_policy`: what is known of policies counts, too."""
    if violation.severity is not None:
        return violation if violation.risk is None else msgspec.structs.replace(violation, risk=None)
    risk: Severity | None = None
    if is_manual(violation):
        risk = "INFORMATIONAL"
    elif by_policy:
        risk = _named(violation.properties) or _known(violation.source, violation.policy, violation.rule)
    return violation if risk == violation.risk else msgspec.structs.replace(violation, risk=risk)


def is_manual(violation: Violation) -> bool:
    """Whether a benchmark only tells what a person has to look at."""
    if violation.source not in _BENCHMARKS or violation.result != "warn":
        return False
    return any(text.rstrip().endswith(_MANUAL) for text in (violation.message, violation.rule, violation.policy))


def _named(properties: Iterable[tuple[str, str]]) -> Severity | None:
    """That of the worst control."""
    for key, value in properties:
        if key == _CONTROLS:
            found = {CONTROLS.get(control.strip().lower()) for control in value.split(",")}
            return next((level for level in _STRONGEST_FIRST if level in found), None)
    return None


@lru_cache(maxsize=4096)  # of a cluster's policies, asked for each violation
def _known(source: str, policy: str, rule: str) -> Severity | None:
    ranks = RANKS.get(source)
    if ranks is None:
        return None
    return next((ranks[name] for name in _names(source, policy, rule) if name in ranks), None)


def _names(source: str, policy: str, rule: str) -> Iterable[str]:
    """What a policy may be called in the file."""
    name = policy.rpartition("/")[2].lower()
    if source.startswith("Trivy "):
        for text in (rule, policy):
            if check := _CHECK.fullmatch(text):
                yield f"{check[1]}{int(check[2]):03}".lower()
    elif source == "kubewarden":
        yield name.removeprefix("clusterwide-").removeprefix("group-")
        for ranked in RANKS[source]:  # `namespaced-<namespace>-<name>`, both of which may have dashes
            if name.startswith("namespaced-") and name.endswith(f"-{ranked}"):
                yield ranked
    else:
        yield name
        for ending in _ENGINES:
            if name.endswith(ending):
                yield name.removesuffix(ending)
