"""kube-controller-manager: Deployments and Jobs, garbage collection, the deletion of namespaces."""

from collections.abc import Sequence

from dev.engines.engine import Engine


class ControllerManager(Engine):
    name = "controller-manager"
    program = "kube-controller-manager"

    def flags(self) -> Sequence[str]:
        return (
            f"--kubeconfig={self._kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=false",
            "--kube-api-qps=200",  # the default delays garbage collection
            "--kube-api-burst=400",
            # These only log errors without nodes and a cloud.
            "--controllers=*,-node-ipam-controller,-node-lifecycle-controller,-service-lb-controller",
        )
