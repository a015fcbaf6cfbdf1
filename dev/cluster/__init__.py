"""A Kubernetes API on this machine: etcd and kube-apiserver without Docker, or one of the others in `plane`."""

from dev.cluster.client import CRDS, ApiError, UnreachableError
from dev.cluster.cluster import Cluster, NotOursError, Plane
from dev.cluster.local import ControlPlane, StartError
from dev.cluster.plane import open_plane
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
