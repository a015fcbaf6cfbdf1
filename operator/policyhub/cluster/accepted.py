"""The condition InputAccepted: whether all content of the cluster's reports and constraints was accepted; if not, which
namespaces have the rejected objects.

It never makes Ready False, because a writer in one namespace must not make the cluster unready. Pure: no I/O, no clock.
"""

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.formatting import counted
from policyhub.cluster.snapshot import Findings
from policyhub.model.text import NAME, line
from policyhub.sync.refusals import NamespaceRefusals
from policyhub.sync.usage import Excess

REPORT_LIMIT = "POLICYHUB_LIMIT_REPORT_RESULTS"
NAMESPACE_LIMIT = "its namespace has reached POLICYHUB_LIMIT_NAMESPACE_FINDINGS"
CLUSTER_LIMIT = "the cluster has reached POLICYHUB_LIMIT_CLUSTER_FINDINGS"
IMPORTS_LIMIT = "further changes of its findings wait until tomorrow (POLICYHUB_LIMIT_NAMESPACE_IMPORTS)"
MAX_NAMESPACES = 10


def accepted(found: Findings | None) -> Cause:
    """The cause of the condition; its reason determines the status."""
    if found is None:
        return Cause(Reason.NOT_READ, "reports and constraints have not been read yet")
    exhausted, late = found.exhausted, found.late
    messages = [_refused_line(refused) for refused in found.refused]
    limited = any(set(refused.reasons) & set(Excess) for refused in found.refused)
    messages += [
        f"{line(name)}: its reports change faster than they can be read, so they are read later" for name in late
    ]
    messages += [f"{namespace}: it has used up its imports of today, and {IMPORTS_LIMIT}" for namespace in exhausted]
    if not messages:
        return Cause(Reason.ALL_ACCEPTED, "the full content of reports and constraints was accepted")
    more = f"; and {len(messages) - MAX_NAMESPACES} more" if len(messages) > MAX_NAMESPACES else ""
    message = "; ".join(messages[:MAX_NAMESPACES]) + more
    if late and not limited and not exhausted:
        return Cause(Reason.READ_LATER, message)
    if exhausted and not limited:
        return Cause(Reason.IMPORTS_USED_UP, message)
    if limited:
        return Cause(Reason.LIMIT_EXCEEDED, message)
    return Cause(Reason.NOT_UNDERSTOOD, message)


def _refused_line(refused: NamespaceRefusals) -> str:
    """One line for a namespace: what was rejected, with an example."""
    one = refused.refusal
    what = line(f"{refused.source_api}/{refused.name}", NAME)
    more = f" (and {counted(refused.objects - 1, 'more object')})" if refused.objects > 1 else ""
    where = line(refused.namespace, NAME) or "outside of namespaces"
    match one.reason:
        case Excess.REPORT_RESULTS:
            problem = f"{counted(one.number, 'result')} in one report, {one.taken:,} accepted ({REPORT_LIMIT})"
        case Excess.REPORT_BYTES:
            problem = f"a report of {counted(one.number, 'byte')} was not read (POLICYHUB_LIMIT_REPORT_BYTES)"
        case Excess.NAMESPACE:
            problem = (
                f"{counted(one.number, 'violation')} in one report, {one.taken or 0:,} accepted ({NAMESPACE_LIMIT})"
            )
        case Excess.CLUSTER:
            problem = f"{counted(one.number, 'violation')} in one report, {one.taken or 0:,} accepted ({CLUSTER_LIMIT})"
        case _:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(refused.reasons.items())[:5])
            return f"{where}: not understood or not accepted: {reasons}, for example in {what}{more}"
    return f"{where}: {problem}: {what}{more}; no finding is archived because it is missing there"
