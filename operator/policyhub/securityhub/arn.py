"""ARNs of Security Hub. Pure, and loads no AWS library: code that writes findings without a hub needs them too."""


def product_arn(*, partition: str, region: str, account: str) -> str:
    """The ARN of the default product, which owns all custom findings of an account and Region."""
    return f"arn:{partition}:securityhub:{region}:{account}:product/{account}/default"


def hub_arn(*, partition: str, region: str, account: str) -> str:
    """The ARN of Security Hub CSPM itself, in an account and Region where it is enabled."""
    return f"arn:{partition}:securityhub:{region}:{account}:hub/default"
