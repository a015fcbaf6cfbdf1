"""Who else has to do with a cluster's identity: what IdentityConflict says.

| reason          | this cluster                                                                                   |
|-----------------|------------------------------------------------------------------------------------------------|
| ClaimedTwice    | sends nothing: an older MonitoredCluster has the same identity and hub                         |
| OtherCluster    | sends nothing: many findings of the identity are another cluster's in Security Hub             |
| ForeignFindings | goes on: a few findings are another cluster's, and are left alone                              |
| AlsoClaimed     | goes on: younger MonitoredClusters have the same identity and hub                              |

Pure: no I/O, no clock.
"""

import re
import shlex

from policyhub.dataplane import ADOPT_ANNOTATION, ADOPT_NONE, DataPlane, Fault
from policyhub.sources.text import line

NAMES = 10
"""How many things of one kind a message names."""
UID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a Kubernetes uid looks like, and a shell reads as it is."""
FOREIGN = "ForeignFindings"
"""The reason while a few findings of the identity are another cluster's: they are left alone, all else goes on."""


def barring(plane: DataPlane) -> Fault | None:
    """Why nothing of this cluster may be sent."""
    if plane.claimed_twice:
        return Fault(
            "ClaimedTwice",
            f"MonitoredCluster {plane.claimed_twice} has the same identity and hub, and is older: it goes on, and"
            " nothing is sent for this one; delete one of the two",
        )
    ledger = plane.ledger
    if ledger is None or not ledger.observed.quarantine.conflict:
        return None
    uid, number = ledger.observed.quarantine.numbers.most_common(1)[0]
    return Fault(
        "OtherCluster",
        f"Security Hub holds at least {number} findings of {ledger.cluster_id} from {_writer(uid)}; this one has"
        f" {line(ledger.cluster_uid)}. Nothing is sent or archived. Give this cluster another identity; or, if it is"
        f" the same cluster rebuilt, take them over: {_adopt(plane, uid)}",
    )


def shared(plane: DataPlane) -> Fault | None:
    """What another cluster has to do with this one's identity, while this one goes on all the same."""
    ledger = plane.ledger
    if ledger is not None and ledger.observed.quarantine.ids:
        ids = ledger.observed.quarantine.ids
        id_, uid = min(ids.items())
        return Fault(
            "ForeignFindings",
            f"{len(ids)} findings under the identity of this cluster are another's in Security Hub, such as {line(id_)}"
            f" of {_writer(uid)}: they are left alone, all others go on. If they are this cluster's own, take them"
            f" over: {_adopt(plane, uid)}; else have whoever wrote them archive them, or wait until Security Hub drops"
            " them, 90 days after their last update",
        )
    if plane.rivals:
        named = ", ".join(plane.rivals[:NAMES])
        return Fault(
            "AlsoClaimed",
            f"this one is the oldest of the MonitoredClusters with this identity and hub, and goes on; nothing is sent"
            f" for {named}{' and others' if len(plane.rivals) > NAMES else ''}: delete what is not needed",
        )
    return None


def _writer(uid: str) -> str:
    return f"the cluster with uid {line(uid)}" if uid else "somebody who named no cluster's uid"


def _adopt(plane: DataPlane, uid: str) -> str:
    """The command that takes findings over, for a shell; whatever is taken over already stays so."""
    before = [word.strip() for word in plane.monitored.metadata.annotations.get(ADOPT_ANNOTATION, "").split(",")]
    words = [*filter(UID.fullmatch, before), uid or ADOPT_NONE]
    if uid and not UID.fullmatch(uid):
        return f"not possible, since that is no uid (annotation {ADOPT_ANNOTATION})"
    annotation = shlex.quote(f"{ADOPT_ANNOTATION}={','.join(words)}")
    return f"kubectl annotate --overwrite monitoredcluster {shlex.quote(plane.name)} {annotation}"
