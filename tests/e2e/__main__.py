"""`python -m tests.e2e`: the real engines, the operator and the local Security Hub in one story, as a table.

The exit code is 0 when all that was to hold held, 1 when something did not, 2 when the story could not be told to its
end, as where an engine ended by itself. The last line says which.
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
from dev.stand import StandError
from tests.e2e.judge import Row, table
from tests.e2e.recording import Recorder
from tests.e2e.stage import Stage, open_stage
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
        with open_stage(progress=_say) as stage:
            recorder = Recorder(stage.cluster, RECORDINGS) if chosen.record else None
            rows = stage.rows
            try:
                for step in STEPS[:count]:
                    stage.step(step.name, step.act, allowed=step.allowed, of=step.of)
                    if recorder is not None:
                        recorder.after(step.name)
            finally:
                if chosen.keep:
                    _keep(stage, chosen.keep)
                _say(table(rows))
    except (ToolchainError, StartError, HelmError, EngineError, StandError) as error:
        _say(str(error))
        _say(f"e2e: stopped at step {len(rows) + 1} of {count}")
        return 2
    bad = [row.name for row in rows if not row.good]
    minutes = (time.monotonic() - began) / 60
    verdict = f"BROKEN in {len(bad)}: {', '.join(bad)}" if bad else "all as it should be"
    _say(f"e2e: {len(rows)} steps in {minutes:.1f} min, {verdict}")
    return 1 if bad else 0


def _keep(stage: Stage, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operator.log").write_text("\n".join(map(json.dumps, stage.operator.log())))
    (folder / "journal.json").write_text(json.dumps(stage.hub.journal(), indent=1))
    (folder / "findings.json").write_text(json.dumps(stage.hub.findings(), indent=1))
    for engine in stage.scene.engines:
        (folder / f"{engine.name}.log").write_text(engine.log.read_text("utf-8", errors="replace"))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (prints its table)


if __name__ == "__main__":
    sys.exit(main())
