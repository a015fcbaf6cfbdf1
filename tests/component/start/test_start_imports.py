"""The modules that the operator loads at its start, which take most of the start's time."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from policyhub.kube.kubeconfig import Access
from policyhub.kube.trust import trust
from policyhub.loading import sparing

UNUSED = ("boto3", "jinja2", "kubernetes", "pydantic_settings", "pygments", "requests", "rich", "s3transfer")
"""Packages that the operator's process does not need; some are for the command line or tests."""
OTHER_COMMANDS = ("clusters", "doctor", "iam", "render", "retire", "triage")


_PROGRAM = """
import os, sys
def end(code, real=os._exit):
    print(*sys.modules, sep="\\n", flush=True)
    real(code)
os._exit = end
from policyhub.cli.main import app
app(["run", "--metrics-port", "0"])
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The modules that `policyhub run` has loaded when it finds no cluster."""
    folder: Path = tmp_path_factory.mktemp("home")
    done = subprocess.run(  # noqa: S603  (this project's own program)
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "HOME": str(folder), "KUBECONFIG": str(folder / "none")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "no_home_cluster" in done.stderr
    return frozenset(done.stdout.split())


def test_unused_libraries_are_not_loaded(loaded: frozenset[str]) -> None:
    """Not even those that another library loads if it can."""
    assert {"aiohttp", "botocore", "kopf", "policyhub.app"} <= loaded
    assert sorted(name for name in loaded if name.partition(".")[0] in UNUSED) == []


def test_other_commands_are_not_loaded(loaded: frozenset[str]) -> None:
    """Only their flags, which are in `policyhub.cli`."""
    assert {"policyhub.cli.doctor", "policyhub.cli.render"} <= loaded
    others = tuple(f"policyhub.{name}" for name in OTHER_COMMANDS)
    assert {name for name in loaded if name.startswith(others)} == set()


@pytest.mark.parametrize("certificates", [None, "/etc/ssl/own.pem"])
def test_skipped_parts_are_available_later(certificates: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage collection, rich and the system's CA certificates: also if loading fails."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    if certificates is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", certificates)

    def load() -> None:
        assert not gc.isenabled()
        with pytest.raises(ModuleNotFoundError):
            import rich  # noqa: F401, PLC0415  (is tried)
        raise OSError

    with pytest.raises(OSError, match=r"^$"), sparing():
        load()
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert frozen
    assert gc.isenabled()
    assert os.environ.get("SSL_CERT_FILE") == certificates
    import rich.table  # noqa: F401, PLC0415  (is tried)


def test_system_certificates_work_after_loading() -> None:
    """A cluster whose kubeconfig names no CA is verified with the system's, as before."""
    before = trust(Access(server="https://cluster.example.com")).cert_store_stats()
    with sparing():
        pass
    gc.unfreeze()
    assert trust(Access(server="https://cluster.example.com")).cert_store_stats() == before
