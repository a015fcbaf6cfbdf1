"""ARNs of Security Hub. Pure, and loads no library of AWS's: what writes findings without a hub needs them too."""


def product_arn(*, partition: str, region: str, account: str) -> str:
    """The ARN of the default product, under which everything custom of an account and Region is imported."""
    return f"arn:{partition}:securityhub:{region}:{account}:product/{account}/default"


def hub_arn(*, partition: str, region: str, account: str) -> str:
    """The ARN of Security Hub CSPM itself, in an account and Region where it is on."""
    return f"arn:{partition}:securityhub:{region}:{account}:hub/default"
