"""The company's rules as policies of each engine. Pure: no I/O, no clock."""

from dev.company.workload import Document
from dev.engines.rules import DRYRUN, SCOPED, Rule

TEAM = {"matchExpressions": [{"key": "team", "operator": "Exists"}]}
"""The company's own namespaces."""


def kyverno(rule: Rule) -> Document:
    """The rule as a policy of Kyverno."""
    annotations = {
        "policies.kyverno.io/title": rule.message,
        "policies.kyverno.io/severity": rule.severity,
        "policies.kyverno.io/category": "Harbour baseline",
    }
    metadata: Document = {"name": rule.policy, "annotations": annotations}
    if rule.cel:
        return {
            "apiVersion": "policies.kyverno.io/v1",
            "kind": "ValidatingPolicy",
            "metadata": metadata,
            "spec": _in_cel(rule),
        }
    if rule.namespace:
        metadata["namespace"] = rule.namespace
    pattern: Document = {"spec": rule.pattern} if rule.pattern else {}
    if rule.labels:
        pattern["metadata"] = {"labels": rule.labels}
    resources: Document = {"kinds": [rule.kind]}
    if rule.kind == "Namespace":
        resources["selector"] = TEAM
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "Policy" if rule.namespace else "ClusterPolicy",
        "metadata": metadata,
        "spec": {
            "background": True,
            "rules": [
                {
                    "name": rule.flaw,
                    "match": {"any": [{"resources": resources}]},
                    "validate": {"failureAction": "Audit", "message": rule.message, "pattern": pattern},
                }
            ],
        },
    }


def _in_cel(rule: Rule) -> Document:
    """For Pods and, derived by Kyverno, for their controllers."""
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE", "UPDATE"]}
    makers = ["deployments", "statefulsets", "daemonsets", "cronjobs", "jobs"]
    return {
        "validationActions": ["Audit"],
        "autogen": {"podControllers": {"controllers": makers}},
        "matchConstraints": {"resourceRules": [pods]},
        "validations": [{"expression": rule.cel, "message": rule.message}],
    }


def template(rule: Rule) -> Document:
    """The rule as a template of Gatekeeper, which creates a kind from it."""
    return {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": rule.template.lower()},
        "spec": {
            "crd": {"spec": {"names": {"kind": rule.template}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": rule.rego}],
        },
    }


def constraint(rule: Rule) -> Document:
    """The rule as a constraint of Gatekeeper, for audits only: admission denies nothing."""
    annotations = {"policyhub.dev/severity": rule.severity} if rule.action == DRYRUN else {}
    match: Document = {
        "kinds": [{"apiGroups": [""], "kinds": [rule.kind]}],
        "excludedNamespaces": ["kube-*", "kyverno", "gatekeeper-*", "policyhub"],
    }
    if rule.kind == "Namespace":
        match["labelSelector"] = TEAM
    spec: Document = {"enforcementAction": rule.action, "match": match}
    if rule.action == SCOPED:
        spec["scopedEnforcementActions"] = [
            {"action": "deny", "enforcementPoints": [{"name": "audit.gatekeeper.sh"}]},
            {"action": "warn", "enforcementPoints": [{"name": "validation.gatekeeper.sh"}]},
        ]
    return {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": rule.template,
        "metadata": {"name": rule.constraint, "annotations": annotations},
        "spec": spec,
    }
