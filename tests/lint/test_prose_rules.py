"""Each prose rule (.vale/) finds its bad sentence and ignores a plain one, run with vale itself."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from dev.cluster.toolchain import RECIPES, cache_folder, folder_name

ROOT = Path(__file__).parents[2]
VALE = cache_folder(os.environ) / "bin" / folder_name(RECIPES["vale"]) / "vale"
RULES = sorted(path.stem for path in (ROOT / ".vale/styles/policyhub").glob("*.yml"))

BAD = [
    ("Dialect", "The doctor says how to mend it."),
    ("Dialect", "The finding is sent anew."),
    ("Dialect", "The analyst is told of it."),
    ("Dialect", "One replica is at work."),
    ("Dialect", "It moves when the clock on the wall does."),
    ("Dialect", "A value must be a number, and what is none is refused."),
    ("Dialect", "Findings that the cluster calls for are sent."),
    ("Inversion", "That costs no call, and a restart neither."),
    ("Inversion", "It does not archive them either; nothing does."),
    ("Subjects", "What is watched is named in the MonitoredCluster."),
    ("Subjects", "What was sent before waits."),
    ("Sales", "It simply works."),
    ("Sales", "A robust operator sends them."),
    ("Length", "The operator " + "reads a report and " * 9 + "sends a finding."),
]
GOOD = """# What is a finding?

The operator reads reports, and sends a finding for each violation. What is a finding? See [findings](x.md).

It sends neither `mend` nor `what is none`. Either of the two replicas is active.

```sh
echo "what is none is told anew"
```

| field | value |
|---|---|
| `simply` | a short cell |
"""


def alerts(text: str, folder: Path) -> list[str]:
    """The rules that a page breaks."""
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    command: list[str | Path] = [VALE, "--no-global", f"--config={ROOT / '.vale.ini'}", "--output=JSON", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  (built here)
    found = [alert["Check"].removeprefix("policyhub.") for of in json.loads(done.stdout).values() for alert in of]
    assert done.returncode == (1 if found else 0), done.stderr
    return found


@pytest.mark.parametrize(("rule", "sentence"), BAD, ids=[sentence[:30] for _, sentence in BAD])
def test_a_bad_sentence_is_found(rule: str, sentence: str, tmp_path: Path) -> None:
    """In a paragraph, in a list and in a table."""
    page = f"# A page\n\n{sentence}\n\n* {sentence}\n\n| a | b |\n|---|---|\n| c | {sentence} |\n"
    assert alerts(page, tmp_path) == [rule] * 3


def test_each_rule_has_a_sentence() -> None:
    """Each rule has a bad sentence above."""
    assert sorted({rule for rule, _ in BAD}) == RULES


def test_a_plain_page_passes(tmp_path: Path) -> None:
    """Code spans and blocks, questions, and 'either' within a sentence are ignored."""
    assert alerts(GOOD, tmp_path) == []
