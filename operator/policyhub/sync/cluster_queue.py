"""What one monitored cluster sends to a hub: its ledger, its identity, and whether anything is sent."""

from policyhub.findings import asff
from policyhub.sync.entry import Entry
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Rules


class ClusterQueue:
    """What one monitored cluster sends to the hub."""

    def __init__(self, *, name: str, ledger: Ledger, cluster: asff.Cluster, rules: Rules, sends: bool) -> None:
        self.name = name
        self.ledger = ledger
        self.cluster = cluster
        self.rules = rules
        self.sends = sends
        """False: nothing is sent (DryRun, an identity conflict, another account's credentials)."""

    @property
    def pending(self) -> bool:
        """Whether something has to be sent or is in flight."""
        return self.sends and bool(self.ledger.agenda.dirty or self.ledger.agenda.in_flight)

    def release(self, entry: Entry) -> None:
        """Return the entry to its ledger, unless an answer has done so."""
        if entry.in_flight:
            self.ledger.release(entry)
