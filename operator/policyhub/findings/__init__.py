"""Turns violations into findings for Security Hub: identity, digest, ASFF, limits, roll-up.

Finding ids never change: `identity` is a contract. Pure: no I/O, no clock; imports `sources` and below.
"""
