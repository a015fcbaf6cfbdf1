"""The hub of a MonitoredCluster's findings. It must be the hub that already holds them. Pure: no I/O, no clock."""

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Hub
from policyhub.securityhub.target import HubTarget, resolve
from policyhub.settings import Settings


def destination(monitored: MonitoredCluster, settings: Settings, *, recorded: Hub | None) -> HubTarget | Cause:
    """The hub, or why nothing can be sent. `recorded`: the hub that holds earlier findings; None: there are none."""
    target = resolve(monitored.spec.security_hub, settings)
    if target.missing:
        missing = " and ".join(target.missing)
        return Cause(
            Reason.HUB_NOT_NAMED,
            f"no {missing} is set for the Security Hub of the findings",
            remedy=f"set spec.securityHub.{missing}, or for all clusters the operator's POLICYHUB_ACCOUNT_ID and"
            " POLICYHUB_REGION (chart: securityHub)",
        )
    if recorded is not None and (recorded.account_id, recorded.region) != target.place:
        return Cause(
            Reason.HUB_CHANGED,
            f"the findings are in account {recorded.account_id}, {recorded.region}; the settings now name"
            f" {target.account}, {target.region}. After such a move nobody would archive the old findings",
            remedy="set spec.securityHub to the old account and Region, or delete this MonitoredCluster and create it"
            " again",
        )
    return target


def unknown_region(monitored: MonitoredCluster, region: str) -> Cause:
    """No AWS partition has the Region."""
    if monitored.spec.security_hub.region:
        return Cause(
            Reason.UNKNOWN_REGION,
            f"spec.securityHub.region is {region}, and AWS has no such Region",
            remedy="this field cannot be changed: delete this MonitoredCluster, and create it again with the right"
            " Region, such as eu-west-1",
        )
    return Cause(
        Reason.UNKNOWN_REGION,
        f"the operator's settings name the Region {region}, and AWS has no such Region",
        remedy="correct POLICYHUB_REGION (chart: securityHub.region); a valid Region is eu-west-1",
    )
