"""How a cluster is reached: through EKS, by a kubeconfig in a Secret of the home cluster, or as the home cluster."""

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.cluster.contact import Connect, Explain, from_error
from policyhub.eks.connector import EksClusters
from policyhub.kube.connection import Connection


class Routes:
    """The routes to the clusters of all MonitoredClusters of one process."""

    def __init__(self, *, home: Connection, open_home: Connect, eks: EksClusters) -> None:
        """`home` reads Secrets; `open_home` opens another connection to the home cluster."""
        self._home = home
        self._open_home = open_home
        self._eks = eks

    def of(self, monitored: MonitoredCluster) -> tuple[Connect, Explain, str]:
        """The third value is the ARN to describe at EKS, which returns the endpoint; empty if EKS is not needed."""
        connection, name = monitored.spec.connection, monitored.metadata.name
        if connection.eks is not None:
            arn = connection.eks.arn or monitored.spec.cluster_arn or ""  # the models require one of them
            eks = self._eks.connector(connection.eks, arn, name=name)
            return eks.connect, eks.explain, "" if connection.eks.endpoint else arn
        reference = connection.kubeconfig_secret_ref
        if reference is None:
            return self._open_home, from_error, ""

        async def connect() -> Connection:
            return await Connection.from_secret(self._home, reference.namespace, reference.name, key=reference.key)

        return connect, from_error, ""

    def close(self) -> None:
        self._eks.close()
