"""The chart's Grafana dashboards: written down as panels and queries, generated as JSON, drawn without Grafana."""
