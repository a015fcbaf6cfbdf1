"""Which Go version is sufficient, how versions are pinned, and where built programs are stored."""

from dataclasses import replace
from pathlib import Path

import pytest

from dev.cluster.toolchain import (
    DEMO,
    RECIPES,
    Go,
    Recipe,
    ToolchainError,
    build_command,
    build_environment,
    cache_folder,
    ensure,
    find_go,
    folder_name,
    go_directive,
    go_version,
    installed_go,
    pinned,
)

GO_MOD = """
module example

go 1.24.0

require example.org/single v0.9.1

require (
	example.org/lib v1.2.3
	example.org/lib/v2 v2.0.0-rc.1 // indirect
)

replace example.org/lib => example.org/fork v9.9.9
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param("go version go1.26.8 linux/amd64\n", (1, 26, 8), id="release"),
        pytest.param("go version go1.27rc1 linux/arm64", (1, 27, 0), id="candidate"),
        pytest.param("go version go1.19 darwin/amd64", (1, 19, 0), id="without a patch number"),
        pytest.param("go version devel +abc Mon Jan 1 linux/amd64", None, id="development build"),
        pytest.param("go version go1.26.8-custom X:nocoverage linux/amd64", (1, 26, 8), id="vendor's build"),
        pytest.param("", None, id="nothing printed"),
    ],
)
def test_go_version(output: str, expected: tuple[int, int, int] | None) -> None:
    """It is read from the output of `go version`; unclear output has none."""
    assert go_version(output) == expected


def test_pinned() -> None:
    """A program's version is the one that its go.mod requires, whatever is replaced."""
    assert pinned(GO_MOD, "example.org/lib") == "v1.2.3"
    assert pinned(GO_MOD, "example.org/lib/v2") == "v2.0.0-rc.1"
    assert pinned(GO_MOD, "example.org/single") == "v0.9.1"
    assert go_directive(GO_MOD) == (1, 24, 0)
    with pytest.raises(ToolchainError, match=r"example\.org/other"):
        pinned(GO_MOD, "example.org/other")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_recipes_are_pinned(recipe: Recipe) -> None:
    """Every recipe has a module with checksums, and its version reaches the linker flags that name it."""
    assert recipe.version.startswith("v")
    assert (recipe.folder / "go.sum").exists()
    assert go_directive((recipe.folder / "go.mod").read_text(encoding="utf-8")) >= (1, 24, 0)
    assert "{" not in recipe.linker_flags
    assert not recipe.ldflags or recipe.version in recipe.linker_flags
    assert set(DEMO) <= RECIPES.keys()


def test_first_fitting_go_wins() -> None:
    """The machine's own Go is used if it is new enough, else the bundled one; an equal version is sufficient."""
    old = Go(Path("/old/go"), (1, 19, 8), bundled=False)
    bundled = Go(Path("/venv/go"), (1, 26, 0), bundled=True)
    assert find_go((1, 26, 0), [old, bundled]) == bundled
    assert find_go((1, 19, 0), [old, bundled]) == old
    with pytest.raises(ToolchainError, match=r"Go 1\.27\.0 or newer is needed; found: 1\.19\.8 at /old/go, 1\.26\.0"):
        find_go((1, 27, 0), [old, bundled])
    with pytest.raises(ToolchainError, match="found: none"):
        find_go((1, 26, 0), [])


