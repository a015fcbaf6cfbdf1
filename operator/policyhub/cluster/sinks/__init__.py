"""The sinks of a cluster's reflectors: each takes the objects of one kind, and tells the ledger what they mean.

They run in the event loop and wait for nothing. They import `sync` and below, and no other part of `cluster`.
"""
