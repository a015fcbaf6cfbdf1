"""Foreign text in conditions: short, on one line, and safe to paste."""

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
    """The two commands of the message, as pasted."""
    output = message.partition("for one hour: ")[2]
    ours, _, kubectl = output.partition("; or: kubectl annotate")
    return [ours, f"kubectl annotate{kubectl}"]


@pytest.mark.parametrize("source", HOSTILE)
def test_the_commands_approve_only_the_named_engine(source: str) -> None:
    """Whatever name a report gives its source, a shell reads one word, and the operator exactly that source."""
    ours, kubectl = commands(guarded(seen(source)).message)
    assert shlex.split(ours) == ["policyhub", "archive", "prod", f"--approve={source}"]
    *_, annotation = shlex.split(kubectl.replace("$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)", "2026-09-21T14:13:20Z"))
    assert set(approval.parse(annotation.partition("=")[2])) == {source}
    assert not set('$`"\\') & set(annotation)


def test_a_long_name_does_not_fill_a_condition() -> None:
    """Commands of other engines come first; a name that is too long for a command is reported."""
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
    """Anybody with import permission in the account can write one."""
    output = conflict.barring(seen(findings=Findings(cluster_uid="here", conflict=Foreign(number=30, uid=uid))))
    assert output is not None
    assert len(output.message) < 800
    if command is None:
        assert "kubectl" not in output.message
    else:
        assert output.message.endswith(f"monitoredcluster prod {command}")
