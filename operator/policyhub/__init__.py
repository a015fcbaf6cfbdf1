"""policyhub: Kubernetes policy violations as AWS Security Hub CSPM findings (ASFF)."""

__version__ = "0.1.0"
