"""The documented ASFF limits, by structure and member of the service model.

botocore's service model has members, types, enums and required members; lengths, counts and most patterns are only in
AWS's documentation, and in this table. Lengths are UTF-16 units. If AWS's texts disagree, the table has the stricter
limit: a finding that passes here must pass there.
"""

import re

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """Limits of a value besides its type: for a list `items`, for a map `pairs` and the lengths of key and value."""

    longest: int | None = None
    shortest: int | None = None
    pattern: re.Pattern[str] | None = None
    values: tuple[str, ...] | None = None
    namespaces: tuple[str, ...] = ()
    lowest: int | None = None
    highest: int | None = None
    timestamp: bool = False
    items: tuple[int, int] | None = None
    each: "Limit | None" = None
    pairs: int | None = None
    key_longest: int | None = None
    key_pattern: re.Pattern[str] | None = None
    reserved: str | None = None


NAMESPACES = (
    "Software and Configuration Checks",
    "TTPs",
    "Effects",
    "Unusual Behaviors",
    "Sensitive Data Identifications",
)

TIME = Limit(timestamp=True)
SCORE = Limit(lowest=0, highest=100)
TYPES = Limit(items=(0, 50), each=Limit(pattern=re.compile(r"^([^/]+)(/[^/]+){0,2}$"), namespaces=NAMESPACES))
RELATED = Limit(items=(1, 10))
FIELD_KEY = re.compile(r"^[A-Za-z0-9 .:+\\=@_/-]+$")
TAG_TEXT = re.compile(r"^[A-Za-z0-9 .:+=@_/-]*$")

