"""`policyhub retire`: archives the findings of a cluster that is taken down."""
