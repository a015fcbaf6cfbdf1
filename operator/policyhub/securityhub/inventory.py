"""Reads the findings that Security Hub holds under one cluster's id prefix, in parts.

    policyhub/<cluster>/        as one part, up to about SPLIT_ABOVE findings
      …/0 … …/f                 else sixteen parts, one hex digit of the id each
      …/00 … …/ff               and finer, if a part holds more than SPLIT_ABOVE

After a split, everything that was read of the part is read again. So after UNSPLIT_BELOW findings one call for …/00
estimates the total: ids are hashes, so all parts of one depth have the same size. The first part that is too large
splits all that remain. An id that does not continue in lower-case hex digits is not ours, and is only seen if there is
one part.

Invariants: a part is yielded once, after its last page was read, and never again, whatever fails later; an incomplete
part is not yielded. GetFindings is eventually consistent: a part shows a past state.

`strip_for_import` prepares a finding that was read for an import, without the attributes of analysts and of AWS.
"""

import asyncio
import random
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from policyhub.clock import UNDATED, WallMs
from policyhub.findings import identity
from policyhub.model.kinds import known_group
from policyhub.model.recent import share
from policyhub.model.text import LIMIT, capped
from policyhub.model.violation import ObjectRef
from policyhub.securityhub.batch import Finding
from policyhub.securityhub.client import Filters, Page
from policyhub.securityhub.errors import HubError, NotLeader, Throttled, Unavailable
from policyhub.sources.results import ITSELF, ITSELF_VERSION
from policyhub.sources.target import notations

log = structlog.get_logger(__name__)

