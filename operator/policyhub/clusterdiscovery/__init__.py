"""ClusterDiscovery: creates MonitoredClusters for the EKS clusters in AWS accounts."""
