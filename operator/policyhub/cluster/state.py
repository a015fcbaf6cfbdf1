"""What fails or is not known yet: the parts of a cluster keep it here for the status. Pure: no I/O, no clock."""

from dataclasses import dataclass, field

from policyhub.api.reason import Cause, Reason

CONNECTING = Cause(Reason.CONNECTING, "the first connection is being made")
NOT_VERIFIED = Cause(Reason.NOT_VERIFIED, "the AWS account has not been verified yet")
DISCOVERING = Cause(Reason.DISCOVERING, "the APIs that the cluster serves have not been read yet")
INCOMPLETE = Cause(Reason.INVENTORY_INCOMPLETE, "the findings in Security Hub are still being read")


@dataclass(slots=True)
class State:
    """The causes for the status; None: no problem."""

    connection: Cause | None = field(default=CONNECTING)
    account: Cause | None = field(default=NOT_VERIFIED)
    discovery: Cause | None = field(default=DISCOVERING)
    inventory: Cause | None = field(default=INCOMPLETE)
    reading: Cause | None = None
    """Why the last attempt to read the inventory failed; findings whose ids have been read are sent."""
    cluster_uid: str = ""

    def restart(self) -> None:
        """The parts of the cluster have ended, or another cluster answers: what was read is no longer known."""
        self.discovery, self.inventory = DISCOVERING, INCOMPLETE