UNSPLIT_BELOW = 2_000
"""Findings that are read before the total is estimated: 20 pages. If there are too many for one part, they were read in
vain: at most a tenth of more than SPLIT_ABOVE."""
SPLIT_ABOVE = 20_000
"""Findings in one part: 200 pages, 83 s at our share of the quota. Each split reads this once in vain, and each part
reads half a page more than it holds; until a part is complete, each new violation among its ids takes a lookup."""
_SAMPLE = "00"
_SAMPLES = 256
"""The number of parts of the sample's size."""
_TOLERANCE = 2
"""Tolerance of an estimate: 78 findings in the sample, 20,000 in all, may be 27 more or fewer. If ids are not hashes,
because somebody else wrote them, a part of this many times SPLIT_ABOVE is split despite the estimate."""
_DEPTH = 4
"""Hex digits of the smallest part. 65,536 parts of 4,000 findings are more than Security Hub holds."""
_HEX = "0123456789abcdef"
_LONGEST_WAIT = 60.0
_THROTTLED_WAIT = 8.0
"""The same if the hub only throttles: the token bucket slows down as well."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class StoredFinding(msgspec.Struct, frozen=True, gc=False):
    """What the ledger needs of a finding in Security Hub. Texts are empty if the finding has none."""

    id: str
    digest: str
    renderer: str
    created_at: WallMs
    """Rounded down; UNDATED if it could not be read."""
    updated_at: WallMs
    """As created_at. AWS may store a fraction more, so a later UpdatedAt has to be at least this plus one."""
    record_state: str
    cluster_uid: str
    source_api: str
    source: str
    policy: str
    rule: str
    workflow_status: str
    severity: str
    """The label that a reader sees, which an analyst may have changed."""
    result: str = ""
    provided: str = ""
    """The severity that we sent, even if an analyst has changed it."""
    relapses: int = 0
    relapsed_at: WallMs = UNDATED
    object_ref: ObjectRef | None = None
    """The Kubernetes object, as `Violation.object_ref`; None if the finding does not state all of it."""


class Part(msgspec.Struct, frozen=True):
    """All findings whose id begins with `prefix`."""

    prefix: str
    findings: tuple[StoredFinding, ...]


class Reader(Protocol):
    """The part of HubClient that is used."""

    def find(self, filters: Filters) -> AsyncGenerator[Page, None]: ...


class Inventory:
    """One reading. After an error `parts()` can be iterated again: it continues with the remaining parts."""

    def __init__(
        self,
        reader: Reader,
        *,
        cluster: str,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        seen: Callable[[StoredFinding], None] | None = None,
        unsplit_below: int = UNSPLIT_BELOW,
        split_above: int = SPLIT_ABOVE,
    ) -> None:
        """`seen` gets each finding as its page arrives, long before its part is complete, and each time it is read."""
        self.problem: HubError | None = None
        """Why the reading makes no progress; None while it does."""
        self._reader = reader
        self._root = identity.prefix(cluster)
        self._pending = deque([self._root])
        self._sleep = sleep
        self._jitter = jitter
        self._seen = seen
        self._unsplit_below = unsplit_below
        self._split_above = split_above

    @property
    def complete(self) -> bool:
        return not self._pending

    async def parts(self) -> AsyncGenerator[Part, None]:
        """Each part as soon as it is complete.

        Throttled, Unavailable and NotLeader are retried for ever with back-off (see `problem`), and the part moves to
        the end of the queue; AccessLost and Refused are raised.
        """
        failures = 0
        while self._pending:
            prefix = self._pending[0]
            try:
                findings = await self._read(prefix)
            except (Throttled, Unavailable, NotLeader) as error:
                self.problem = error
                failures += 1
                longest = _THROTTLED_WAIT if isinstance(error, Throttled) else _LONGEST_WAIT
                wait = min(longest, 2.0 ** min(failures, 6)) * (0.5 + self._jitter() / 2)
                log.warning("inventory_delayed", prefix=prefix, code=error.code, seconds=round(wait, 1))
                self._pending.rotate(-1)
                await self._sleep(wait)
                continue
            except HubError as error:
                self.problem = error
                raise
            self.problem = None
            failures = 0
            if findings is None:
                self._pending = deque(part + digit for part in self._pending for digit in _HEX)
                continue
            yield Part(prefix, findings)
            self._pending.popleft()

    async def _read(self, prefix: str) -> tuple[StoredFinding, ...] | None:
        """None if the part has to be split. A finding on two pages counts once, as on the later one."""
        depth = len(prefix) - len(self._root)
        estimated, limit = depth > 0, self._split_above if depth else self._unsplit_below
        found: dict[str, StoredFinding] = {}
        async with aclosing(self._reader.find(_under(prefix))) as pages:
            async for page in pages:
                for finding in page.findings:
                    if finding["Id"].startswith(prefix):
                        found[finding["Id"]] = from_asff(finding)
                        if self._seen is not None:
                            self._seen(found[finding["Id"]])
                if page.token and len(found) >= limit and depth < _DEPTH:
                    if estimated:
                        return None
                    with suppress(Throttled, Unavailable):  # it is estimated again after the next page
                        if await self._is_large():
                            return None
                        estimated, limit = True, _TOLERANCE * self._split_above
        return tuple(found.values())

    async def _is_large(self) -> bool:
        """Whether there are too many findings for one part, estimated from one page of a sample."""
        async with aclosing(self._reader.find(_under(self._root + _SAMPLE))) as pages:
            page = await anext(pages)
        return bool(page.token) or len(page.findings) * _SAMPLES > self._split_above


def _under(prefix: str) -> Filters:
    return {"Id": [{"Value": prefix, "Comparison": "PREFIX"}]}


def from_asff(finding: Finding) -> StoredFinding:
    """Never fails: a value that is missing or of another type is empty. Texts are cleaned and cut: anyone who may
    import into the account can write them.
    """
    fields = _mapping(finding.get("ProductFields"))
    return StoredFinding(
        id=finding["Id"],
        digest=_text(fields.get("policyhub/digest")),
        renderer=_shared_text(fields.get("policyhub/renderer")),
        created_at=milliseconds(finding.get("CreatedAt")),
        updated_at=milliseconds(finding.get("UpdatedAt")),
        record_state=_shared_text(finding.get("RecordState")),
        cluster_uid=_shared_text(fields.get("policyhub/cluster-uid")),
        source_api=_shared_text(fields.get("policyhub/origin")),
        source=_shared_text(fields.get("policyhub/source")),
        policy=_shared_text(fields.get("policyhub/policy")),
        rule=_shared_text(fields.get("policyhub/rule")),
        workflow_status=_shared_text(_mapping(finding.get("Workflow")).get("Status")),
        severity=_shared_text(_mapping(finding.get("Severity")).get("Label")),
        result=_shared_text(fields.get("policyhub/result")),
        provided=_shared_text(_mapping(_mapping(finding.get("FindingProviderFields")).get("Severity")).get("Label")),
        relapses=_count(fields.get("policyhub/relapses")),
        relapsed_at=milliseconds(fields.get("policyhub/relapsed-at")),
        object_ref=_object_ref(finding.get("Resources")) or _report(fields.get("policyhub/report")),
    )


_GROUP = re.compile(r"[a-z0-9.-]{1,253}")
_VERSION = re.compile(r"[a-z0-9-]{0,63}")


def _object_ref(resources: object) -> ObjectRef | None:
    """From the first resource whose details match its id.

    Both are cut or cleaned if necessary (findings/asff.py), and then the id never matches the details. Only the id has
    the group: an engine's apiVersion may lack it or name another.
    """
    for resource in resources if isinstance(resources, list) else ():
        details = _mapping(_mapping(_mapping(resource).get("Details")).get("Other"))
        cluster, kind, namespace, name = (_text(details.get(key)) for key in ("ClusterId", "Kind", "Namespace", "Name"))
        before, after = f"kubernetes/{cluster}/", f"/{kind or '-'}/{namespace or '-'}/{name or '-'}"
        ident = _text(_mapping(resource).get("Id"))
        api_version = _text(details.get("ApiVersion"))
        for subject in notations(kind, namespace, name) if cluster else ():  # the details have what the engine means
            if ident == before + "/".join(
                (subject.group or "core", subject.kind or "-", subject.namespace or "-", subject.name)
            ):
                version = "" if api_version == known_group("", kind) else api_version.rpartition("/")[2]
                names = _shared_text(subject.namespace), _shared_text(subject.name)
                known = ObjectRef(subject.group, _shared_text(version), subject.kind, *names)
                return known if _VERSION.fullmatch(version) else None
        if not (cluster and ident.startswith(before) and ident.endswith(after)):
            continue
        group = ident[len(before) : -len(after)]
        version = "" if api_version == group else api_version.rpartition("/")[2]
        if _GROUP.fullmatch(group) and _VERSION.fullmatch(version):
            return ObjectRef(
                "" if group == "core" else _shared_text(group),
                _shared_text(version),
                _shared_text(kind),
                _shared_text(namespace),
                _shared_text(name),
            )
    return None


def _report(name: object) -> ObjectRef | None:
    """The cluster report of a finding whose only resource is the cluster."""
    return ObjectRef(ITSELF, ITSELF_VERSION, "ClusterPolicyReport", "", _shared_text(name)) if _text(name) else None


def _count(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() and text.isascii() and len(text) < 10 else 0


PROVIDERS = frozenset({
    "SchemaVersion", "Id", "ProductArn", "GeneratorId", "AwsAccountId",
    "ProductName", "CompanyName",  # a custom integration may set them; otherwise AWS might set its own
    "CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt", "RecordState",
    "Title", "Description", "Remediation", "SourceUrl", "ProductFields", "Resources", "Compliance",
    "FindingProviderFields",
    "Malware", "Network", "NetworkPath", "Process", "Threats", "ThreatIntelIndicators", "Vulnerabilities",
    "PatchSummary", "Action", "Sample", "GeneratorDetails", "Detection",
})  # fmt: skip
"""The attributes of a finding that its provider sends, also on an update."""

OTHERS: Mapping[str, str] = {
    "Workflow": "the analyst's",
    "WorkflowState": "the analyst's; deprecated",
    "Note": "the analyst's",
    "UserDefinedFields": "the analyst's",
    "VerificationState": "the analyst's",
    "Severity": "the analyst's once changed; the provider's is in FindingProviderFields",
    "Types": "as Severity",
    "Confidence": "as Severity",
    "Criticality": "as Severity",
    "RelatedFindings": "as Severity",
    "Region": "AWS sets it",
    "AwsAccountName": "AWS sets it",
    "ProcessedAt": "AWS sets it",
}
"""The other attributes of ASFF, and their owners. PROVIDERS and OTHERS together are all that botocore knows."""

_RESOURCE = frozenset({"Type", "Id", "Partition", "Region", "ResourceRole", "DataClassification", "Details"})
"""Attributes of a resource. AWS adds tags, applications and owners from its own knowledge; we send none."""

_RESERVED = "aws/"
"""The prefix of the ProductFields that AWS adds."""


def strip_for_import(finding: Finding) -> dict[str, Any]:
    """A finding from GetFindings, ready for BatchImportFindings once the caller has set RecordState and UpdatedAt.

    Shares unchanged parts with its argument. If a finding has no FindingProviderFields (Security Hub derives them from
    Severity and Types, so none should lack them), they are made from these two: Security Hub would refuse a finding
    without either. Pure.
    """
    body = {name: value for name, value in finding.items() if name in PROVIDERS}
    fields = {k: v for k, v in _mapping(finding.get("ProductFields")).items() if not k.startswith(_RESERVED)}
    body.pop("ProductFields", None)
    if fields:
        body["ProductFields"] = fields
    body["Resources"] = [
        {name: value for name, value in resource.items() if name in _RESOURCE} for resource in finding["Resources"]
    ]
    if "FindingProviderFields" not in body:
        severity = {k: v for k, v in _mapping(finding.get("Severity")).items() if k in {"Label", "Original"}}
        provided = {"Severity": severity, "Types": finding.get("Types")}
        body["FindingProviderFields"] = {name: value for name, value in provided.items() if value}
    return body


def milliseconds(timestamp: object) -> WallMs:
    """From an RFC 3339 text (`Z`, an offset or none, any fraction), rounded down; else UNDATED."""
    if not isinstance(timestamp, str):
        return UNDATED
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return UNDATED
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return WallMs((moment - _EPOCH) // _MILLISECOND)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return capped(value, LIMIT) if isinstance(value, str) else ""


def _shared_text(value: object) -> str:
    """For a text that many findings share: kept once."""
    return share(_text(value))
