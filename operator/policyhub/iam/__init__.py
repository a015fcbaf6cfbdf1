"""`policyhub iam-policy`: the AWS permissions that the operator needs, as JSON, CloudFormation, StackSet or Terraform.

Pure, except for the output: nothing is called.
"""
