"""`policyhub retire`: counts the findings of a cluster that goes away, and archives them with `--yes`."""
