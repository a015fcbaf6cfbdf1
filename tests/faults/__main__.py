"""`python -m tests.faults`: every fault with several seeds, as a table; exit code 1 where a promise was broken."""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from dev.cluster import ControlPlane
from tests.faults.run import FAULTS, Arena, Result, run


def seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def tell(result: Result) -> None:
    verdict = result.verdict
    again = f"python -m tests.faults --fault '{result.fault}' --seeds {result.seed}"
    print(f"{'ok' if result.good else 'BROKEN'}  {result.fault}, seed {result.seed}: {result.events} changes,"
          f" {verdict.imports} imports, {verdict.redundant} redundant, as it should be after {result.seconds:.1f} s",
          flush=True)  # fmt: skip
    if not result.good:
        for name in ("missing", "stale", "double", "wrong", "triage", "moved"):
            for line in getattr(verdict, name)[:5]:
                print(f"    {name}: {line}")
        print(f"    again: {again}", flush=True)


def table(results: list[Result]) -> str:
    rows = defaultdict(list)
    for result in results:
        rows[result.fault].append(result)
    lines = [
        "| fault | seeds | changes | imports | lasting | wrong | lost | left open | double | triage | redundant |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, runs in rows.items():
        verdicts = [result.verdict for result in runs]
        numbers = [
            sum(result.events for result in runs),
            sum(v.imports for v in verdicts),
            sum(v.still for v in verdicts),
            *(
                sum(len(getattr(v, name)) for v in verdicts)
                for name in ("wrong", "missing", "stale", "double", "triage")
            ),
            sum(v.redundant for v in verdicts),
        ]
        named = ", ".join(str(result.seed) for result in runs)
        lines.append(f"| {fault} | {named} | " + " | ".join(str(number) for number in numbers) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("1-3"), help="one, or first-last")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only these")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the cluster changes in each run")
    chosen = parser.parse_args()
    results = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane.start(progress=print) as plane,
        Arena.open(plane, Path(folder)) as arena,
    ):
        for fault in chosen.fault or FAULTS:
            for seed in chosen.seeds:
                result = run(arena, fault, seed=seed, seconds=chosen.seconds)
                tell(result)
                results.append(result)
    print(table(results))
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
