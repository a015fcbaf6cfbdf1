"""Which Security Hub is meant: account, Region, and the role to reach it. The only place that decides it.

| asked              | account and Region, as first named by | for                                      |
|--------------------|---------------------------------------|------------------------------------------|
| where findings go  | spec, settings                        | the operator; `render` has this order    |
| where findings are | status, spec, settings                | deletion, `doctor`, `findings`, `retire` |

Role and external id come from the spec, else from the settings: the status has none. The settings include the flags of
the command that loads them. The status is written once findings may have been sent; from then on the operator sends to
no other hub (`policyhub.destination`). Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from policyhub.api.monitoredcluster import SecurityHub
from policyhub.api.status import Hub
from policyhub.settings import Settings


class HubTarget(NamedTuple):
    """One Security Hub, reached in one way. Empty is what nothing names."""

    account: str
    region: str
    role_arn: str = ""
    external_id: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """The hub itself, whoever calls it: (account, Region)."""
        return self.account, self.region

    @property
    def name(self) -> str:
        """For people and labels: `account/Region`."""
        return f"{self.account}/{self.region}"

    @property
    def missing(self) -> tuple[str, ...]:
        """What nothing names of account and Region, by the fields of the spec."""
        return tuple(field for field, value in (("accountId", self.account), ("region", self.region)) if not value)


def resolve(named: SecurityHub, settings: Settings, *, recorded: Hub | None = None) -> HubTarget:
    """Where the findings of a MonitoredCluster go; with `recorded`, the hub of its status: where they are."""
    sent_to = (recorded.account_id, recorded.region) if recorded is not None else (None, None)
    return HubTarget(
        account=sent_to[0] or named.account_id or settings.account_id or "",
        region=sent_to[1] or named.region or settings.region or "",
        role_arn=named.role_arn or settings.role_arn or "",
        external_id=named.external_id or settings.external_id or "",
    )


def named_in(body: Mapping[str, Any] | None) -> SecurityHub:
    """What the spec of an object says, which may not fit the model: unchecked. None: there is no object."""
    told = ((body or {}).get("spec") or {}).get("securityHub") or {}

    def text(field: str) -> str | None:
        return str(told[field]) if told.get(field) else None

    return SecurityHub.model_construct(
        account_id=text("accountId"),
        region=text("region"),
        role_arn=text("roleArn"),
        external_id=text("externalId"),
    )
