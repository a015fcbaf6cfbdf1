"""The condition IdentityConflict: whether the identity belongs to this cluster only, and the cluster has no other.

| reason          | this MonitoredCluster                                                                          |
|-----------------|------------------------------------------------------------------------------------------------|
| ClaimedTwice    | sends nothing: an older MonitoredCluster has the same identity and hub                         |
| OtherCluster    | sends nothing: in Security Hub many findings of the identity are another cluster's             |
| ForeignFindings | continues: a few findings are another cluster's, and are left alone                            |
| TwoIdentities   | continues: another MonitoredCluster sends the same cluster's findings under another identity   |
| OtherIdentity   | continues: Security Hub has active findings of the same cluster under another identity         |
| AlsoClaimed     | continues: younger MonitoredClusters have the same identity and hub                            |

Two clusters are the same if their kube-system namespaces have the same uid. Any API server can claim any uid, so a
second identity stops neither MonitoredCluster: both report it (docs/decisions/0020).

Pure: no I/O, no clock.
"""

import re
import shlex
from collections.abc import Mapping

from policyhub.api.reason import Cause, Reason
from policyhub.cluster.formatting import counted
from policyhub.cluster.snapshot import Aliases, Snapshot
from policyhub.model.text import line

ADOPT_ANNOTATION = "policyhub.dev/adopt-uid"
"""Takes over findings after the cluster was rebuilt: its value is the uid that they carry, or several with commas."""
ADOPT_NONE = "none"
"""Its value for findings that carry no uid."""
NAMES = 10
"""How many items of one kind a message names."""
UID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A valid Kubernetes uid. A shell needs no quotes for it."""


def adopted(annotations: Mapping[str, str]) -> frozenset[str]:
    """The uids whose findings are taken over; the empty uid stands for findings that carry none."""
    words = (word.strip() for word in annotations.get(ADOPT_ANNOTATION, "").split(","))
    return frozenset("" if word == ADOPT_NONE else word for word in words if word)


def barring(seen: Snapshot) -> Cause | None:
    """The conflict that stops this cluster from sending; None: there is none."""
    if seen.claimed_twice:
        return Cause(
            Reason.CLAIMED_TWICE,
            f"MonitoredCluster {seen.claimed_twice} has the same identity and hub, and is older: it goes on, and"
            " nothing is sent for this one; delete one of the two",
        )
    found = seen.findings
    if found is None or found.conflict is None:
        return None
    other = found.conflict
    return Cause(
        Reason.OTHER_CLUSTER,
        f"Security Hub holds at least {counted(other.number, 'finding')} of {seen.identity} from {_writer(other.uid)};"
        f" this one has {line(found.cluster_uid)}. Nothing is sent or archived. Give this cluster another identity;"
        f" or, if it is the same cluster rebuilt, take them over: {_adopt(seen, other.uid)}",
    )


def shared(seen: Snapshot) -> Cause | None:
    """The conflict that does not stop this cluster from sending; None: there is none."""
    found = seen.findings
    if found is not None and found.foreign is not None:
        other = found.foreign
        return Cause(
            Reason.FOREIGN_FINDINGS,
            f"{counted(other.number, 'finding')} under the identity of this cluster"
            f" {'is' if other.number == 1 else 'are'} another's in Security Hub, such as"
            f" {line(other.example)} of {_writer(other.uid)}: left alone, while all others go on. If this cluster wrote"
            f" {_them(other.number)}, take {_them(other.number)} over: {_adopt(seen, other.uid)}; else have whoever did"
            f" archive {_them(other.number)}, or wait until Security Hub drops {_them(other.number)}, 90 days after the"
            " last update",
        )
    if seen.twins:
        return _two_identities(seen)
    if seen.aliases is not None:
        return _other_identity(seen, seen.aliases)
    if seen.rivals:
        named = ", ".join(seen.rivals[:NAMES])
        return Cause(
            Reason.ALSO_CLAIMED,
            f"this one is the oldest of the MonitoredClusters with this identity and hub, and goes on; nothing is sent"
            f" for {named}{' and others' if len(seen.rivals) > NAMES else ''}: delete what is not needed",
        )
    return None


def _two_identities(seen: Snapshot) -> Cause:
    named = [f"{twin.name} (identity {line(twin.identity)})" for twin in seen.twins[:NAMES]]
    one, first = len(seen.twins) == 1, seen.twins[0]
    return Cause(
        Reason.TWO_IDENTITIES,
        f"MonitoredCluster{'' if one else 's'} {', '.join(named)}{'' if len(seen.twins) <= NAMES else ' and others'}"
        f" also send{'s' if one else ''} findings of this cluster (uid {seen.cluster_uid}) to Security Hub of"
        f" {seen.account}, {seen.region}: each violation has a finding under each identity. All go on. Delete the one"
        f" that is not needed; if that is {first.name}, then archive what it leaves: {_retire(seen, first.identity)}."
        " If these are different clusters, one reports the other's uid: check the kubeconfigs, and whether one was"
        " restored from the other's etcd",
    )


def _other_identity(seen: Snapshot, aliases: Aliases) -> Cause:
    numbers = sorted(aliases.numbers.items(), key=lambda item: (-item[1], item[0]))
    total = sum(aliases.numbers.values())
    named = ", ".join(line(identity) for identity, _ in numbers[:NAMES])
    more = f" and {len(numbers) - NAMES} more" if len(numbers) > NAMES else ""
    return Cause(
        Reason.OTHER_IDENTITY,
        f"Security Hub has {'at least ' if aliases.more else ''}{counted(total, 'active finding')} of this cluster (uid"
        f" {seen.cluster_uid}) under another identity: {named}{more}. What is reported under both is there twice; this"
        f" MonitoredCluster goes on as {seen.identity} and does not touch the others. If nothing sends under the other"
        f" identity any more, archive what it left: {_retire(seen, numbers[0][0])}. If the other one is right, delete"
        " this MonitoredCluster and archive its findings instead",
    )


def _retire(seen: Snapshot, identity: str) -> str:
    """The command that counts the findings of another identity of this cluster, and archives them with --yes."""
    return f"policyhub retire {shlex.quote(seen.name)} --identity {shlex.quote(identity)}"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _writer(uid: str) -> str:
    return f"the cluster with uid {line(uid)}" if uid else "somebody who named no cluster's uid"


def _adopt(seen: Snapshot, uid: str) -> str:
    """The shell command that takes findings over. Uids that are adopted already stay adopted."""
    before = [word.strip() for word in seen.adopts.split(",")]
    words = [*filter(UID.fullmatch, before), uid or ADOPT_NONE]
    if uid and not UID.fullmatch(uid):
        return f"not possible, since that is no uid (annotation {ADOPT_ANNOTATION})"
    annotation = shlex.quote(f"{ADOPT_ANNOTATION}={','.join(words)}")
    return f"kubectl annotate --overwrite monitoredcluster {shlex.quote(seen.name)} {annotation}"
