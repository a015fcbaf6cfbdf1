"""Which hub the findings of a MonitoredCluster go to: by its spec, else by the settings, and never another than before.

Pure: no I/O, no clock.
"""

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.status import Hub
from policyhub.cluster.fault import Fault
from policyhub.settings import Settings


def destination(
    monitored: MonitoredCluster, settings: Settings, *, recorded: Hub | None
) -> tuple[str, str, str, str] | Fault:
    """(account, Region, role, external id), or why there is none. `recorded` is the hub that the findings were written
    to before.
    """
    hub = monitored.spec.security_hub
    account, region = hub.account_id or settings.account_id, hub.region or settings.region
    if not account or not region:
        missing = " and ".join(n for n, v in (("accountId", account), ("region", region)) if not v)
        return Fault(
            "HubNotNamed",
            f"nothing names the {missing} of the Security Hub that the findings go to: set spec.securityHub.{missing},"
            " or for all clusters the operator's POLICYHUB_ACCOUNT_ID and POLICYHUB_REGION (chart: securityHub)",
        )
    if recorded is not None and (recorded.account_id, recorded.region) != (account, region):
        return Fault(
            "HubChanged",
            f"the findings are in account {recorded.account_id}, {recorded.region}; the settings now name"
            f" {account}, {region}, where nobody would archive them. Set spec.securityHub to the old account and"
            " Region, or delete this MonitoredCluster and create it again",
        )
    return account, region, hub.role_arn or settings.role_arn or "", hub.external_id or settings.external_id or ""


def unknown_region(monitored: MonitoredCluster, region: str) -> Fault:
    """No AWS partition has the Region."""
    if monitored.spec.security_hub.region:
        return Fault(
            "UnknownRegion",
            f"spec.securityHub.region is {region}, and AWS has no such Region. It cannot be changed later: delete this"
            " MonitoredCluster, and create it again with the right Region, such as eu-west-1",
        )
    return Fault(
        "UnknownRegion",
        f"the operator's settings name the Region {region}, and AWS has no such Region: correct POLICYHUB_REGION"
        " (chart: securityHub.region), such as eu-west-1",
    )
