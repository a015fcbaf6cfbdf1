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
IMPORTS_LIMIT = "other changes of its findings wait for tomorrow (POLICYHUB_LIMIT_NAMESPACE_IMPORTS)"
TOLD_NAMESPACES = 10


def accepted(found: Findings | None) -> Cause:
    """The cause of the condition; its reason determines the status."""
    if found is None:
        return Cause(Reason.NOT_READ, "nothing was read yet")
    exhausted, late = found.exhausted, found.late
    told = [_refused_line(refused) for refused in found.refused]
    limited = any(set(refused.reasons) & set(Excess) for refused in found.refused)
    told += [f"{line(name)}: its reports are written faster than they are read, and read later" for name in late]
    told += [f"{namespace}: its imports of the day are used up, {IMPORTS_LIMIT}" for namespace in exhausted]
    if not told:
        return Cause(Reason.ALL_ACCEPTED, "all that reports and constraints say was taken")
    more = f"; and {len(told) - TOLD_NAMESPACES} more" if len(told) > TOLD_NAMESPACES else ""
    message = "; ".join(told[:TOLD_NAMESPACES]) + more
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
    what = line(f"{refused.origin}/{refused.name}", NAME)
    more = f" (and {counted(refused.objects - 1, 'more object')})" if refused.objects > 1 else ""
    where = line(refused.namespace, NAME) or "outside of namespaces"
    match one.reason:
        case Excess.REPORT_RESULTS:
            said = f"{counted(one.number, 'result')} in one report, {one.taken:,} taken ({REPORT_LIMIT})"
        case Excess.REPORT_BYTES:
            said = f"a report of {counted(one.number, 'byte')} was not read (POLICYHUB_LIMIT_REPORT_BYTES)"
        case Excess.NAMESPACE:
            said = f"{counted(one.number, 'violation')} in one report, {one.taken or 0:,} taken ({NAMESPACE_LIMIT})"
        case Excess.CLUSTER:
            said = f"{counted(one.number, 'violation')} in one report, {one.taken or 0:,} taken ({CLUSTER_LIMIT})"
        case _:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(refused.reasons.items())[:5])
            return f"{where}: not understood or not taken: {reasons}, such as in {what}{more}"
    return f"{where}: {said}: {what}{more}; nothing is archived because these objects lack it"
