"""What is generated for the chart: from values.yaml the schema of the values and their table in the README; and the
rendered examples that the tests compare with.
"""
