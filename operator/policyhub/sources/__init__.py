"""Kubernetes JSON → violations. Pure: no I/O, no clock."""
