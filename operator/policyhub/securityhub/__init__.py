"""Security Hub in one account and Region: calls, rate limits, batches, inventory, sign-in.

The only package that uses botocore, except for its exceptions. Only `errors` decides what an AWS error means. Imports
`findings` and below.
"""
