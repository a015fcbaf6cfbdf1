"""One AWS account in one Region: which EKS clusters it lists, and how EKS describes those that are not monitored.

| call             | for which clusters                                                   | how often                  |
|------------------|----------------------------------------------------------------------|----------------------------|
| ListClusters     | all                                                                  | at each search             |
| DescribeCluster  | not monitored, and new, not active, or selected                      | at each search             |
| DescribeCluster  | not monitored, described before: their tags may have changed         | the `AGAIN` oldest ones,   |
|                  |                                                                      | at each search             |
| DescribeCluster  | with a MonitoredCluster of this discovery, and not listed: are they  | at each search             |
|                  | gone?                                                                |                            |
| DescribeCluster  | monitored and listed                                                 | never                      |

Calls are sequential, with a pause. EKS throttles DescribeCluster at a rate that it does not publish, and the operator
also needs this call to connect. So a throttled call, or one without an answer, ends the search, and the next search
continues with the clusters that are still missing.

Descriptions are kept while an account cannot be asked, but a MonitoredCluster is created only for a cluster that EKS
has described in the last search. No descriptions are kept for monitored clusters. A cluster is gone only if
DescribeCluster does not find it and STS shows that the caller is in the cluster's account.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

from policyhub.api.clusterdiscovery import Account
from policyhub.api.reason import Cause, Reason
from policyhub.clusterdiscovery.plan import UNDESCRIBED, Answer, arn_of
from policyhub.clusterdiscovery.report import Seen
from policyhub.eks.description import Arn, Description
from policyhub.eks.identity import ClusterMissing, Identity
from policyhub.kube.errors import NotTried
from policyhub.securityhub.errors import CREDENTIALS

PAUSE_SECONDS = 0.2
"""Seconds between two calls of one place."""
AGAIN = 10
_UP = frozenset({"ACTIVE", "UPDATING"})
_ENDS_THE_SEARCH = frozenset({Reason.THROTTLED, Reason.UNAVAILABLE, *CREDENTIALS})
_UNKNOWN_CREDENTIALS = ("UnrecognizedClientException", "InvalidClientTokenId")
"""Error codes of EKS for unknown credentials. A wrong signature has nothing to do with the Region."""
_GRANTED = (
    "grant it eks:ListClusters on * and eks:DescribeCluster on the clusters (policyhub iam-policy --discover prints"
    " both). If that is granted, a service control policy, a permissions boundary or the VPC endpoint's policy denies"
    " it"
)

Sleep = Callable[[float], Awaitable[None]]


class Place:
    """An account in a Region, for one ClusterDiscovery."""

    def __init__(self, open_: Callable[[], Identity], account: Account, region: str, *, sleep: Sleep) -> None:
        """`open_` returns the identity of the account's role in this Region, or the operator's own. It is kept during a
        search only: with its clients it takes 1 or 2 MB, and there may be hundreds.
        """
        self.account = account
        self.region = region
        self.name = f"{account.account_id}/{region}"
        self.listed_at: datetime | None = None
        """When EKS last listed the clusters."""
        self.fault: Cause | None = None
        """Why the last search could not list them; None: it could."""
        self._open = open_
        self._sleep = sleep
        self._place = self._arn("*")
        self._names: frozenset[str] = frozenset()
        self._known: dict[str, Description | Cause] = {}
        """Listed cluster → its description, or why there is none; the one described longest ago is first."""
        self._gone: set[str] = set()
        self._missing: list[str] = []
        """Clusters with a MonitoredCluster of this discovery that are not listed; the one asked for longest ago is
        first.
        """
        self._fresh: set[str] = set()
        """Clusters that this search has described."""
        self.unmade: dict[str, Cause] = {}
        """Selected clusters without a MonitoredCluster, as `Answer.unmade`; the controller sets it."""

    @property
    def listed(self) -> bool:
        """Whether EKS has ever listed the clusters."""
        return self.listed_at is not None

    @property
    def seen(self) -> Seen:
        """For the status."""
        return Seen(self.name, self.listed_at, len(self._names), self.fault)

    @property
    def answer(self) -> Answer:
        """What is known now, for `plan`."""
        found = {name: self._known.get(name, UNDESCRIBED) for name in self._names}
        gone, fresh = frozenset(self._gone), frozenset(self._fresh)
        return Answer(self.account.account_id, self.region, found, gone, fresh, self.unmade)

    def has(self, arn: str) -> bool:
        """Whether the cluster is in this account and Region."""
        return arn.startswith(self._arn("").text)

    async def search(self, *, monitored: Collection[str], made: Collection[str]) -> bool:
        """Search. `monitored` are the ARNs of all monitored clusters; `made` those whose MonitoredCluster this
        discovery created. Returns whether EKS listed the clusters.
        """
        self._forget(monitored)
        identity = self._open()
        try:
            await self._belongs(identity)
            self._names = await identity.names(self._place)
        except NotTried as error:
            self.fault = await self._why(identity, error)
            return False
        self.listed_at, self.fault = datetime.now(UTC), None
        self._gone -= self._names
        self._known = {name: found for name, found in self._known.items() if name in self._names}
        for name in self._due(monitored):
            if not await self._describe(identity, name):
                return True
        for name in self._lacking(made):
            if not await self._is_gone(identity, name):
                return True
        return True

    def _forget(self, monitored: Collection[str]) -> None:
        """Begin a search, which has described nothing yet. Nothing is kept about clusters that are monitored now."""
        self._fresh.clear()
        for name in [*self._known]:
            if self._arn(name).text in monitored:
                del self._known[name]
                self.unmade.pop(name, None)

    def _arn(self, name: str) -> Arn:
        return Arn.parse(arn_of(self.account.account_id, self.region, name))

    async def _belongs(self, identity: Identity) -> None:
        """Verify the account of the operator's own identity; that of a role is in its ARN. Raises NotTried."""
        if self.account.role_arn is not None:
            return
        caller = await identity.caller(self._place)
        if caller.fault is not None:
            raise NotTried(caller.fault.reason, caller.fault.message, remedy=caller.fault.remedy)
        if caller.account != self.account.account_id:
            raise NotTried(
                Reason.ACCOUNT_MISMATCH,
                f"the operator's own AWS identity belongs to account {caller.account}, not {self.account.account_id}",
                remedy=f"Name a role of account {self.account.account_id} in spec.accounts (roleArn)",
            )

    def _lacking(self, made: Collection[str]) -> list[str]:
        """Clusters with a MonitoredCluster of this discovery that are not listed."""
        prefix = self._arn("").text
        there = {arn.removeprefix(prefix) for arn in made if arn.startswith(prefix)} - self._names
        asked = [name for name in self._missing if name in there]
        self._missing = sorted(there.difference(asked)) + asked
        return [*self._missing]

    def _due(self, monitored: Collection[str]) -> list[str]:
        """Which clusters to describe now."""
        open_ = {name for name in self._names if self._arn(name).text not in monitored}
        new = sorted(open_ - self._known.keys())
        known = [name for name in self._known if name in open_]
        has_unknown = [name for name in known if name in self.unmade or not _is_up(self._known[name])]
        return new + has_unknown + [name for name in known if name not in has_unknown][:AGAIN]

    async def _is_gone(self, identity: Identity, name: str) -> bool:
        """Find out whether the cluster is gone. Returns False if the search ends here."""
        await self._sleep(PAUSE_SECONDS)
        self._missing.remove(name)
        self._missing.append(name)
        arn = self._arn(name)
        try:
            await identity.describe(arn)
        except ClusterMissing:
            if (await identity.caller(arn)).account == arn.account:
                self._gone.add(name)
        except NotTried as error:
            return error.reason not in _ENDS_THE_SEARCH
        else:
            self._gone.discard(name)
        return True

    async def _describe(self, identity: Identity, name: str) -> bool:
        """Returns False if the search ends here."""
        await self._sleep(PAUSE_SECONDS)
        try:
            found = await identity.describe(self._arn(name))
        except ClusterMissing:  # deleted since it was listed
            self._names -= {name}
            self._known.pop(name, None)
            return True
        except NotTried as error:
            before = self._known.get(name)
            failed = Cause(Reason.NOT_DESCRIBED, error.found, self._remedy(error))
            self._put(name, before if isinstance(before, Description) else failed)  # the last description is still used
            return error.reason not in _ENDS_THE_SEARCH
        self._put(name, found)
        self._fresh.add(name)
        return True

    def _put(self, name: str, found: Description | Cause) -> None:
        self._known.pop(name, None)
        self._known[name] = found

    async def _why(self, identity: Identity, error: NotTried) -> Cause:
        """Why a listing failed. A Region that is not enabled rejects credentials that are valid elsewhere."""
        if error.reason is Reason.NOT_ENABLED or any(code in error.found for code in _UNKNOWN_CREDENTIALS):
            caller = await identity.caller(self._place)
            if caller.account == self.account.account_id:
                return Cause(
                    Reason.REGION_OFF,
                    f"EKS in {self.region} rejects the credentials of account {caller.account}, which STS accepts"
                    f" ({error.found}): the account has not enabled this Region",
                    f"Remove {self.region} from spec.regions, or enable it in the account: aws account enable-region"
                    f" --region-name {self.region}",
                )
        return replace(error.cause, remedy=self._remedy(error))

    def _remedy(self, error: NotTried) -> str:
        """What to do, in terms of the spec of a ClusterDiscovery instead of a MonitoredCluster."""
        if error.reason is not Reason.ACCESS_DENIED:
            return error.remedy
        role = self.account.role_arn
        if role is not None and error.found.startswith("AssumeRole"):
            return (
                f"Both sides must allow it: the operator's role needs sts:AssumeRole (with Pod Identity also"
                f" sts:TagSession) on {role}, and that role's trust policy must name the operator's role and the"
                " external id (spec.accounts, externalId)"
            )
        return f"The role {role} lacks a permission: {_GRANTED}" if role else f"The operator's own role: {_GRANTED}"


def _is_up(found: Description | Cause) -> bool:
    return isinstance(found, Description) and (found.status in _UP or found.external)
