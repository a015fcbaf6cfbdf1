"""`policyhub doctor`: finds out why findings do not reach Security Hub, and says how to fix it.

Changes nothing, but for the import of a deliberately invalid finding that `--probe-import` asks for. Every check
gives a `CheckResult`; what to do is in the one table of `cluster.remedies`.
"""
