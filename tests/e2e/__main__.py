"""`python -m tests.e2e` runs the real engines, the operator and the local Security Hub through one story, and prints a
table.

Exit code 0: every check held. 1: a check failed. 2: the story stopped before its end, for example because an engine
ended on its own. The last line has the result.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from dev.cluster.helm import HelmError
from dev.cluster.local import StartError
from dev.cluster.toolchain import ToolchainError
from dev.engines import EngineError
from dev.testbed import OperatorError
from tests.e2e.checker import Row, table
from tests.e2e.environment import Environment, open_environment
from tests.e2e.recording import Recorder
from tests.e2e.steps import STEPS

RECORDINGS = Path(__file__).parents[1] / "data" / "engines"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--last", choices=[step.name for step in STEPS], help="end after this step")
    parser.add_argument("--keep", type=Path, help="folder for logs and journal")
    parser.add_argument("--record", action="store_true", help=f"write what the engines wrote to {RECORDINGS.name}")
    chosen = parser.parse_args()
    count = [step.name for step in STEPS].index(chosen.last) + 1 if chosen.last else len(STEPS)
    began = time.monotonic()
    rows: list[Row] = []
    try:
        with open_environment(progress=_print) as env:
            recorder = Recorder(env.cluster, RECORDINGS) if chosen.record else None
            rows = env.rows
            try:
                for step in STEPS[:count]:
                    env.step(step.name, step.act, allowed=step.allowed, of=step.of)
                    if recorder is not None:
                        recorder.after(step.name)
            finally:
                if chosen.keep:
                    _keep(env, chosen.keep)
                _print(table(rows))
    except (ToolchainError, StartError, HelmError, EngineError, OperatorError) as error:
        _print(str(error))
        _print(f"e2e: stopped at step {len(rows) + 1} of {count}")
        return 2
    bad = [row.name for row in rows if not row.good]
    minutes = (time.monotonic() - began) / 60
    verdict = f"BROKEN in {len(bad)}: {', '.join(bad)}" if bad else "all as it should be"
    _print(f"e2e: {len(rows)} steps in {minutes:.1f} min, {verdict}")
    return 1 if bad else 0


def _keep(env: Environment, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operator.log").write_text("\n".join(map(json.dumps, env.operator.log())))
    (folder / "journal.json").write_text(json.dumps(env.hub.journal(), indent=1))
    (folder / "findings.json").write_text(json.dumps(env.hub.findings(), indent=1))
    for engine in env.scene.engines:
        (folder / f"{engine.name}.log").write_text(engine.log.read_text("utf-8", errors="replace"))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (prints its table)


if __name__ == "__main__":
    sys.exit(main())
