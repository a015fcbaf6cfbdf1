"""`policyhub findings`: what analysts have done with the findings of a cluster, and what is overdue."""
