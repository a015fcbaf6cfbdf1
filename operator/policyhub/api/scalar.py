"""The scalars of our API. The API server and the operator both validate them.

Every pattern means the same in Go (the API server) and in Rust (pydantic). Every string has a maximum length, so the
API server can estimate the cost of CEL rules. Pure: no I/O, no clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from policyhub.api.model import rules
from policyhub.api.partitions import REGIONS

PARTITIONS = "aws|aws-cn|aws-us-gov"
"""The partitions whose clusters can have findings."""

_DURATION = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,5})s)?")


def parse_duration(value: object) -> object:
    """`1h30m`, `10m`, `45s` → timedelta; anything but a string is returned unchanged, for pydantic to validate."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None or not value:
        raise ValueError(f"not a duration such as 90s, 10m or 1h30m: {value!r}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back: `1h30m`, `0s`."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as in Kubernetes."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$", max_length=12)]

REGION_OF_A_PARTITION = f"^({'|'.join(REGIONS.values())})$"

Region = Annotated[
    str,
    Field(
        pattern=r"^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}$",
        max_length=32,
        # A rule beside the pattern, because a rule has a message: for a pattern, the API server prints the pattern.
        json_schema_extra=rules(
            (
                f"self.matches('{REGION_OF_A_PARTITION}')",
                "no AWS partition has Regions with a name of this form: set a Region such as eu-west-1",
            )
        ),
    ),
]

ClusterArn = Annotated[
    str,
    Field(
        # EKS: a cluster's name has 1 to 100 letters, digits, hyphens and underscores.
        pattern=rf"^arn:({'|'.join(f'{name}:eks:{REGIONS[name]}' for name in PARTITIONS.split('|'))}):[0-9]{{12}}"
        r":cluster/[0-9A-Za-z][0-9A-Za-z_-]{0,99}$",
        max_length=200,
    ),
]

RoleArn = Annotated[
    str,
    Field(
        # IAM: a path of up to 512 visible ASCII characters, a name of up to 64.
        pattern=rf"^arn:({PARTITIONS}):iam::[0-9]{{12}}:role/([!-~]+/)?[0-9A-Za-z+=,.@_-]{{1,64}}$",
        max_length=640,
    ),
]


_REGIONS = {name: re.compile(pattern) for name, pattern in REGIONS.items()}


def partition_of(region: str) -> str:
    """The partition of a Region; `aws` if no partition has Regions with such names."""
    return known_partition(region) or "aws"


def known_partition(region: str) -> str | None:
    """As `partition_of`, but None if no partition has Regions with such names."""
    return next((name for name, pattern in _REGIONS.items() if pattern.fullmatch(region)), None)


def role_problem(role_arn: str, *, account: str | None, region: str | None) -> str:
    """Why a role cannot import findings into this account and Region (None: not known yet); empty if it can.

    Only the first fields of the ARN are used: a role's path may contain colons, and so text that looks like an account.
    """
    partition, owner = role_arn.split(":")[1:5:3]
    if account is not None and owner != account:
        return (
            f"roleArn is a role of account {owner}, but the findings go to {account}: Security Hub accepts an account's"
            " findings only from identities of the same account"
        )
    wanted = partition_of(region) if region is not None else partition
    if partition != wanted:
        return f"roleArn is a role of partition {partition}, but {region} is in {wanted}"
    return ""


ExternalId = Annotated[
    str,
    Field(pattern=r"^[0-9A-Za-z_+=,.@:/-]+$", min_length=2, max_length=1224),  # STS AssumeRole
]

GroupName = Annotated[
    str,
    # Kubernetes and EKS accept any text. White space, commas and quotes in a group are mistakes in shell quoting.
    Field(pattern=r"^[0-9A-Za-z._/@:=+-]+$", min_length=1, max_length=253),
]

Endpoint = Annotated[
    str,
    Field(pattern=r"^https://([0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?/?$", max_length=300),
]

CertificateAuthorityData = Annotated[str, Field(pattern=r"^[0-9A-Za-z+/=]+$", min_length=4, max_length=65_536)]

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]

NamespaceName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]

NamespacePattern = Annotated[str, Field(pattern=r"^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$", max_length=63)]

SecretDataKey = Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]+$", max_length=253)]

Count = Annotated[int, Field(ge=0)]

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$", "minLength": 2, "maxLength": 18}
    ),
]
"""Whole seconds, written like `90s`, `10m`, `1h30m`."""

Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time with a time zone, in the format of Kubernetes."""
