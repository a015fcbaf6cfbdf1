"""Metrics: what is exported (`definitions`), and the server of /metrics, /healthz and /readyz.

Any package may set a metric. This package imports no other one of policyhub, so that its figures decide nothing.
"""
