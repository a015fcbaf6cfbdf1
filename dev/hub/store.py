"""The findings of one account and Region, with the index that prefix queries and paging need.

A finding is kept as its JSON text and as a `Record` of what is filtered, sorted and listed; records are immutable and
replaced as a whole, so whoever holds one holds a moment. Ids are unique per product: the key is Id and ProductArn.
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

_FEW = 64  # so many new keys are cheaper to insert one by one than to sort in


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
    """These three as the provider names them; empty where it does not."""
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
    """Sorts as (Id, ProductArn) does, and is one text to compare instead of two."""
    return f"{identifier}\0{arn}"


def record(finding: Finding, *, account: str, region: str, touched: frozenset[str], version: int) -> Record:
    """Describe a finding as it is stored."""
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
    """The cluster as the provider names it: a product field `…/cluster`, else the first EKS cluster among them."""
    named = product_field(finding, "cluster")
    return named or next((str(r["Id"]) for r in finding["Resources"] if r["Type"] == "AwsEksCluster"), "")


def product_field(finding: Finding, word: str) -> str:
    """The first product field whose key is the word, or ends with it; empty where there is none."""
    fields = finding.get("ProductFields", {}).items()
    return next((str(value) for name, value in fields if name == word or name.endswith(f"/{word}")), "")


def resource_name(resources: list[dict[str, Any]]) -> str:
    """One line for the first resource: kind and name where its free-form details tell them, else its Id."""
    other = _details(resources[0])
    kind, name = other.get("kind"), other.get("name")
    if not kind or not name:
        return str(resources[0]["Id"])
    namespace = other.get("namespace")
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _details(resource: dict[str, Any]) -> dict[str, str]:
    """The free-form details, by the last word of their keys in lower case."""
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
        """The ARN of the product that everything custom in this account and Region shares."""
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
        """The part of the index whose keys start with a text."""
        index = self.index()
        start = bisect_left(index, prefix)
        end = bisect_left(index, prefix + "\U0010ffff\U0010ffff", lo=start)
        return start, end

    def remember(self, *, on: bool) -> None:
        """Keep what is overwritten from now on, so that `past` can answer; or stop and forget it."""
        if not on:
            self._undo = None
        elif self._undo is None:
            self._undo = deque()

    def past(self, moment: float) -> dict[str, Record | None]:
        """What to read instead of the present to see the state of a moment: None hides what did not exist yet.

        Reaches back to where `remember` was switched on.
        """
        if self._undo is None:
            return {}
        while self._undo and self._undo[0][0] <= moment:
            self._undo.popleft()
        overlay: dict[str, Record | None] = {}
        for _, name, old in self._undo:
            overlay.setdefault(name, old)
        return overlay

    def clear(self) -> None:
        self.records.clear()
        self._index.clear()
        self._fresh.clear()
        self._undo = deque() if self._undo is not None else None

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())
