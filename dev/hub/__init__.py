"""A local stand-in for AWS Security Hub CSPM: one process that speaks the AWS wire protocol to unmodified boto3.

It enforces what AWS documents about ASFF findings, and shares no code with the operator: a server for tests must not
repeat the operator's misreadings of the documentation.
"""
