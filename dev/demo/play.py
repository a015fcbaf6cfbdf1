"""Runs the steps of the demo in order, and reports the result."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from dev.cluster import ApiError, StartError, ToolchainError, UnreachableError
from dev.cluster.helm import HelmError
from dev.demo.closing import sum_up, what_an_admin_sees
from dev.demo.fleet import open_stage as open_fleet
from dev.demo.live import open_stage as open_live
from dev.demo.opening import open_stage
from dev.demo.screen import Screen
from dev.demo.stage import Stage
from dev.demo.story import (
    a_fix_is_archived,
    a_pass_rewrites_everything,
    a_relapse,
    an_analyst_triages,
    violations_become_findings,
)
from dev.engines import EngineError
from dev.testbed import Home, OperatorError

STEPS = (
    violations_become_findings,
    a_pass_rewrites_everything,
    an_analyst_triages,
    a_fix_is_archived,
    a_relapse,
    what_an_admin_sees,
    sum_up,
)

_TROUBLE = (OperatorError, StartError, ToolchainError, HelmError, ApiError, UnreachableError, EngineError)
"""Errors with a message for the user."""


Step = Callable[[Stage], None]


class Opening(Protocol):
    """Starts what a story needs, and returns its steps."""

    def __call__(self, screen: Screen, stack: ExitStack, *, home: Home) -> tuple[Stage, Sequence[Step]]: ...


def opening_of(*, engines: bool, fleet: bool) -> Opening:
    """With the real `engines` (dev/demo/live.py), with a `fleet` (dev/demo/fleet.py), or the default story."""
    if engines:
        return _with_engines
    return _fleet if fleet else _alone


def play(screen: Screen, stack: ExitStack, opening: Opening, *, keep: bool, home: Home) -> int:
    """Returns the exit code. `stack` stops what was started. `home`: where the operator runs."""
    started = time.monotonic()
    try:
        stage, steps = opening(screen, stack, home=home)
        for step in steps:
            step(stage)
    except _TROUBLE as error:
        screen.fail(str(error))
        return 1
    screen.step(f"Finished after {time.monotonic() - started:.0f} s")
    if stage.failures:
        screen.fail(f"{len(stage.failures)} expectations of the demo were not met: {'; '.join(stage.failures)}")
    else:
        screen.say("Everything worked as expected.")
    if keep:
        _keep(stage)
    else:
        screen.say(
            f"The operator exited {stage.operator.stop():.1f} s after SIGTERM. With --keep, everything keeps running."
        )
    return 1 if stage.failures else 0


def _alone(screen: Screen, stack: ExitStack, *, home: Home) -> tuple[Stage, Sequence[Step]]:
    return open_stage(screen, stack, home=home), STEPS


def _fleet(screen: Screen, stack: ExitStack, *, home: Home) -> tuple[Stage, Sequence[Step]]:
    stage, fleet = open_fleet(screen, stack, home=home)
    return stage, fleet.steps


def _with_engines(screen: Screen, stack: ExitStack, *, home: Home) -> tuple[Stage, Sequence[Step]]:
    stage, live = open_live(screen, stack, home=home)
    own = (live.the_company_appears, live.a_rollout_is_silent, live.a_fix_is_archived)
    return stage, (*own, what_an_admin_sees, sum_up)


def _keep(stage: Stage) -> None:
    path = stage.cluster.kubeconfig_file(stage.folder / "admin.kubeconfig")
    stage.screen.say("Everything keeps running until ctrl-c:")
    stage.screen.say(f"findings page  {stage.hub.url}/")
    stage.screen.say(f"metrics        http://127.0.0.1:{stage.operator.port}/metrics")
    stage.screen.say(f"cluster        export KUBECONFIG={path}")
    variables = stage.hub.env()
    asked = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    stage.screen.say(f"AWS            export {' '.join(f'{name}={variables[name]}' for name in asked)}")
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()
