"""Decides which Security Hub is used: account, Region, and the role to assume. No other module decides it.

| question           | account and Region: the first that is set | used by                                  |
|--------------------|-------------------------------------------|------------------------------------------|
| where findings go  | spec, settings                            | the operator; `render` has this order    |
| where findings are | status, spec, settings                    | deletion, `doctor`, `findings`, `retire` |

Role and external id come from the spec or else from the settings: the status does not contain them. The settings
include the flags of the current command. The status is written once findings may have been sent; from then on the
operator sends to no other hub (`policyhub.control.destination`). Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from policyhub.api.monitoredcluster import SecurityHub
from policyhub.api.status import Hub
from policyhub.settings import Settings


class HubTarget(NamedTuple):
    """One Security Hub and the role to reach it. A field is empty if nothing sets it."""

    account: str
    region: str
    role_arn: str = ""
    external_id: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """(account, Region), which identify the hub whatever the role."""
        return self.account, self.region

    @property
    def name(self) -> str:
        """`account/Region`, for people and labels."""
        return f"{self.account}/{self.region}"

    @property
    def missing(self) -> tuple[str, ...]:
        """The fields of the spec that have no value anywhere: `accountId`, `region`."""
        return tuple(field for field, value in (("accountId", self.account), ("region", self.region)) if not value)


def resolve(named: SecurityHub, settings: Settings, *, recorded: Hub | None = None) -> HubTarget:
    """Where the findings of a MonitoredCluster go; with `recorded`, the hub in its status, where they are."""
    sent_to = (recorded.account_id, recorded.region) if recorded is not None else (None, None)
    return HubTarget(
        account=sent_to[0] or named.account_id or settings.account_id or "",
        region=sent_to[1] or named.region or settings.region or "",
        role_arn=named.role_arn or settings.role_arn or "",
        external_id=named.external_id or settings.external_id or "",
    )


def named_in(body: Mapping[str, Any] | None) -> SecurityHub:
    """`spec.securityHub` of an object, not validated, since the object may not fit the model. None: no object."""
    named = ((body or {}).get("spec") or {}).get("securityHub") or {}

    def text(field: str) -> str | None:
        return str(named[field]) if named.get(field) else None

    return SecurityHub.model_construct(
        account_id=text("accountId"),
        region=text("region"),
        role_arn=text("roleArn"),
        external_id=text("externalId"),
    )
