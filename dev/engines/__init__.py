"""The real engines on the local control plane: Kyverno's reports controller, Gatekeeper's audit, and Kubernetes'
controllers, which create ReplicaSets and Pods and collect garbage.

No Pod runs: a stand-in for scheduler and kubelet sets its status. Engines only see the API, so their reports are the
same as in a real cluster.
"""

from dev.engines.engine import Engine, EngineError
from dev.engines.gatekeeper import Gatekeeper
from dev.engines.kubelet import Kubelet
from dev.engines.kyverno import Kyverno
from dev.engines.manager import ControllerManager
from dev.engines.scene import Scene, open_scene

__all__ = ["ControllerManager", "Engine", "EngineError", "Gatekeeper", "Kubelet", "Kyverno", "Scene", "open_scene"]
