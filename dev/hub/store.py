"""The findings of one account and Region, with an index for prefix queries and paging.

A finding is stored as its JSON text and as a `Record` with the members for filters, sorting and lists. Records are
immutable, and an update replaces them. Ids are unique per product: the key is Id and ProductArn.
"""

import sys
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from dev.hub.merge import Finding
from dev.hub.timestamp import nanoseconds
from dev.hub.wire import partition

_FEW = 64  # up to this many new keys, inserting each is cheaper than sorting


class Record(msgspec.Struct, frozen=True, gc=False):
    id: str
    arn: str
    account: str
    region: str
    record_state: str
    workflow: str
    severity: str
    title: str
    resource: str
    cluster: str
    product: str
    source: str
    policy: str
    namespace: str
    """Source, policy and namespace from the provider; empty if missing."""
    first_seen: str
    created: str
    updated: str
    touched: str
    """The shared members that a customer changed, joined with commas."""
    version: int
    body: bytes

    @property
    def key(self) -> str:
        return key(self.id, self.arn)

    @property
    def updated_ns(self) -> int:
        return nanoseconds(self.updated) or 0

    @property
    def created_ns(self) -> int:
        return nanoseconds(self.created) or 0

    def finding(self) -> Finding:
        decoded: Finding = msgspec.json.decode(self.body)
        return decoded


def key(identifier: str, arn: str) -> str:
    """One text that sorts as (Id, ProductArn) does."""
    return f"{identifier}\0{arn}"


def record(finding: Finding, *, account: str, region: str, touched: frozenset[str], version: int) -> Record:
    """The record of a finding."""
    share = sys.intern
    return Record(
        id=finding["Id"],
        arn=share(finding["ProductArn"]),
        account=account,
        region=region,
        record_state=share(finding["RecordState"]),
        workflow=share(finding["Workflow"].get("Status", "NEW")),
        severity=share(finding.get("Severity", {}).get("Label", "INFORMATIONAL")),
        title=finding["Title"],
        resource=resource_name(finding["Resources"]),
        cluster=share(cluster_name(finding)),
        product=share(finding.get("ProductName", "")),
        source=share(product_field(finding, "source")),
        policy=share(product_field(finding, "policy")),
        namespace=share(product_field(finding, "namespace") or _details(finding["Resources"][0]).get("namespace", "")),
        first_seen=finding.get("FirstObservedAt") or finding["CreatedAt"],
        created=finding["CreatedAt"],
        updated=finding["UpdatedAt"],
        touched=share(",".join(sorted(touched))),
        version=version,
        body=msgspec.json.encode(finding),
    )


def cluster_name(finding: Finding) -> str:
    """The cluster: the product field `…/cluster`, else the first EKS cluster of the resources."""
    named = product_field(finding, "cluster")
    return named or next((str(r["Id"]) for r in finding["Resources"] if r["Type"] == "AwsEksCluster"), "")


def product_field(finding: Finding, word: str) -> str:
    """The first product field whose key is the word or ends with it; empty if there is none."""
    fields = finding.get("ProductFields", {}).items()
    return next((str(value) for name, value in fields if name == word or name.endswith(f"/{word}")), "")


def resource_name(resources: list[dict[str, Any]]) -> str:
    """One line for the first resource: kind and name if its free-form details have them, else its Id."""
    other = _details(resources[0])
    kind, name = other.get("kind"), other.get("name")
    if not kind or not name:
        return str(resources[0]["Id"])
    namespace = other.get("namespace")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _details(resource: dict[str, Any]) -> dict[str, str]:
    """The free-form details, with keys in lower case and without the prefix `resource`."""
    other = resource.get("Details", {}).get("Other", {})
    return {name.lower().removeprefix("resource").strip(): str(value) for name, value in other.items()}


class Hub:
    """Security Hub of one account in one Region."""

    def __init__(self, account: str, region: str, *, enabled: bool, since: str) -> None:
        self.account = account
        self.region = region
        self.enabled = enabled
        self.since = since
        self.records: dict[str, Record] = {}
        self._index: list[str] = []
        self._fresh: list[str] = []
        self._undo: deque[tuple[float, str, Record | None]] | None = None

    @property
    def product_arn(self) -> str:
        """ARN of the default product of this account and Region, for custom findings."""
        start = f"arn:{partition(self.region)}:securityhub:{self.region}:{self.account}"
        return f"{start}:product/{self.account}/default"

    def put(self, new: Record, *, now: float) -> None:
        name = new.key
        old = self.records.get(name)
        if old is None:
            self._fresh.append(name)
        if self._undo is not None:
            self._undo.append((now, name, old))
        self.records[name] = new

    def index(self) -> list[str]:
        """All keys in order. The caller must not change the list."""
        if len(self._fresh) > _FEW:
            self._index.extend(self._fresh)
            self._index.sort()
        else:
            for name in self._fresh:
                insort(self._index, name)
        self._fresh.clear()
        return self._index

    def span(self, prefix: str) -> tuple[int, int]:
        """Start and end of the part of the index whose keys start with `prefix`."""
        index = self.index()
        start = bisect_left(index, prefix)
        end = bisect_left(index, prefix + "\U0010ffff\U0010ffff", lo=start)
        return start, end

    def remember(self, *, on: bool) -> None:
        """Starts or stops keeping overwritten records for `past`."""
        if not on:
            self._undo = None
        elif self._undo is None:
            self._undo = deque()

    def past(self, moment: float) -> dict[str, Record | None]:
        """The records to replace to get the state at that time; None: it did not exist yet.

        Reaches back to when `remember` was switched on.
        """
        if self._undo is None:
            return {}
        while self._undo and self._undo[0][0] <= moment:
            self._undo.popleft()
        overlay: dict[str, Record | None] = {}
        for _, name, old in self._undo:
            overlay.setdefault(name, old)
        return overlay

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())
