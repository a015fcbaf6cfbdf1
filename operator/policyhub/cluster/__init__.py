"""One monitored cluster: its connection, its sources, its inventory, its conditions.

`runner` starts what runs side by side, and `capture` takes the snapshot that conditions and status are made of. Imports
`sync` and below; `pyproject.toml` holds the layers within.
"""
