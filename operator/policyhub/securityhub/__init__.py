"""Security Hub of one account and Region: calls, rate limits, batches, inventory, sign-in.

The only package that knows botocore. What an error of AWS means is decided in `errors`, and nowhere else. Imports
`findings` and below.
"""