LIMITS: dict[tuple[str, str], Limit] = {
    ("AwsSecurityFinding", "SchemaVersion"): Limit(values=("2018-10-08",)),
    ("AwsSecurityFinding", "Id"): Limit(longest=512),
    ("AwsSecurityFinding", "ProductArn"): Limit(shortest=12, longest=2048),
    ("AwsSecurityFinding", "ProductName"): Limit(longest=128),
    ("AwsSecurityFinding", "CompanyName"): Limit(longest=128),
    ("AwsSecurityFinding", "Region"): Limit(longest=16),
    ("AwsSecurityFinding", "AwsAccountName"): Limit(longest=50),
    ("AwsSecurityFinding", "GeneratorId"): Limit(longest=512),
    ("AwsSecurityFinding", "AwsAccountId"): Limit(pattern=re.compile(r"^[0-9]{12}$")),
    ("AwsSecurityFinding", "Types"): TYPES,
    ("AwsSecurityFinding", "FirstObservedAt"): TIME,
    ("AwsSecurityFinding", "LastObservedAt"): TIME,
    ("AwsSecurityFinding", "CreatedAt"): TIME,
    ("AwsSecurityFinding", "UpdatedAt"): TIME,
    ("AwsSecurityFinding", "ProcessedAt"): TIME,
    ("AwsSecurityFinding", "Confidence"): SCORE,
    ("AwsSecurityFinding", "Criticality"): SCORE,
    ("AwsSecurityFinding", "Title"): Limit(longest=256),
    ("AwsSecurityFinding", "Description"): Limit(longest=1024),
    ("AwsSecurityFinding", "SourceUrl"): Limit(pattern=re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$")),
    ("AwsSecurityFinding", "ProductFields"): Limit(
        pairs=50, key_longest=128, longest=2048, key_pattern=FIELD_KEY, reserved="aws/"
    ),
    ("AwsSecurityFinding", "UserDefinedFields"): Limit(pairs=50, key_longest=128, longest=1024),
    ("AwsSecurityFinding", "Malware"): Limit(items=(0, 5)),
    ("AwsSecurityFinding", "Threats"): Limit(items=(1, 32)),
    ("AwsSecurityFinding", "ThreatIntelIndicators"): Limit(items=(0, 5)),
    ("AwsSecurityFinding", "Resources"): Limit(items=(1, 32)),
    ("AwsSecurityFinding", "RelatedFindings"): RELATED,
    ("FindingProviderFields", "Confidence"): SCORE,
    ("FindingProviderFields", "Criticality"): SCORE,
    ("FindingProviderFields", "RelatedFindings"): RELATED,
    ("FindingProviderFields", "Types"): TYPES,
    ("FindingProviderSeverity", "Original"): Limit(longest=64),
    ("Severity", "Original"): Limit(longest=64),
    ("Severity", "Normalized"): SCORE,
    ("Recommendation", "Text"): Limit(longest=512),
    ("Note", "Text"): Limit(longest=512),
    ("Note", "UpdatedBy"): Limit(longest=512),
    ("Note", "UpdatedAt"): TIME,
    ("NoteUpdate", "Text"): Limit(longest=512),
    ("NoteUpdate", "UpdatedBy"): Limit(longest=512),
    ("Resource", "Type"): Limit(longest=256),
    ("Resource", "Id"): Limit(longest=512),
    ("Resource", "Region"): Limit(longest=16),
    ("Resource", "Partition"): Limit(values=("aws", "aws-cn", "aws-us-gov")),
    ("Resource", "ResourceRole"): Limit(values=("Actor", "Target")),
    ("Resource", "Tags"): Limit(pairs=50, key_longest=128, longest=256, key_pattern=TAG_TEXT, pattern=TAG_TEXT),
    # "fewer than 128" and "fewer than 1,024" characters
    ("ResourceDetails", "Other"): Limit(pairs=50, key_longest=127, longest=1023),
    ("ContainerDetails", "Name"): Limit(longest=128),
    ("ContainerDetails", "ImageId"): Limit(longest=128),
    ("ContainerDetails", "ImageName"): Limit(longest=128),
    ("ContainerDetails", "LaunchedAt"): TIME,
    ("AwsEc2InstanceDetails", "IpV4Addresses"): Limit(items=(0, 10)),
    ("Compliance", "RelatedRequirements"): Limit(items=(0, 32)),
    ("Compliance", "AssociatedStandards"): Limit(items=(0, 20)),
    ("ProcessDetails", "Name"): Limit(longest=64),
    ("ProcessDetails", "Path"): Limit(longest=512),
    ("ProcessDetails", "LaunchedAt"): TIME,
    ("ProcessDetails", "TerminatedAt"): TIME,
    ("Malware", "Name"): Limit(longest=64),
    ("Malware", "Path"): Limit(longest=512),
    ("Network", "Protocol"): Limit(longest=16),
    ("Network", "SourceDomain"): Limit(longest=128),
    ("Network", "DestinationDomain"): Limit(longest=128),
    ("ThreatIntelIndicator", "Value"): Limit(longest=512),
    ("ThreatIntelIndicator", "Source"): Limit(longest=64),
    ("ThreatIntelIndicator", "LastObservedAt"): TIME,
    ("PatchSummary", "Id"): Limit(longest=256),
    ("GeneratorDetails", "Labels"): Limit(items=(0, 10)),
    ("BatchUpdateFindingsRequest", "FindingIdentifiers"): Limit(items=(1, 100)),
    ("BatchUpdateFindingsRequest", "Confidence"): SCORE,
    ("BatchUpdateFindingsRequest", "Criticality"): SCORE,
    ("BatchUpdateFindingsRequest", "Types"): TYPES,
    ("BatchUpdateFindingsRequest", "RelatedFindings"): RELATED,
    ("BatchUpdateFindingsRequest", "UserDefinedFields"): Limit(pairs=50, key_longest=128, longest=1024),
    ("SeverityUpdate", "Normalized"): SCORE,
}

FINDING_BYTES = 240_000
"""240 KB; AWS does not document whether a KB is 1000 or 1024 bytes."""
BATCH_BYTES = 6_000_000
BATCH_FINDINGS = 100
