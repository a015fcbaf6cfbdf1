"""The severity of a violation if neither its result nor its policy states one: the risk of well-known policies.

The ranks are in risk.toml, with their version and sources. They depend on the identity of the violation and on the
controls that it names, so they are the same in every scan and every report.

| no severity is stated, and                                | the risk is                                             |
|-----------------------------------------------------------|---------------------------------------------------------|
| a benchmark's check is manual                             | INFORMATIONAL: nothing was found                        |
| the result names controls of the Pod Security Standards   | the highest of these controls                           |
| the policy is well known, by its engine and name          | that of the policy                                      |
| otherwise                                                 | unknown: the default applies                            |

Pure: no I/O except the package's own file, no clock.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, get_args

import msgspec

from policyhub.model.engines import KUBE_BENCH_SOURCES, KUBEWARDEN, TRIVY
from policyhub.model.violation import Severity, Violation

_MANUAL: Final = "(Manual)"
"""How the CIS benchmarks mark a check that a person has to make; kube-bench reports it as a warning."""
_CONTROLS: Final = "controls"
_ENGINE_SUFFIXES: Final = ("-cel", "-vpol", "-validating-admission-policy")
"""Suffixes in Kyverno's library for the same policy, written for another engine."""
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
    """With its risk if no severity is stated. `by_policy`: also use the ranks of well-known policies and controls."""
    if violation.severity is not None:
        return violation if violation.risk is None else msgspec.structs.replace(violation, risk=None)
    risk: Severity | None = None
    if is_manual(violation):
        risk = "INFORMATIONAL"
    elif by_policy:
        risk = _named(violation.properties) or _known(violation.source, violation.policy, violation.rule)
    return violation if risk == violation.risk else msgspec.structs.replace(violation, risk=risk)


def is_manual(violation: Violation) -> bool:
    """Whether it is a benchmark's check that a person has to make."""
    if violation.source not in KUBE_BENCH_SOURCES or violation.result != "warn":
        return False
    return any(text.rstrip().endswith(_MANUAL) for text in (violation.message, violation.rule, violation.policy))


def _named(properties: Iterable[tuple[str, str]]) -> Severity | None:
    """The highest risk of the controls."""
    for key, value in properties:
        if key == _CONTROLS:
            found = {CONTROLS.get(control.strip().lower()) for control in value.split(",")}
            return next((level for level in _STRONGEST_FIRST if level in found), None)
    return None


@lru_cache(maxsize=4096)  # the policies of a cluster; called for each violation
def _known(source: str, policy: str, rule: str) -> Severity | None:
    ranks = RANKS.get(source)
    if ranks is None:
        return None
    return next((ranks[name] for name in _names(source, policy, rule) if name in ranks), None)


def _names(source: str, policy: str, rule: str) -> Iterable[str]:
    """The possible names of a policy in the file."""
    name = policy.rpartition("/")[2].lower()
    if source.startswith(TRIVY):
        for text in (rule, policy):
            if check := _CHECK.fullmatch(text):
                yield f"{check[1]}{int(check[2]):03}".lower()
    elif source == KUBEWARDEN:
        yield name.removeprefix("clusterwide-").removeprefix("group-")
        for ranked in RANKS[source]:  # `namespaced-<namespace>-<name>`: both may contain dashes
            if name.startswith("namespaced-") and name.endswith(f"-{ranked}"):
                yield ranked
    else:
        yield name
        for ending in _ENGINE_SUFFIXES:
            if name.endswith(ending):
                yield name.removesuffix(ending)
