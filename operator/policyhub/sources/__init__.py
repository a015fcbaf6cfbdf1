"""What a report or constraint states: Kubernetes JSON becomes `Violation`s.

What an engine writes otherwise than others is a row in `producers`. Pure: no I/O, no clock; imports `api` and below.
"""
