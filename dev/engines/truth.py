"""What the engines must come to find, by how the company was made, when results count for what made a Pod.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator

from dev.company.truth import Call
from dev.engines.company import Flaws
from dev.engines.rules import PAYMENTS, RULES

PODLESS = frozenset({"CronJob"})
"""Have a Pod at night only. Gatekeeper is asked about Pods; Kyverno derives rules for what makes them."""


def wanted(flaws: Flaws) -> set[Call]:
    return {call for (kind, namespace, name) in flaws for call in about(kind, namespace, name, flaws)}


def about(kind: str, namespace: str, name: str, flaws: Flaws) -> Iterator[Call]:
    """Of one object."""
    has = {*flaws[kind, namespace, name]}
    if "privileged" in has:
        has.add("escalation")  # the API server refuses a privileged container that cannot gain privileges
    for rule in RULES:
        if rule.flaw in has:
            yield Call(*rule.told, kind, namespace, name)
            if kind not in PODLESS:
                yield Call("gatekeeper", rule.template, rule.constraint, kind, namespace, name)
    if PAYMENTS.flaw in has and namespace == PAYMENTS.namespace:
        yield Call(*PAYMENTS.told, kind, namespace, name)
