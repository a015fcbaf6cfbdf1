"""EKS clusters by their ARN: where one is, the token that it takes, and why it takes none."""
