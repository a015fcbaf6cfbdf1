"""Discovery: MonitoredClusters for the EKS clusters that AWS accounts list."""