def test_go_of_path_is_asked_first(tmp_path: Path) -> None:
    """A `go` on PATH is checked by its output; one with unusable output is skipped."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go version go1.99.1 linux/amd64\n")
    go.chmod(0o755)
    assert next(installed_go({"PATH": str(tmp_path)})) == Go(go, (1, 99, 1), bundled=False)
    go.write_text("#!/bin/sh\nexit 3\n")
    assert all(candidate.bundled for candidate in installed_go({"PATH": str(tmp_path)}))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/a"}, "/home/a/.cache/policyhub"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/var/c"}, "/var/c/policyhub"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/var/c", "POLICYHUB_CACHE": "/p"}, "/p"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "", "POLICYHUB_CACHE": ""}, "/home/a/.cache/policyhub"),
    ],
    ids=["home", "xdg", "explicit", "empty is unset"],
)
def test_cache_folder(environ: dict[str, str], expected: str) -> None:
    """POLICYHUB_CACHE precedes XDG_CACHE_HOME, which precedes HOME."""
    assert cache_folder(environ) == Path(expected)


def test_the_folder_name_follows_the_inputs_of_the_build() -> None:
    """Another pin, package or linker flag never finds the old binary; the estimate and the like change nothing."""
    recipe = RECIPES["kubectl"]
    name = folder_name(recipe)
    assert name.startswith(f"kubectl-{recipe.version}-")
    assert folder_name(replace(recipe, package="k8s.io/kubernetes/cmd/other")) != name
    assert folder_name(replace(recipe, ldflags=())) != name
    assert folder_name(replace(recipe, estimate="never", packages=1)) == name


def test_build_command_names_its_output() -> None:
    """The program is written to its place in the cache, stripped."""
    command = build_command(Path("/go"), RECIPES["etcd"], Path("/cache/etcd"))
    assert command[:2] == ("/go", "build")
    assert command[-3:] == ("-o", "/cache/etcd", ".")
    assert "-ldflags=-s -w" in command


def test_build_environment_keeps_proxy_and_fixes_the_rest() -> None:
    """The user's proxy settings stay; flags that would change the binary are removed; no newer toolchain is
    downloaded.
    """
    user = {"HOME": "/home/a", "GOPROXY": "off", "GOFLAGS": "-mod=vendor", "CGO_ENABLED": "1", "GOOS": "plan9"}
    env = build_environment(user, own_caches=None)
    assert env["GOPROXY"] == "off"
    assert env["GOTOOLCHAIN"] == "local"
    assert env["CGO_ENABLED"] == "0"
    assert build_environment(user, own_caches=None, c_compiler=True)["CGO_ENABLED"] == "1"
    assert "vendor" not in env["GOFLAGS"]
    assert env["GOOS"] != "plan9"
    assert "GOMODCACHE" not in env
    own = build_environment(user, own_caches=Path("/cache"))
    assert own["GOMODCACHE"] == "/cache/go-modules"
    assert "-modcacherw" in own["GOFLAGS"]


def test_ensure_takes_what_is_cached(tmp_path: Path) -> None:
    """A cached program is used without a Go toolchain and without output."""
    binary = tmp_path / "bin" / folder_name(RECIPES["helm"]) / "helm"
    binary.parent.mkdir(parents=True)
    binary.touch()
    reported: list[str] = []
    assert ensure("helm", progress=reported.append, environ={"POLICYHUB_CACHE": str(tmp_path)}) == binary
    assert reported == []


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """The compiler's output reaches the user with a remedy, and no incomplete program stays in the cache."""
    go = tmp_path / "go"
    go.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo go version go1.99.0 linux/amd64 && exit 0\n'
        "echo 'go: example.org/x: Get \"https://proxy.invalid\": dial tcp: lookup failed' >&2; exit 1\n"
    )
    go.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "POLICYHUB_CACHE": str(tmp_path / "cache")}
    reported: list[str] = []
    with pytest.raises(ToolchainError, match=r"(?s)dial tcp.*Possible remedy: .*GOPROXY"):
        ensure("etcd", progress=reported.append, environ=environ)
    assert reported[0].startswith("building etcd v3.")
    assert [entry.suffix for entry in (tmp_path / "cache" / "bin").iterdir()] == [".lock"]


def test_unknown_program() -> None:
    """A program without a recipe is rejected with the names of the known ones."""
    with pytest.raises(ToolchainError, match="known: etcd, kube-apiserver"):
        ensure("kubelet")
