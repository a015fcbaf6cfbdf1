"""The messages of `policyhub retire`. Pure: no I/O, no clock."""

import shlex
from collections import Counter
from collections.abc import Mapping

from policyhub.cluster.conflict import ADOPT_NONE
from policyhub.cluster.formatting import counted, retire_command
from policyhub.model.text import line
from policyhub.model.violation import SEVERITIES
from policyhub.retire.target import Target
from policyhub.securityhub.retirement import Kind
from policyhub.sync.entry import WORKFLOW

OTHER = "(other)"
NAMES = 10
"""Other clusters that are listed by name."""


def summary(target: Target, found: Mapping[Kind, int]) -> str:
    """Counts by severity and workflow status, and what is not changed."""
    selected = {kind: number for kind, number in found.items() if kind[0] in target.uids}
    account, region, *_ = target.hub
    lines = [f"Active findings of {line(target.identity)} in account {account}, {region}", ""]
    if target.uids:
        lines += [
            f"of the cluster with uid {', '.join(sorted(map(uid_argument, target.uids)))}:",
            "",
            *_table(selected),
            "",
        ]
    others = Counter[str]()
    for (uid, _, _), number in found.items():
        if uid not in target.uids:
            others[uid] += number
    for uid, number in others.most_common(NAMES):
        lines.append(f"Not touched: {counted(number, 'finding')} of the cluster with uid {uid_argument(uid)}")
    if len(others) > NAMES:
        lines.append(f"Not touched: those of {counted(len(others) - NAMES, 'more uid')}")
    lines.append("Not touched: workflow status, notes and other fields of analysts; findings of other identities")
    return "\n".join(lines)


def _table(found: Mapping[Kind, int]) -> list[str]:
    cells: Counter[tuple[str, str]] = Counter()
    for (_, severity, status), number in found.items():
        row = severity if severity in SEVERITIES else OTHER
        cells[row, status if status in WORKFLOW else OTHER] += number
    columns = [*WORKFLOW, *([OTHER] if any(column == OTHER for _, column in cells) else [])]
    rows = [severity for severity in (*SEVERITIES, OTHER) if any(row == severity for row, _ in cells)]
    written = [["SEVERITY", *columns, "TOTAL"]]
    for row in rows:
        counts = [cells[row, column] for column in columns]
        written.append([row, *map(str, counts), str(sum(counts))])
    totals = [sum(cells[row, column] for row in rows) for column in columns]
    written.append(["TOTAL", *map(str, totals), str(sum(totals))])
    widths = [max(map(len, column)) for column in zip(*written, strict=True)]
    return [
        "   ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in written
    ]


def uid_argument(uid: str) -> str:
    """As the option --uid takes it."""
    return line(uid, 64) or ADOPT_NONE


def command(target: Target, uids: frozenset[str]) -> str:
    """The command that archives the findings, if no MonitoredCluster supplies the other options."""
    account, region, role, external = target.hub
    return retire_command(
        target.identity,
        uids=map(uid_argument, sorted(uids)),
        account=account,
        region=region,
        role_arn=role,
        external_id=external,
        yes=True,
    )


def still_written_message(target: Target) -> str:
    """Why the findings are not archived, and what to do."""
    name = shlex.quote(target.writer)
    after = command(target, target.uids)
    return (
        f"nothing was archived: MonitoredCluster {target.writer} still sends these findings, so the operator would"
        " send them again at once. If you take the cluster down, delete the MonitoredCluster first:\n"
        f"  kubectl delete monitoredcluster {name}\n"
        f"  {after}\n"
        "With spec.deletionPolicy: Archive, the operator archives them when the MonitoredCluster is deleted."
    )


def uid_missing(target: Target, found: Mapping[Kind, int]) -> str:
    """No uid was given, and no MonitoredCluster has one."""
    existing = sorted({uid for uid, _, _ in found})
    if not existing:
        return "There is nothing to archive."
    commands = "\n".join(f"  {command(target, frozenset({uid}))}" for uid in existing[:NAMES])
    return (
        "No MonitoredCluster has the uid of the cluster, so nothing was archived. Give the uid of the cluster's"
        f" namespace kube-system:\n{commands}"
    )
