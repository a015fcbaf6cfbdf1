"""What AWS has to grant: the roles of the operator, as policies, CloudFormation and Terraform."""
