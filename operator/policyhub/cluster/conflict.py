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
from policyhub.cluster.formatting import counted, retire_command
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
            f"MonitoredCluster {seen.claimed_twice} has the same identity and hub and is older, so only it may send,"
            " and nothing is sent for this MonitoredCluster. Delete one of the two. If no operator sends the findings"
            " of the older one (its status is old or not Ready), delete that one or give it the label of an operator",
        )
    found = seen.findings
    if found is None or found.conflict is None:
        return None
    other = found.conflict
    return Cause(
        Reason.OTHER_CLUSTER,
        f"Security Hub holds at least {counted(other.number, 'finding')} of {seen.identity} from {_writer(other.uid)};"
        f" this cluster has uid {line(found.cluster_uid)}. Nothing is sent or archived for it. Give this cluster"
        f" another identity. If it is the same cluster, rebuilt, take the findings over: {_adopt(seen, other.uid)}",
    )


def shared(seen: Snapshot) -> Cause | None:
    """The conflict that does not stop this cluster from sending; None: there is none."""
    found = seen.findings
    if found is not None and found.foreign is not None:
        other = found.foreign
        return Cause(
            Reason.FOREIGN_FINDINGS,
            f"{counted(other.number, 'finding')} in Security Hub {'has' if other.number == 1 else 'have'} this"
            f" cluster's identity but not its uid, such as {line(other.example)} of {_writer(other.uid)}. The operator"
            f" does not change {_them(other.number)}; all other findings are sent. Ask the writer to archive"
            f" {_them(other.number)}, or wait until Security Hub deletes {_them(other.number)}, 90 days after the last"
            f" update. If this cluster wrote {_them(other.number)} before it was rebuilt, take {_them(other.number)}"
            f" over: {_adopt(seen, other.uid)}",
        )
    if seen.twins:
        return _two_identities(seen)
    if seen.aliases is not None:
        return _other_identity(seen, seen.aliases)
    if seen.rivals:
        named = ", ".join(seen.rivals[:NAMES])
        return Cause(
            Reason.ALSO_CLAIMED,
            f"this MonitoredCluster is the oldest one with its identity and hub, so its findings are sent. Nothing is"
            f" sent for {named}{' and others' if len(seen.rivals) > NAMES else ''}. Delete those that are not needed",
        )
    return None


def _two_identities(seen: Snapshot) -> Cause:
    named = [f"{twin.name} (identity {line(twin.identity)})" for twin in seen.twins[:NAMES]]
    one, first = len(seen.twins) == 1, seen.twins[0]
    return Cause(
        Reason.TWO_IDENTITIES,
        f"MonitoredCluster{'' if one else 's'} {', '.join(named)}{'' if len(seen.twins) <= NAMES else ' and others'}"
        f" also send{'s' if one else ''} findings of this cluster (uid {seen.cluster_uid}) to Security Hub of"
        f" {seen.account}, {seen.region}: each violation has a finding under each identity. The findings of all of them"
        " are sent. If these are different clusters, one reports the other's uid: check the kubeconfigs, and whether"
        " one was restored from the other's etcd. Otherwise delete the MonitoredCluster that is not needed; if that is"
        f" {first.name}, then archive its findings: {_retire(seen, first.identity)}",
    )


def _other_identity(seen: Snapshot, aliases: Aliases) -> Cause:
    numbers = sorted(aliases.numbers.items(), key=lambda item: (-item[1], item[0]))
    total = sum(aliases.numbers.values())
    named = ", ".join(line(identity) for identity, _ in numbers[:NAMES])
    more = f" and {len(numbers) - NAMES} more" if len(numbers) > NAMES else ""
    return Cause(
        Reason.OTHER_IDENTITY,
        f"Security Hub has {'at least ' if aliases.more else ''}{counted(total, 'active finding')} of this cluster (uid"
        f" {seen.cluster_uid}) under another identity: {named}{more}. Violations that are reported under both have two"
        f" findings. This MonitoredCluster keeps sending as {seen.identity} and does not change the others. If the"
        " other identity is the right one, delete this MonitoredCluster and archive its findings. If nothing sends"
        f" under the other identity any more, archive its findings: {_retire(seen, numbers[0][0])}",
    )


def _retire(seen: Snapshot, identity: str) -> str:
    """The command that counts the findings of another identity of this cluster, and archives them with --yes."""
    return retire_command(seen.name, identity=identity)


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _writer(uid: str) -> str:
    return f"the cluster with uid {line(uid)}" if uid else "a writer that gave no cluster uid"


def _adopt(seen: Snapshot, uid: str) -> str:
    """The shell command that takes findings over. Uids that are adopted already stay adopted."""
    before = [word.strip() for word in seen.adopts.split(",")]
    words = [*filter(UID.fullmatch, before), uid or ADOPT_NONE]
    if uid and not UID.fullmatch(uid):
        return f"not possible, because that is not a valid uid (annotation {ADOPT_ANNOTATION})"
    annotation = shlex.quote(f"{ADOPT_ANNOTATION}={','.join(words)}")
    return f"kubectl annotate --overwrite monitoredcluster {shlex.quote(seen.name)} {annotation}"
