"""One monitored cluster at work: its connection, its sources, its ledger, and its place at the hub."""
