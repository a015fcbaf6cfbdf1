"""`python -m tests.e2e`: the real engines, the operator and the local Security Hub in one story, as a table; exit code
1 where Security Hub differed for good from what the engines call for.
"""

import argparse
import json
import sys
from pathlib import Path

from dev.cluster.local import StartError
from dev.cluster.toolchain import ToolchainError
from dev.engines import EngineError
from dev.stand import StandError
from tests.e2e.judge import table
from tests.e2e.stage import Stage, open_stage
from tests.e2e.steps import STEPS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--last", choices=[step.name for step in STEPS], help="end after this step")
    parser.add_argument("--keep", type=Path, help="folder for logs and journal")
    chosen = parser.parse_args()
    count = [step.name for step in STEPS].index(chosen.last) + 1 if chosen.last else len(STEPS)
    try:
        with open_stage(progress=_say) as stage:
            try:
                for step in STEPS[:count]:
                    stage.step(step.name, step.act, allowed=step.allowed, of=step.of)
            finally:
                if chosen.keep:
                    _keep(stage, chosen.keep)
                _say(table(stage.rows))
    except (ToolchainError, StartError, EngineError, StandError) as error:
        _say(str(error))
        return 1
    return 0 if all(row.good for row in stage.rows) else 1


def _keep(stage: Stage, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operator.log").write_text("\n".join(map(json.dumps, stage.operator.log())))
    (folder / "journal.json").write_text(json.dumps(stage.hub.journal(), indent=1))
    (folder / "findings.json").write_text(json.dumps(stage.hub.findings(), indent=1))
    for engine in stage.engines:
        (folder / f"{engine.name}.log").write_text(engine.log.read_text("utf-8", errors="replace"))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (prints its table)


if __name__ == "__main__":
    sys.exit(main())
