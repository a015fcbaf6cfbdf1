"""Monitored clusters' API servers: how their objects are listed, watched and decoded.

A `Reflector` keeps a `Sink` equal to one resource. Knows no report, no finding and no AWS; imports `api`, `settings`
and what is below them.
"""
