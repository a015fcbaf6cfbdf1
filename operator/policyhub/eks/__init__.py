"""EKS: which cluster an ARN names, how to sign in to it, and why that fails. Imports `securityhub`, `kube` and
below.
"""
