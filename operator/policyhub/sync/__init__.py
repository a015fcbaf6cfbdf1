"""What to send: the comparison of what a cluster reports with what Security Hub stores.

One `Ledger` for each cluster holds both sides; its four parts are written by their own methods only. `plan` decides
about one finding, from evidence that `grading` makes. One `Engine` for each hub sends. Imports `securityhub`, `kube`,
`findings` and below; most modules are pure (`pyproject.toml` lists them).
"""
