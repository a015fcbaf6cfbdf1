"""`policyhub iam-policy`: the AWS permissions that the operator needs, as JSON, CloudFormation, StackSet or Terraform.

Pure, but for what is printed: it asks nobody.
"""
