"""What one monitored cluster puts into a hub: its ledger, whose findings they are, and whether anything is sent."""

from policyhub.findings import asff
from policyhub.sync.entry import Entry
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Rules


class ClusterQueue:
    """What one monitored cluster puts into the hub."""

    def __init__(self, *, name: str, ledger: Ledger, cluster: asff.Cluster, rules: Rules, sends: bool) -> None:
        self.name = name
        self.ledger = ledger
        self.cluster = cluster
        self.rules = rules
        self.sends = sends
        """False: nothing is sent (DryRun, an identity conflict, another account's credentials)."""

    @property
    def pending(self) -> bool:
        """Whether something is to be sent or is under way."""
        return self.sends and bool(self.ledger.agenda.dirty or self.ledger.agenda.in_flight)

    def release(self, entry: Entry) -> None:
        """Back to its ledger, if no answer has brought it there."""
        if entry.in_flight:
            self.ledger.release(entry)
