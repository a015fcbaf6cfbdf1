"""A small made-up company in one cluster, and what policy engines say about it, in the shapes that they really write.

Everything is deterministic: one seed gives one company, one `now` gives one set of reports. Names, images and messages
are invented; shapes, limits and orders are those of Kyverno 1.19, Kubewarden's audit scanner, the Trivy adapter and
Gatekeeper 3.23. Pure: no I/O, no clock.
"""

from dev.company.company import Company
from dev.company.gatekeeper import Breach, constraint
from dev.company.report import report, rewrite
from dev.company.truth import Call, calls
from dev.company.workload import Object, Workload

__all__ = ["Breach", "Call", "Company", "Object", "Workload", "calls", "constraint", "report", "rewrite"]
