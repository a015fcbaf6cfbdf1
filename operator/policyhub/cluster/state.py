"""What goes wrong or is not known yet, kept by the parts of a cluster for its status. Pure: no I/O, no clock."""

from dataclasses import dataclass, field

from policyhub.api.reason import Cause, Reason

CONNECTING = Cause(Reason.CONNECTING, "the first connection is being made")
NOT_VERIFIED = Cause(Reason.NOT_VERIFIED, "the AWS account was not asked yet")
DISCOVERING = Cause(Reason.DISCOVERING, "the served APIs were not read yet")
INCOMPLETE = Cause(Reason.INVENTORY_INCOMPLETE, "what Security Hub holds is still being read")


@dataclass(slots=True)
class State:
    """What the status is made of; None where all is well."""

    connection: Cause | None = field(default=CONNECTING)
    account: Cause | None = field(default=NOT_VERIFIED)
    discovery: Cause | None = field(default=DISCOVERING)
    inventory: Cause | None = field(default=INCOMPLETE)
    reading: Cause | None = None
    """Why the inventory is refused, as the last attempt found; sending goes on where ids have been read."""
    cluster_uid: str = ""

    def restart(self) -> None:
        """The cluster is given up, or another answers in its place: what was read of it is not known any more."""
        self.discovery, self.inventory = DISCOVERING, INCOMPLETE
