"""The control plane: MonitoredClusters, their status, their deletion, and the hubs that they use.

`supervisor` starts and stops a data plane (`cluster`) for each MonitoredCluster; `reporter` writes its status. Imports
`cluster`, `eks` and below; `kopf_adapter` and `app` use it. `pyproject.toml` defines its own layers.
"""
