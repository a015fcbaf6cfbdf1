"""What goes wrong or is not known yet, kept by the parts of a cluster for its status. Pure: no I/O, no clock."""

from dataclasses import dataclass, field

from policyhub.cluster.fault import Fault

CONNECTING = Fault("Connecting", "the first connection is being made")
NOT_VERIFIED = Fault("NotVerified", "the AWS account was not asked yet")
DISCOVERING = Fault("Discovering", "the served APIs were not read yet")
INCOMPLETE = Fault("InventoryIncomplete", "what Security Hub holds is still being read")


@dataclass(slots=True)
class State:
    """What the status is made of; None where all is well."""

    connection: Fault | None = field(default=CONNECTING)
    account: Fault | None = field(default=NOT_VERIFIED)
    discovery: Fault | None = field(default=DISCOVERING)
    inventory: Fault | None = field(default=INCOMPLETE)
    reading: Fault | None = None
    """Why the inventory is refused, as the last attempt found; sending goes on where ids have been read."""
    cluster_uid: str = ""

    def restart(self) -> None:
        """The cluster is given up, or another answers in its place: what was read of it is not known any more."""
        self.discovery, self.inventory = DISCOVERING, INCOMPLETE
