"""One cluster's API server: whether it answers, its version and clock, and which source APIs it serves."""

import shlex
from collections.abc import Callable
from datetime import datetime

import msgspec

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Reason
from policyhub.cluster.formatting import counted
from policyhub.cluster.remedies import DOCTOR, HELD_UNTIL, REMEDIES
from policyhub.doctor.result import CheckResult, fine, problem, unchecked
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.decoding import decoded
from policyhub.kube.discovery import Discovery, discover
from policyhub.model.source_apis import CONSTRAINTS, SOURCE_APIS, enabled
from policyhub.model.text import line

OLDEST = (1, 25)
"""The oldest supported version of Kubernetes: the chart's CRD needs CEL rules."""
SKEW_SECONDS = 60.0
"""A larger difference is a problem. A Date header has whole seconds, and an answer takes some seconds."""
_VERSION = 64
_LISTINGS = 3
"""An operator that has not listed for this many relist intervals is reported as gone."""


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""
    major: str = ""
    minor: str = ""


_version = msgspec.json.Decoder(_Version)


async def check_server(
    connection: Connection, about: str, *, wall: Callable[[], float]
) -> tuple[list[CheckResult], bool]:
    """The server's version, how its clock differs from `wall` (Unix seconds), and whether it answers at all."""
    try:
        body, sent = await connection.dated("/version")
        version = decoded(_version, body, Unreachable)
    except (Refused, Unreachable) as error:
        found = f"{connection.server} does not answer as a Kubernetes API server: {error}"
        return [problem("connection", about, found, remedy=DOCTOR["connection"])], False
    clock = [evaluate_clock(about, sent, wall())] if sent is not None else []
    return [evaluate_version(about, connection.server, version), *clock], True


def evaluate_version(about: str, server: str, version: _Version) -> CheckResult:
    """Pure."""
    digits = version.minor.rstrip("+")  # EKS: "29+"
    found = f"{server} runs Kubernetes {line(version.git_version, _VERSION) or 'in an unknown version'}"
    if _is_number(version.major) and _is_number(digits) and (int(version.major), int(digits)) < OLDEST:
        remedy = DOCTOR["connection/old"].format(version=f"{OLDEST[0]}.{OLDEST[1]}")
        return problem("connection", about, found, remedy=remedy)
    return fine("connection", about, found)


def _is_number(text: str) -> bool:
    return len(text) <= 4 and text.isdecimal()


def evaluate_clock(about: str, sent: datetime, now: float) -> CheckResult:
    """`sent` is the server's time, `now` ours at the same moment (Unix seconds). Pure."""
    ahead = now - sent.timestamp()
    if abs(ahead) <= SKEW_SECONDS:
        return fine("clock", about, f"this machine's clock and the server's differ by {abs(ahead):.0f} s")
    found = f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    return problem("clock", about, found, remedy=DOCTOR["clock"])


async def served(connection: Connection, monitored: MonitoredCluster) -> Discovery:
    """The source APIs that the MonitoredCluster enables and the cluster serves."""
    return await discover(connection, enabled(monitored.spec.sources))


def evaluate_sources(about: str, found: Discovery) -> list[CheckResult]:
    """Pure."""
    results = [
        problem("sources", about, f"{group}: {why}", remedy=REMEDIES[Reason.DISCOVERY_FAILED])
        for group, why in found.unknown.items()
    ]
    if not found.served:
        if not results:
            remedy = REMEDIES[Reason.NO_SOURCE_SERVED]
            *groups, last = (api.group for api in SOURCE_APIS)
            found_none = f"the cluster serves none of the APIs {', '.join(groups)} and {last}"
            results.append(problem("sources", about, found_none, remedy=remedy))
        return results
    kinds = [r for r in found.served if r.group == CONSTRAINTS]
    names = [f"{r.plural}.{r.version}.{r.group}" for r in found.served if r.group != CONSTRAINTS]
    names += [f"{counted(len(kinds), 'kind')} of {CONSTRAINTS}"] if kinds else []
    if found.terminating:
        remedy = DOCTOR["sources/ending"]
        terminating = ", ".join(sorted(found.terminating))
        results.append(problem("sources", about, f"the CRD is being deleted: {terminating}", remedy=remedy))
    return [*results, fine("sources", about, f"served and read: {', '.join(names)}")]


def evaluate_operator(
    about: str, monitored: MonitoredCluster, generation: int, *, now: float, relist_interval: float
) -> CheckResult:
    """The operator's state by the MonitoredCluster's status. The status of an operator that is gone is old. Pure."""
    status = monitored.status
    ready = next((c for c in status.conditions if c.type == "Ready"), None) if status is not None else None
    if ready is None:
        return problem("operator", about, "the operator has written no status yet", remedy=DOCTOR["operator/none"])
    if (ready.observed_generation or 0) < generation:
        found = (
            f"the status describes generation {ready.observed_generation} of the object, which has generation"
            f" {generation}: the last change is not applied"
        )
        return problem("operator", about, found, remedy=DOCTOR["operator/old"])
    listed = [source.last_listed.timestamp() for source in status.sources if source.last_listed] if status else []
    silent = now - max(listed, default=now)
    if silent > _LISTINGS * relist_interval:
        found = f"the operator last listed the cluster {silent / 3600:.1f} h ago; its status still has Ready"
        remedy = DOCTOR["operator/gone"]
        return problem("operator", about, f"{found} {ready.status}", remedy=remedy)
    found = f"Ready is {ready.status}, {ready.reason}: {ready.message}"
    if ready.status == "True":
        return fine("operator", about, found)
    reason = Reason.known(ready.reason)
    by_reason = REMEDIES.get(reason, _IN_MESSAGE) if reason is not None else _IN_MESSAGE
    remedy = DOCTOR["operator/not-ready"].format(remedy=by_reason, name=shlex.quote(about))
    if ready.status == "Unknown":
        return unchecked("operator", about, found, remedy=remedy)
    return problem("operator", about, found, remedy=remedy)


_IN_MESSAGE = "do what the message says"


def evaluate_identity(about: str, monitored: MonitoredCluster) -> list[CheckResult]:
    """Whether the identity has one cluster and the cluster one identity, by the condition IdentityConflict. Pure."""
    conditions = monitored.status.conditions if monitored.status is not None else ()
    found = next((c for c in conditions if c.type == "IdentityConflict"), None)
    if found is None or found.status == "Unknown":
        return []
    if found.status == "False":
        return [fine("identity", about, found.message)]
    return [problem("identity", about, found.message, remedy=DOCTOR["identity"].format(name=shlex.quote(about)))]


def evaluate_holds(about: str, monitored: MonitoredCluster) -> list[CheckResult]:
    """Whether the guard holds findings that an engine no longer reports, by the condition ArchiveHeld. Pure."""
    conditions = monitored.status.conditions if monitored.status is not None else ()
    held = next((c for c in conditions if c.type == "ArchiveHeld"), None)
    if held is None or held.status == "Unknown":
        return []
    if held.status == "False":
        return [fine("archive-held", about, held.message)]
    found, _, remedy = held.message.partition(HELD_UNTIL)
    return [problem("archive-held", about, found, remedy=remedy.strip() or REMEDIES[Reason.TOO_MANY_LOST])]
