"""Reads reports and constraints: Kubernetes JSON becomes `Violation`s.

The peculiarities of an engine are a row in `model.engines`. Pure: no I/O, no clock; imports `model` and below.
"""
