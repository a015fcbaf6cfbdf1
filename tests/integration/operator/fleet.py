"""An EKS cluster for the tests: a real API server that asks the local hub who its callers are, and nothing else in it
than what a monitored cluster needs.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.chart.files import ACCESS
from dev.cluster import Cluster, helm
from dev.hub.process import HubProcess, access_key
from dev.stand import ACCOUNT, REGION
from tests.integration.operator.world import ENGINES, Document

ROOT = Path(__file__).parents[3]
OTHER = "444455556666"
"""The account of the cluster."""
ARN = f"arn:aws:eks:{REGION}:{OTHER}:cluster/prod-eu"
ROLE = f"arn:aws:iam::{OTHER}:role/team/policyhub"
EXTERNAL_ID = "tell-nobody"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/{access_key(ACCOUNT)}"
"""Who the operator is where it assumes no role."""
GROUP = "policyhub"
BY_ROLE = {"roleArn": ROLE, "externalId": EXTERNAL_ID}


def rights() -> list[Document]:
    """The ClusterRole and its binding to the group that the access entry gives, by the chart for monitored clusters."""
    return helm.render(ROOT / ACCESS, "policyhub-access", "policyhub", {"group": GROUP})


class Eks:
    """The cluster, as EKS describes it."""

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
        """What stands in a spec where DescribeCluster is not to be asked."""
        return {"endpoint": self.cluster.url, "certificateAuthorityData": self.authority}

    def begin(self) -> None:
        """As a test wants it: at work, with entries for the role and for the operator itself."""
        self._hub.roles({ROLE: EXTERNAL_ID})
        self.gone()
        self.be()
        self.bind(bound=True)

    def be(self, *, principals: tuple[str, ...] = (ROLE, OPERATOR), **said: Any) -> None:
        """What DescribeCluster says, and for whom there are access entries."""
        entries = [{"principal": principal, "groups": [GROUP]} for principal in principals]
        where = {"endpoint": self.cluster.url, "authority": self.authority}
        self._hub.eks([{"arn": ARN, **where, "entries": entries, **said}])

    def gone(self) -> None:
        self._hub.eks([])

    def bind(self, *, bound: bool) -> None:
        """Whether the group may do anything in the cluster."""
        binding = self._rights[1]
        if bound:
            self.cluster.apply([binding])
        else:
            self.cluster.request("DELETE", self.cluster.path(binding))
