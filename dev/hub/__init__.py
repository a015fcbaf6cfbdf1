"""A local stand-in for AWS Security Hub CSPM: one process that speaks the AWS wire protocol to unmodified boto3.

It enforces what AWS documents about ASFF findings, and nothing here comes from the operator: an error in how the
operator reads the documentation must not be repeated by the server that it is tested against.
"""
