"""What a condition repeats of others: short, on one line, and safe to paste."""

import shlex

import pytest

from policyhub.clock import SteadyMs
from policyhub.cluster import approval, conflict
from policyhub.cluster.conditions import guarded
from policyhub.cluster.snapshot import Findings, Foreign, Snapshot
from policyhub.sync.guard import GuardHold

HOSTILE = ["x,kyverno", "a'; reboot; '", "$(reboot)", "`reboot`", "-x", "a\nb", 'say "hi"', "Trivy ConfigAudit"]


def seen(*sources: str, findings: Findings | None = None) -> Snapshot:
    held = {source: GuardHold(since=SteadyMs(0), lost=30, total=40) for source in sources}
    return Snapshot(name="prod", identity="prod", account="1", region="r", guarded=held, findings=findings)


def commands(message: str) -> list[str]:
    """The two commands of the message, as they are pasted."""
    told = message.partition("for one hour: ")[2]
    ours, _, kubectl = told.partition("; or: kubectl annotate")
    return [ours, f"kubectl annotate{kubectl}"]


@pytest.mark.parametrize("source", HOSTILE)
def test_the_commands_approve_of_what_is_named_and_do_nothing_else(source: str) -> None:
    """Whatever a report calls its source, a shell reads one word, and the operator that very source."""
    ours, kubectl = commands(guarded(seen(source)).message)
    assert shlex.split(ours) == ["policyhub", "archive", "prod", f"--approve={source}"]
    *_, annotation = shlex.split(kubectl.replace("$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)", "2026-09-21T14:13:20Z"))
    assert set(approval.parse(annotation.partition("=")[2])) == {source}
    assert not set('$`"\\') & set(annotation)


def test_a_long_name_does_not_fill_a_condition() -> None:
    """Others' commands go first; a name that is too long for one is said to be."""
    long = "k" * 1_024
    message = guarded(seen(*(f"{long}{number}" for number in range(1_000)))).message
    assert len(message) < 1_500
    assert "--approve=NAME" in message
    assert "--approve=kyverno" in guarded(seen("a" * 1_000, "kyverno")).message


@pytest.mark.parametrize(
    ("uid", "command"),
    [
        ("5b2d7f1c", "policyhub.dev/adopt-uid=5b2d7f1c"),
        ("a; reboot", None),
        ("", "policyhub.dev/adopt-uid=none"),
        ("u" * 1_000, None),
    ],
)
def test_another_clusters_uid_is_quoted_or_left_out(uid: str, command: str | None) -> None:
    """Anybody who may import into the account may write one."""
    told = conflict.barring(seen(findings=Findings(cluster_uid="here", conflict=Foreign(number=30, uid=uid))))
    assert told is not None
    assert len(told.message) < 800
    if command is None:
        assert "kubectl" not in told.message
    else:
        assert told.message.endswith(f"monitoredcluster prod {command}")
