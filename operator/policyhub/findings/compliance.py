"""The type, control, requirements and standards of a finding.

| in the violation                                               | becomes                                             |
|----------------------------------------------------------------|-----------------------------------------------------|
| a property `…/cis-eks-control: "4.2.1"`, `…/owasp: "K01"`      | the requirement `CIS EKS 4.2.1`, `OWASP K01`        |
| a property `controls` (or `control`) beside one `standard(s)`  | `<standard> <control>` for each                     |
| a property `controls` alone                                    | each as it stands: `CIS-1.3.2`                      |
| Kyverno's Pod Security: `standard: restricted`, `controls`     | `Pod Security Standards (Restricted) capabilities`  |
| Policy Controller's `constraintData` with a bundle and numbers | `<bundle> <number>` for each                        |
| kube-bench's `index`                                           | `CIS Kubernetes Benchmark 1.2.3`                    |
| Trivy Compliance: its report's benchmark, its policy's number  | `NSA-CISA Kubernetes Hardening 1.0`                 |
| a property `standard(s)`, a category of Pod Security Standards,| associated standards                                |
|   the benchmark of kube-bench or Trivy Compliance              |                                                     |

Only the last segment of a key counts, so `policies.kyverno.io/controls` and `controls` are the same. Nothing is
inferred from a policy's name: requirements must be stated. Pure: no I/O, no clock.
"""

import re
from typing import Any

from policyhub.findings.limits import fit
from policyhub.model.engines import ENGINES, FALCO, KUBE_BENCH_SOURCES, TRIVY, TRIVY_COMPLIANCE
from policyhub.model.violation import Result, Violation
from policyhub.sources.check import number
from policyhub.sources.policy import tail
from policyhub.sources.risk import is_manual

BENCHMARK = "CIS Kubernetes Benchmark"
POD_SECURITY = "Pod Security Standards"

STATUS: dict[Result, str] = {
    "fail": "FAILED",
    "warn": "WARNING",
    "error": "NOT_AVAILABLE",
    "truncated": "NOT_AVAILABLE",
}

POLICIES = "Software and Configuration Checks/Kubernetes Policy Violations"
"""Not `Kubernetes Policies`, as in other tools: the AWS sample archives all findings of that category but its own."""
TYPES: dict[str, str] = {engine.name: engine.finding_type for engine in ENGINES if engine.finding_type}
"""By source; every other source is `Software and Configuration Checks/Kubernetes Policy Violations/<source>`."""

STANDARDS: dict[str, str] = {
    "cis": "CIS",
    "cis-aks": "CIS AKS",
    "cis-eks": "CIS EKS",
    "cis-gke": "CIS GKE",
    "cis-kubernetes": BENCHMARK,
    "hipaa": "HIPAA",
    "iso-27001": "ISO 27001",
    "nist": "NIST",
    "nist-800-53": "NIST 800-53",
    "nist-800-190": "NIST 800-190",
    "nsa-cisa": "NSA-CISA",
    "owasp": "OWASP",
    "pci-dss": "PCI DSS",
    "soc2": "SOC 2",
}
"""Property key → spelling of the standard in requirements; others are spelt as in their key."""

BENCHMARKS: dict[str, str] = {
    "cis": BENCHMARK,
    "eks-cis": "CIS EKS",
    "k8s-cis": BENCHMARK,
    "nsa": "NSA-CISA Kubernetes Hardening",
    "k8s-nsa": "NSA-CISA Kubernetes Hardening",
    "pss-baseline": f"{POD_SECURITY} (Baseline)",
    "k8s-pss-baseline": f"{POD_SECURITY} (Baseline)",
    "pss-restricted": f"{POD_SECURITY} (Restricted)",
    "k8s-pss-restricted": f"{POD_SECURITY} (Restricted)",
}
"""Spelling of Trivy Compliance's benchmarks, without their versions; others are unchanged."""

_LEVELS = {"baseline": f"{POD_SECURITY} (Baseline)", "restricted": f"{POD_SECURITY} (Restricted)"}
_CONTROLS = frozenset({"control", "controls"})
_NAMED = frozenset({"standard", "standards"})
_CONTROL_SUFFIXES = ("-controls", "-control")
_BUNDLE = re.compile(r"bundleDisplayName\W{1,6}([^'\"\\]{1,1024})")
_NUMBERS = re.compile(r"controlNumbers\W{1,6}([^\]'\"\\]{1,1024})")
_SEPARATORS = re.compile(r"[,;\n]")
_ENGINE_SUFFIXES = (" in cel expressions", " in cel", " in vpol")

# The most of each, and the longest: AWS documents 32 requirements, its server names 20 standards; others cut a
# requirement at 64 characters; for ids no limit is documented, and more than this is no id.
_REQUIREMENTS, _REQUIREMENT, _ASSOCIATED, _ID = 32, 64, 20, 128


def finding_type(source: str) -> str:
    """`namespace/category/classifier`; slashes within a segment are replaced, since they would add a segment."""
    return TYPES.get(source) or f"{POLICIES}/{fit(source.replace('/', '-'), _ID) or 'unknown'}"


