"""`policyhub doctor`: finds out why findings do not reach Security Hub, and says how to fix it.

Read-only, except that `--probe-import` sends a deliberately invalid finding. Each check returns `CheckResult`s; all
remedies are in one table, `cluster.remedies`.
"""
