"""One monitored cluster: its connection, its sources, its inventory, its conditions.

`runner` starts the concurrent parts. `capture` takes the snapshot from which conditions and status are built. The
package imports `sync` and lower layers; `pyproject.toml` defines its own layers.
"""
