"""A running Kubernetes API on one machine: etcd and kube-apiserver without Docker, or whatever else is at hand."""

from dev.cluster.client import CRDS, ApiError, UnreachableError
from dev.cluster.cluster import Cluster, NotOursError
from dev.cluster.local import ControlPlane, StartError
from dev.cluster.plane import Plane, open_plane
from dev.cluster.toolchain import ToolchainError

__all__ = [
    "CRDS",
    "ApiError",
    "Cluster",
    "ControlPlane",
    "NotOursError",
    "Plane",
    "StartError",
    "ToolchainError",
    "UnreachableError",
    "open_plane",
]
