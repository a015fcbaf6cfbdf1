"""A small invented company in one cluster, and its policy reports, in the real shapes of the engines.

Deterministic: equal seeds give equal companies, and an equal `now` gives equal reports. Names, images and messages are
invented; shapes, limits and orders are those of Kyverno 1.19, Kubewarden's audit scanner, the Trivy adapter and
Gatekeeper 3.23. Pure: no I/O, no clock.
"""

from dev.company.company import Company
from dev.company.gatekeeper import Breach, constraint
from dev.company.report import report, rewrite
from dev.company.truth import Violation, violations
from dev.company.workload import Object, Workload

__all__ = ["Breach", "Company", "Object", "Violation", "Workload", "constraint", "report", "rewrite", "violations"]
