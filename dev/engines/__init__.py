"""The real engines against the local control plane: Kyverno's reports controller, Gatekeeper's audit, and the
controllers of Kubernetes that make ReplicaSets and Pods and collect what belongs to nobody.

Nothing runs in the Pods: a stand-in for scheduler and kubelet says that they do. What an engine sees of a cluster is
its API, so its reports are those of a real one.
"""

from dev.engines.engine import Engine, EngineError
from dev.engines.gatekeeper import Gatekeeper
from dev.engines.kubelet import Kubelet
from dev.engines.kyverno import Kyverno
from dev.engines.manager import ControllerManager
from dev.engines.scene import Scene, open_scene

__all__ = ["ControllerManager", "Engine", "EngineError", "Gatekeeper", "Kubelet", "Kyverno", "Scene", "open_scene"]
