"""Creates the project's virtual environment: `python3 dev/bootstrap.py [LOCK …]`.

Needs only Python ≥ 3.11 with venv. Prints what it does, and does nothing if the environment matches the lock files.
Each package is verified against its locked hash.
"""

import hashlib
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
MINIMUM = (3, 11)


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"failed ({done.returncode}): {' '.join(str(part) for part in command)}")


def fingerprint(paths: list[Path]) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:2]}{ROOT}".encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def install(locks: list[str]) -> None:
    """Installs each lock into the environment, unless lock and pyproject.toml are unchanged since."""
    python = VENV / "bin" / "python"
    if not python.exists():
        say(f"creating {VENV.name} with Python {sys.version.split()[0]}")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    for lock in locks:
        path = ROOT / "requirements" / f"{lock}.lock"
        stamp = VENV / f".installed-{lock}"
        wanted = fingerprint([path, ROOT / "pyproject.toml"])
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        say(f"installing requirements/{lock}.lock into {VENV.name} (half a minute; only if the lock has changed)")
        start = time.monotonic()
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", path)
        if lock == "dev":
            run(
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--no-build-isolation",
                "--editable",
                ".",
            )
        stamp.write_text(wanted)
        say(f"requirements/{lock}.lock installed in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    if sys.version_info < MINIMUM:
        sys.exit(
            f"policyhub needs Python ≥ {'.'.join(map(str, MINIMUM))}, this is {sys.version.split()[0]}; "
            "choose another one with: make PYTHON=python3.12 …"
        )
    install(sys.argv[1:] or ["dev"])
