"""Generates the chart's schema and README table from values.yaml, and the rendered examples for the tests."""
