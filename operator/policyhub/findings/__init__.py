"""Violation → finding: identity, digest, ASFF, limits. Pure: no I/O, no clock."""
