"""The vocabulary that all layers share: violations, objects, severities, the APIs and engines that are read.

Pure: no I/O, no clock; imports `api` only. Everything is immutable. `sources` makes violations, and `findings` and
`sync` use them.
"""
