"""What a violation reads like in Security Hub: identity, digest, ASFF, limits, roll-up.

Ids are a promise: what `identity` makes never changes. Pure: no I/O, no clock; imports `sources` and below.
"""
