"""Attacks with texts: too long, active in a terminal or a shell, or of the wrong type."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.hostile.checker import MARK, TENANT
from tests.hostile.harness import HOME
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import PATHS, report, result, workload

LONG = 40_000
NASTY = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\u2066 \x9b31m \x7f \u0000 \u2028 \ud83d" + MARK
"""Escape sequences, bidirectional overrides, C1, DEL, NUL, a line separator, half of a surrogate pair."""
SHELL_COUNT = 25
"""From this many on, findings of one engine that end at once are held for approval (docs/archiving.md)."""


@scenario("blanks", seconds=14, restart=True)
def blanks(context: Context) -> None:
    """A category of 300,000 blanks between two letters, in reports of both kinds: a pattern with a trailing repetition
    takes minutes for it.
    """
    for kind in ("PolicyReport", "Report"):
        for member in ("category", "rule", "policy", "message", "severity"):
            text = {member: "a" + " " * 300_000 + "b"}
            context.tenant.put(report(f"blanks-{member}", result("wide", "one", **text), kind=kind))
        many = " ".join("CIS 1." + " " * 30_000 for _ in range(10))
        context.tenant.put(report("blanks-controls", result("wide", "two", category=many), kind=kind))


@scenario("long texts")
def long_texts(context: Context) -> None:
    """Every text of a result very long, one after the other and all at once; keys of properties too."""
    everything: dict[str, Any] = {}
    for member in ("source", "policy", "rule", "category", "severity", "message"):
        text = f"{member} " + "x" * LONG
        everything[member] = text
        context.tenant.put(report(f"long-{member}", result("long", "one", **{member: text})))
    properties = {f"{number} " + "k" * 5_000: "v" * 5_000 for number in range(20)}
    everything["properties"] = properties
    everything["resources"] = [
        {"apiVersion": "v" * LONG, "kind": "K" * LONG, "namespace": TENANT, "name": "n" * LONG, "uid": "u" * LONG}
    ]
    context.tenant.put(report("long-properties", result("long", "two", properties=properties)))
    context.tenant.put(report("long-object", result("long", "three", resources=everything["resources"])))
    context.tenant.put(report("long-everything", result("long", "four", **everything)))
    context.tenant.put(report("long-open", result("long", "five", **everything), kind="Report", source="s" * LONG))


@scenario("control characters", expected_texts=())
def control_characters(context: Context) -> None:
    """Escape sequences, bidirectional overrides and half surrogates in every text that people read later."""
    members: dict[str, Any] = {
        member: f"{member} {NASTY}" for member in ("source", "policy", "rule", "category", "severity", "message")
    }
    members["properties"] = {f"key {NASTY}": f"value {NASTY}"}
    members["resources"] = [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": TENANT, "name": f"n{NASTY}"}]
    for kind in ("PolicyReport", "Report"):
        for member, text in members.items():
            context.tenant.put(report(f"nasty-{member}", result("nasty", "one", **{member: text}), kind=kind))
        many = [result(f"p{number}", f"o{number}", source=members["source"]) for number in range(SHELL_COUNT)]
        context.tenant.put(report("nasty-source", *many, kind=kind))
    context.expect(
        lambda: len(context.harness.active("p0")) > 0, "no finding of the engine with a nasty name", seconds=10
    )
    for kind in ("PolicyReport", "Report"):
        context.tenant.delete(kind, "nasty-source")
    context.tenant.put(workload("Pod", "nasty", annotations={"deployment.kubernetes.io/revision": NASTY}))


@scenario("numbers", expected_texts=())
def numbers(context: Context) -> None:
    """Times and numbers of thousands of digits, times before year 1 and after year 9999, and texts instead of
    numbers.
    """
    times: list[Any] = [
        {"seconds": 10**300, "nanos": 0}, {"seconds": -(10**18), "nanos": -1}, {"seconds": 10**18, "nanos": 10**12},
        {"seconds": 1.5e300, "nanos": 0.1}, {"seconds": "9" * 5_000}, {"seconds": True}, "2026-01-01T00:00:00Z", [], 0,
        {"seconds": -62135596801}, {"seconds": 253402300800}, None,
    ]  # fmt: skip
    for number, stamp in enumerate(times):
        context.tenant.put(report(f"time-{number}", result("timed", f"o{number}", timestamp=stamp)))
    for number, digits in enumerate((400, 5_000)):
        text = json.dumps(
            report(f"digits-{number}", result("timed", f"d{number}", timestamp={"seconds": 0, "nanos": 0}))
        )
        for raw in (text.replace('"seconds": 0', f'"seconds": {"9" * digits}'), text.replace(": 0", f": 1e{digits}")):
            context.tenant.send("POST", PATHS["PolicyReport"], raw.encode())
    totals = {"pass": 10**15, "fail": -1, "warn": "9" * 4_301, "error": 1e308, "skip": None}
    context.tenant.put(report("summary", result("timed", "summary"), summary=totals))
    context.tenant.put(report("weights", result("timed", "weights", properties={"resultID": "9" * 4_301, "n": 10**30})))


@scenario("deep JSON", expected_texts=())
def deep(context: Context) -> None:
    """Lists nested as deeply as the API server allows, in place of a text or of an unknown member."""
    frame = json.dumps(report("deep", result("deep", "one", properties={"a": "HERE"}), scope={"x": "HERE"}))
    for depth in (100, 1_000, 5_000, 9_000, 100_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            middle = "1" if closing == "}" else ""
            nested = opening * depth + middle + closing * depth
            text = frame.replace('"HERE"', nested).replace('"deep"', f'"deep-{depth}-{ord(opening[0])}"', 1)
            context.tenant.send("POST", PATHS["PolicyReport"], text.encode())
            text = json.dumps(report(f"typed-{depth}-{ord(opening[0])}", result("deep", "two", message="HERE")))
            context.tenant.send("POST", PATHS["PolicyReport"], text.replace('"HERE"', nested).encode())


@scenario("names outside the grammar")
def grammar(context: Context) -> None:
    """Kinds, API versions, namespaces and names that no API server accepts."""
    for number, text in enumerate(
        (
            "",
            " ",
            "../../secrets",
            "a/b/c/d",
            "Pod\n",
            "=cmd|' /C calc'!A0",
            "<script>alert(1)</script>",
            "Ünïcode",
            "%2e",
            "-",
        )
    ):
        for member in ("apiVersion", "kind", "namespace", "name"):
            about = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": TENANT, "name": "fine", member: text}
            context.tenant.put(report(f"grammar-{member.lower()}-{number}", result("grammar", "", resources=[about])))
            context.tenant.put(
                report(f"scope-{member.lower()}-{number}", result("grammar", "", resources=[]), scope=about)
            )


@scenario("shell text in a command", expected_texts=())
def shell(context: Context) -> None:
    """Engines with shell text as names lose all their findings at once. The status prints a command that archives them:
    pasted into a shell, it runs only that command.
    """
    folder = Path(context.stack.enter_context(tempfile.TemporaryDirectory()))
    canary = folder / "canary"
    sources = [
        f"a'; touch {canary}; echo '", f'b"; touch {canary}; echo "', f"c $(touch {canary})", f"d `touch {canary}`",
        f"e\ntouch {canary}\n", f"f'\"$(touch {canary})\"'", "!" + "x" * 33_000,
    ]  # fmt: skip
    for number, source in enumerate(sources):
        results = [result(f"s{number}", f"o{index}", source=source) for index in range(SHELL_COUNT)]
        context.tenant.put(report(f"shell-{number}", *results))
    context.expect(
        lambda: len(context.harness.active(f"s{len(sources) - 2}")) >= SHELL_COUNT, "no findings of these engines"
    )
    tried = 0
    for number in range(len(sources)):
        context.tenant.delete("PolicyReport", f"shell-{number}")
        context.expect(
            lambda: "True" in context.harness.world.condition("ArchiveHeld", HOME)["status"], "no archive was held"
        )
        message = context.harness.world.condition("ArchiveHeld", HOME)["message"]
        tried += _paste(message, folder)
        if canary.exists():
            canary.unlink()
            context.problems.append(f"the command in ArchiveHeld runs what an engine is called: {message[-300:]!r}")
    if not tried:
        context.problems.append("ArchiveHeld printed no command to try")


def _paste(message: str, folder: Path) -> int:
    """Run the command in the message (after a colon, before `; or:`), with stub programs that do nothing. Returns how
    many ran.
    """
    for program in ("policyhub", "kubectl"):
        stub = folder / program
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o700)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    commands = re.findall(r"((?:policyhub archive|kubectl annotate) .*?)(?=; or: |$)", message, flags=re.DOTALL)
    for command in commands:
        subprocess.run(  # noqa: S603  (harmless: the point is that it does nothing)
            ["/bin/sh", "-c", command], env={"PATH": path}, cwd=folder, timeout=10, check=False, capture_output=True
        )
    return len(commands)


@scenario("approvals of another engine", expected_texts=())
def approvals(context: Context) -> None:
    """An engine called `x,vault` loses all its findings, and an admin approves with the command in the status. Findings
    that the engine `vault` loses a moment later are held all the same.
    """
    names = ["x,vault", "x@2099-01-01T00:00:00Z,vault", "vault,x"]
    vault = [result("attic", f"kept-{number}", source="vault") for number in range(SHELL_COUNT)]
    context.harness.guest("attic", report("vault", *vault))
    context.stack.callback(context.harness.leave, "attic")
    for number, name in enumerate(names):
        results = [result(f"x{number}", f"o{index}", source=name) for index in range(SHELL_COUNT)]
        context.tenant.put(report(f"approved-{number}", *results))
    context.expect(lambda: len(context.harness.active("attic")) >= SHELL_COUNT, "no findings of the engine vault")
    context.expect(lambda: len(context.harness.active("x2")) >= SHELL_COUNT, "no findings of the engines with commas")
    for number in range(len(names)):
        context.tenant.delete("PolicyReport", f"approved-{number}")
    context.expect(
        lambda: context.harness.world.condition("ArchiveHeld", HOME)["status"] == "True", "no archive was held"
    )
    for name in names:
        _approve(context, name)
    context.harness.leave("attic")
    context.afterwards.append(lambda: _still_held(context))


def _approve(context: Context, source: str) -> None:
    """Approve as `policyhub archive` does, with its own program."""
    config = context.harness.world.cluster.kubeconfig_file(context.harness.folder / "admin.kubeconfig")
    command = [str(Path(sys.executable).parent / "policyhub"), "archive", HOME, f"--approve={source}"]
    subprocess.run(  # noqa: S603  (our own program)
        command, env={**os.environ, "KUBECONFIG": str(config)}, timeout=60, check=False, capture_output=True
    )


def _still_held(context: Context) -> None:
    if (left := len(context.harness.active("attic"))) < SHELL_COUNT:
        context.problems.append(f"an approval for another engine archived {SHELL_COUNT - left} findings of vault")
