"""An EKS cluster for tests: a real API server that authenticates callers with the local hub, with only what a monitored
cluster needs.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.chart.files import ACCESS
from dev.cluster import Cluster, helm
from dev.hub.process import HubProcess, access_key
from dev.testbed import ACCOUNT, REGION
from tests.integration.operator.world import ENGINES, Document

ROOT = Path(__file__).parents[3]
OTHER = "444455556666"
"""The cluster's account."""
ARN = f"arn:aws:eks:{REGION}:{OTHER}:cluster/prod-eu"
ROLE = f"arn:aws:iam::{OTHER}:role/team/policyhub"
EXTERNAL_ID = "tell-nobody"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/{access_key(ACCOUNT)}"
"""The operator's identity if it assumes no role."""
GROUP = "policyhub"
BY_ROLE = {"roleArn": ROLE, "externalId": EXTERNAL_ID}


def rights() -> list[Document]:
    """The ClusterRole, and its binding to the access entry's group, from the chart for monitored clusters."""
    return helm.render(ROOT / ACCESS, "policyhub-access", "policyhub", {"group": GROUP})


class Eks:
    """The cluster as EKS describes it."""

    def __init__(self, cluster: Cluster, hub: HubProcess) -> None:
        self.cluster = cluster
        self._hub = hub
        self._rights = rights()
        self.cluster.apply([*ENGINES, *self._rights])

    @property
    def authority(self) -> str:
        return base64.b64encode((self.cluster.ca or "").encode()).decode()

    @property
    def given(self) -> Mapping[str, str]:
        """Spec fields that make DescribeCluster unnecessary."""
        return {"endpoint": self.cluster.url, "certificateAuthorityData": self.authority}

    def begin(self) -> None:
        """The initial state: active, with access entries for the role and for the operator itself."""
        self._hub.roles({ROLE: EXTERNAL_ID})
        self.gone()
        self.describe_as()
        self.bind(bound=True)

    def describe_as(self, *, principals: tuple[str, ...] = (ROLE, OPERATOR), **reported: Any) -> None:
        """Set the answer of DescribeCluster, and the access entries."""
        entries = [{"principal": principal, "groups": [GROUP]} for principal in principals]
        where = {"endpoint": self.cluster.url, "authority": self.authority}
        self._hub.eks([{"arn": ARN, **where, "entries": entries, **reported}])

    def gone(self) -> None:
        self._hub.eks([])

    def bind(self, *, bound: bool) -> None:
        """Whether the group has any permissions in the cluster."""
        binding = self._rights[1]
        if bound:
            self.cluster.apply([binding])
        else:
            self.cluster.request("DELETE", self.cluster.path(binding))
