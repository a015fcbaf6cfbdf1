"""`policyhub render`: the findings that reports and constraints would become, without AWS and without the operator.

Reads objects from files, standard input or a cluster, and uses the operator's own sources, ledger and findings.
"""