def compliance(violation: Violation) -> dict[str, Any]:
    """The member Compliance."""
    stated: dict[str, Any] = {"Status": STATUS["error" if is_manual(violation) else violation.result]}
    control = fit(_control(violation), _ID)
    if control:
        stated["SecurityControlId"] = control
    requirements, standards = _requirements_and_standards(violation)
    if requirements:
        stated["RelatedRequirements"] = requirements
    if standards:
        stated["AssociatedStandards"] = [{"StandardsId": standard} for standard in standards]
    return stated


def categories(category: str) -> list[str]:
    """The single categories, without the engine that Kyverno's library appends."""
    return [_without_engine(part.strip()) for part in category.split(",") if part.strip()]


def _without_engine(category: str) -> str:
    for suffix in _ENGINE_SUFFIXES:
        if category[-len(suffix) :].lower() == suffix:
            return category[: -len(suffix)].rstrip()
    return category


def _control(violation: Violation) -> str:
    """The id of the check, independent of the object."""
    source = violation.source
    if source in KUBE_BENCH_SOURCES:
        return dict(violation.properties).get("index") or violation.policy or violation.rule
    if source == TRIVY_COMPLIANCE:
        return dict(violation.properties).get("id") or violation.policy or violation.rule
    if source.startswith(TRIVY):
        return number(violation)
    if source == FALCO:
        return violation.rule or violation.policy  # its policy is where an event came from
    return violation.policy or violation.rule


def _requirements_and_standards(violation: Violation) -> tuple[list[str], list[str]]:
    requirements: list[str] = []
    standards: list[str] = []
    controls: list[str] = []
    level = ""
    for key, value in violation.properties:
        segment = tail(key)
        if segment in _CONTROLS:
            controls += _items(value)
        elif segment in _NAMED:
            level = level or _LEVELS.get(value.strip().lower(), "")
            standards += [_LEVELS.get(item.lower()) or STANDARDS.get(item.lower(), item) for item in _items(value)]
        elif segment == "constraintdata":
            requirements += _bundle_controls(value)
        elif segment in STANDARDS:
            requirements += [f"{STANDARDS[segment]} {item}" for item in _items(value)]
        elif keyed := _standard_of_key(segment):
            name = STANDARDS.get(keyed) or keyed.upper()
            requirements += [f"{name} {item}" for item in _items(value)]
        elif segment == "index" and violation.source in KUBE_BENCH_SOURCES:
            requirements.append(f"{BENCHMARK} {value}")
    requirements += [_control_requirement(control, level=level, standards=standards) for control in controls]
    if violation.source == TRIVY_COMPLIANCE:
        named = _benchmark(dict(violation.properties).get("benchmark", ""))
        requirements.append(f"{named} {_numbered(violation.policy)}" if named else violation.policy)
        standards.append(named)
    standards += [part for part in categories(violation.category) if part.startswith(POD_SECURITY)]
    if violation.source in KUBE_BENCH_SOURCES:
        standards.append(BENCHMARK)
    return _distinct(requirements, _REQUIREMENT)[:_REQUIREMENTS], _distinct(standards, _ID)[:_ASSOCIATED]


def _standard_of_key(segment: str) -> str:
    """The standard of `cis-eks-control`; empty for another key."""
    return next((segment.removesuffix(ending) for ending in _CONTROL_SUFFIXES if segment.endswith(ending)), "")


def _numbered(policy: str) -> str:
    """The number of `1.2.3 Some check`, else all of it."""
    number, blank, _ = policy.partition(" ")
    return number if blank and _is_number(number) else policy


def _is_number(text: str) -> bool:
    """Digits and dots, a digit first."""
    return text[:1].isdecimal() and all(part.isdecimal() or not part for part in text.split("."))


def _benchmark(name: str) -> str:
    benchmark, dash, version = name.rpartition("-")
    if not dash or not benchmark or not _is_number(version):
        return BENCHMARKS.get(name, name)
    return f"{BENCHMARKS.get(benchmark, benchmark)} {version}"


def _control_requirement(control: str, *, level: str, standards: list[str]) -> str:
    check, separator, suffix = control.rpartition("_")
    if separator and suffix in _LEVELS:
        return f"{_LEVELS[suffix]} {check}"
    named = level or (standards[0] if len(standards) == 1 else "")
    return control if control.startswith(named) else f"{named} {control}"


def _bundle_controls(data: str) -> list[str]:
    """Controls from `constraintData`. Its quoting follows no language, so it is searched, not parsed."""
    bundle, numbers = _BUNDLE.search(data), _NUMBERS.search(data)
    if bundle is None or numbers is None:
        return []
    return [f"{bundle[1].strip()} {number}" for number in _items(numbers[1])]


def _items(text: str) -> list[str]:
    return [item for part in _SEPARATORS.split(text) if (item := part.strip())]


def _distinct(texts: list[str], limit: int) -> list[str]:
    return list(dict.fromkeys(fitted for text in texts if (fitted := fit(text, limit))))
