"""The operator in a real cluster: kind, Kyverno and Gatekeeper from their charts, and the local Security Hub in it."""
