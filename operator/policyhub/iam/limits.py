"""What IAM and CloudFormation take. Beyond it nothing is printed, since it would fail only when it is deployed.

| at most           | of                                             | as said in                              |
|-------------------|------------------------------------------------|-----------------------------------------|
| 10,240 characters | all inline policies of a role, without white   | IAM User Guide, IAM and STS quotas      |
|                   | space; no request raises it                    | (reference_iam-quotas)                  |
| 500 resources     | a template                                     | CloudFormation User Guide, quotas       |
|                   |                                                | (cloudformation-limits)                 |
| 1 MB              | a template that lies in S3                     | CreateStackSet, TemplateURL             |
|                   |                                                | (botocore 1.44.8)                       |
| 51,200 bytes      | a template in the request: beyond it, the      | CreateStackSet, TemplateBody            |
|                   | first line says to use S3                      | (botocore 1.44.8)                       |

Pure: no I/O, no clock.
"""

import json
from collections.abc import Sequence
from typing import Any

from policyhub.iam.policy import ACTIONS, Role

MOST_CHARACTERS = 10_240
MOST_RESOURCES = 500
MOST_BYTES = 1_000_000
MOST_BYTES_SENT = 51_200
_BY_S3 = "deploy --s3-bucket, create-stack-set --template-url"


class LimitError(Exception):
    """AWS would refuse it; the message says what, and what to do."""


def check_policies(roles: Sequence[Role]) -> None:
    """Raises LimitError: the permissions of each are its one inline policy."""
    problems = [
        f"the permissions of {role.arn} have {length:,} characters, and IAM takes {MOST_CHARACTERS:,} in all inline"
        f" policies of a role: {_shorter(role)}"
        for role in roles
        if (length := _length(role.permissions)) > MOST_CHARACTERS
    ]
    if problems:
        raise LimitError("\n".join(problems))


def checked(head: str, template: dict[str, Any], text: str, *, split: str) -> str:
    """The text under its head, which says more where the text is long. Raises LimitError; `split`: what to do then."""
    resources = len(template["Resources"])
    if resources > MOST_RESOURCES:
        raise LimitError(
            f"the template has {resources:,} resources, and CloudFormation takes {MOST_RESOURCES:,}: {split}"
        )
    length = len((head + text).encode())
    if length > MOST_BYTES:
        raise LimitError(f"the template has {length:,} bytes, and CloudFormation takes {MOST_BYTES:,}: {split}")
    if length > MOST_BYTES_SENT:
        head = f"# Longer than {MOST_BYTES_SENT:,} bytes: CloudFormation takes it from S3 only ({_BY_S3}).\n{head}"
    return head + text


def _length(document: object) -> int:
    return len(json.dumps(document, separators=(",", ":")))


def _shorter(role: Role) -> str:
    """By what is longest in it."""
    longest = max(role.permissions["Statement"], key=_length)
    if longest["Action"] == [ACTIONS["DescribeCluster"]]:
        regions = dict.fromkeys(arn.split(":")[3] for arn in role.clusters)
        flags = " ".join(f"--discover {region}" for region in regions)
        return (
            f"{flags} names all clusters of a Region by one pattern instead (cluster/*; with --discover-own in the"
            " operator's own account, too)"
        )
    return (
        "print them in parts with --only permissions, each for some of the accounts or Regions and below 6,144"
        " characters, and attach each part to the role as a managed policy (ten for a role)"
    )
