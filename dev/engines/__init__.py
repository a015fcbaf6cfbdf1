"""The real engines against the local control plane: Kyverno's reports controller, Gatekeeper's audit, and the
controllers of Kubernetes that make ReplicaSets and Pods and collect what belongs to nobody.

There is no kubelet: Pods are objects that stay pending, and nothing runs in them. What an engine sees of a cluster is
its API, so its reports are those of a real one.
"""

from dev.engines.engine import Engine, EngineError
from dev.engines.gatekeeper import Gatekeeper
from dev.engines.kyverno import Kyverno
from dev.engines.manager import ControllerManager

__all__ = ["ControllerManager", "Engine", "EngineError", "Gatekeeper", "Kyverno"]
