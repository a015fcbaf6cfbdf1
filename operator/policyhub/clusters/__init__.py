"""`policyhub clusters`: one line for each MonitoredCluster, made of its status alone."""
