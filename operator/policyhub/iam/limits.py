"""Limits of IAM and CloudFormation. Output beyond them is refused, because it would fail only at deployment.

| at most           | of                                             | source                                  |
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

MAX_CHARACTERS = 10_240
MAX_RESOURCES = 500
MAX_BYTES = 1_000_000
MAX_BYTES_IN_REQUEST = 51_200
_BY_S3 = "deploy --s3-bucket, create-stack-set --template-url"


class LimitError(Exception):
    """AWS would refuse the output; the message says why and what to do."""


def check_policies(roles: Sequence[Role]) -> None:
    """Raises LimitError. The permissions of each role are its only inline policy."""
    problems = [
        f"the permissions of {role.arn} have {length:,} characters, but IAM allows {MAX_CHARACTERS:,} in all inline"
        f" policies of a role: {_how_to_shorten(role)}"
        for role in roles
        if (length := _length(role.permissions)) > MAX_CHARACTERS
    ]
    if problems:
        raise LimitError("\n".join(problems))


def checked(head: str, template: dict[str, Any], text: str, *, split: str) -> str:
    """The header and the text; a long text gets a longer header. Raises LimitError, whose remedy is `split`."""
    resources = len(template["Resources"])
    if resources > MAX_RESOURCES:
        raise LimitError(
            f"the template has {resources:,} resources, but CloudFormation allows {MAX_RESOURCES:,}: {split}"
        )
    length = len((head + text).encode())
    if length > MAX_BYTES:
        raise LimitError(f"the template has {length:,} bytes, but CloudFormation allows {MAX_BYTES:,}: {split}")
    if length > MAX_BYTES_IN_REQUEST:
        head = f"# Longer than {MAX_BYTES_IN_REQUEST:,} bytes: CloudFormation takes it only from S3 ({_BY_S3}).\n{head}"
    return head + text


def _length(document: object) -> int:
    return len(json.dumps(document, separators=(",", ":")))


def _how_to_shorten(role: Role) -> str:
    """The remedy for the longest statement."""
    longest = max(role.permissions["Statement"], key=_length)
    if longest["Action"] == [ACTIONS["DescribeCluster"]]:
        regions = dict.fromkeys(arn.split(":")[3] for arn in role.clusters)
        flags = " ".join(f"--discover {region}" for region in regions)
        return (
            f"add {flags}, which names all clusters of a Region by one pattern (cluster/*); for the operator's own"
            " account, also add --discover-own"
        )
    return (
        "print them in parts with --only permissions, each for some of the accounts or Regions. Keep each part below"
        " 6,144 characters, and attach it to the role as a managed policy (at most ten for a role)"
    )
