"""EKS: the clusters of ListClusters and DescribeCluster, and who may sign in to them.

A cluster's API server calls `authenticate` for each bearer token (its webhook token authenticator, a TokenReview).
First come the rules for tokens (`authenticator`), then STS's checks of key, session and signature, then the access
entries. An entry stores the id of its role: after a role was deleted and created again, the entry does not apply.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from dev.hub.authenticator import TokenError, read
from dev.hub.identity import Caller, Identity
from dev.hub.wire import AwsError, partition


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """An access entry of type STANDARD."""

    principal: str
    """ARN of a role or user."""
    groups: list[str] = []
    id: str = ""
    """Id of the role when the entry was created."""


class Cluster(msgspec.Struct, forbid_unknown_fields=True):
    arn: str
    endpoint: str = ""
    authority: str = ""
    """PEM, in base64."""
    status: Literal["CREATING", "ACTIVE", "DELETING", "FAILED", "UPDATING", "PENDING"] = "ACTIVE"
    mode: Literal["API", "API_AND_CONFIG_MAP", "CONFIG_MAP"] = "API"
    public: bool = True
    admitted: list[str] = msgspec.field(default_factory=lambda: ["0.0.0.0/0"])
    issues: list[str] = []
    outpost_id: str = ""
    """Of a local cluster on Outposts; tokens are signed for this id instead of the name."""
    connected: bool = False
    """Connected by EKS Connector."""
    tags: dict[str, str] = {}
    entries: list[Entry] = []

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def place(self) -> tuple[str, str]:
        """Account and Region."""
        region, account = self.arn.split(":")[3:5]
        return account, region

    def described(self) -> dict[str, Any]:
        """As DescribeCluster returns it; endpoint and CA exist from ACTIVE on."""
        found: dict[str, Any] = {
            "name": self.name,
            "arn": self.arn,
            "status": self.status,
            "version": "1.34",
            "accessConfig": {"authenticationMode": self.mode},
            "health": {"issues": [{"code": code, "message": code, "resourceIds": []} for code in self.issues]},
            "resourcesVpcConfig": {
                "endpointPublicAccess": self.public,
                "endpointPrivateAccess": True,
                "publicAccessCidrs": self.admitted,
            },
            "tags": self.tags,
        }
        if self.connected:
            found["connectorConfig"] = {"provider": "OTHER", "activationId": "1"}
        elif self.status not in {"CREATING", "PENDING", "FAILED"}:
            found["endpoint"] = self.endpoint
            found["certificateAuthority"] = {"data": self.authority}
        if self.outpost_id:
            found |= {
                "id": self.outpost_id,
                "outpostConfig": {"outpostArns": [], "controlPlaneInstanceType": "m5.large"},
            }
        return found


class Clusters:
    """The EKS clusters, by ARN."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._clusters: dict[str, Cluster] = {}
        self.seen: dict[str, set[str]] = {}
        """Cluster ARN → digests of the tokens that its API server sent for authentication."""
        self.later = 0
        """Seconds by which the authenticators' clock is ahead."""

    def replace(self, clusters: list[Cluster]) -> None:
        """Replaces all clusters. New entries get the current ids of their roles."""
        before = {(c.arn, e.principal): e.id for c in self._clusters.values() for e in c.entries}
        for cluster in clusters:
            for entry in cluster.entries:
                known = before.get((cluster.arn, entry.principal), "")
                entry.id = entry.id or known or self._identity.role_id(entry.principal)
        self._clusters = {cluster.arn: cluster for cluster in clusters}

    def describe(self, name: str, *, account: str, region: str) -> bytes:
        arn = f"arn:{partition(region)}:eks:{region}:{account}:cluster/{name}"
        found = self._clusters.get(arn)
        if found is None:
            raise AwsError("ResourceNotFoundException", 404, f"No cluster found for name: {name}.")
        return msgspec.json.encode({"cluster": found.described()})

    def names(self, query: Mapping[str, str], *, account: str, region: str) -> bytes:
        """One page, after the name in `nextToken`. Clusters of EKS Connector only with `include=all`."""
        every = query.get("include") == "all"
        here = [c for c in self._clusters.values() if c.place == (account, region) and (every or not c.connected)]
        after, most = query.get("nextToken", ""), int(query.get("maxResults", "100"))
        found = sorted(c.name for c in here if c.name > after)
        more = {"nextToken": found[most - 1]} if len(found) > most else {}
        return msgspec.json.encode({"clusters": found[:most], **more})

    def authenticate(self, arn: str, token: str, *, now: float) -> dict[str, Any]:
        """The user of a TokenReview's status. Raises TokenError."""
        cluster = self._clusters.get(arn)
        if cluster is None:
            raise TokenError("no such cluster")
        self.seen.setdefault(arn, set()).add(hashlib.sha256(token.encode()).hexdigest())
        where = arn.split(":")[1]
        given = read(token, cluster=cluster.outpost_id or cluster.name, partition=where, now=now + self.later)
        try:
            caller = self._identity.resolve(given.key, given.session or None, region=given.region, now=now)
        except AwsError as error:
            raise TokenError(f"error from AWS (expected 200, got {error.status}). Body: {error.message}") from None
        if not given.is_signed_with(self._identity.secret(given.key)):
            raise TokenError("error from AWS (expected 200, got 403). Body: SignatureDoesNotMatch")
        return self._mapped(cluster, caller)

    def _mapped(self, cluster: Cluster, caller: Caller) -> dict[str, Any]:
        if cluster.mode == "CONFIG_MAP":
            raise TokenError("ARN is not mapped: the cluster takes no access entries")
        principal = caller.role or caller.arn
        for entry in cluster.entries:
            if entry.principal == principal and entry.id in {"", caller.user.partition(":")[0]}:
                return {"username": caller.arn, "uid": caller.user, "groups": entry.groups}
        raise TokenError(f"ARN is not mapped: {principal}")
