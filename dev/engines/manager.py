"""kube-controller-manager: what Deployments and Jobs come to, garbage collection, the end of namespaces."""

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
            "--kube-api-qps=200",  # by default garbage waits for its turn
            "--kube-api-burst=400",
            # Without nodes and clouds these would only complain.
            "--controllers=*,-node-ipam-controller,-node-lifecycle-controller,-service-lb-controller",
        )
