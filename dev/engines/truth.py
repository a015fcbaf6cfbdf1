"""The violations that the engines must find, given the company's flaws, if results roll up to controllers.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator

from dev.company.truth import Violation
from dev.engines.company import Flaws
from dev.engines.rules import PAYMENTS, RULES

PODLESS = frozenset({"CronJob"})
"""Kinds without Pods most of the time. Gatekeeper's rules are for Pods; Kyverno derives rules for controllers."""


def wanted(flaws: Flaws) -> set[Violation]:
    return {violation for (kind, namespace, name) in flaws for violation in about(kind, namespace, name, flaws)}


def about(kind: str, namespace: str, name: str, flaws: Flaws) -> Iterator[Violation]:
    """The violations of one object."""
    has = {*flaws[kind, namespace, name]}
    if "privileged" in has:
        has.add("escalation")  # the API server rejects a privileged container that cannot gain privileges
    for rule in RULES:
        if rule.flaw in has:
            yield Violation(*rule.result, kind, namespace, name)
            if kind not in PODLESS:
                yield Violation("gatekeeper", rule.template, rule.constraint, kind, namespace, name)
    if PAYMENTS.flaw in has and namespace == PAYMENTS.namespace:
        yield Violation(*PAYMENTS.result, kind, namespace, name)
