"""The progress and error messages of a Go build."""

import pytest

from dev.cluster.gobuild import Output, duration, explain


def test_output_tells_what_go_does() -> None:
    """Downloads, then compiled packages are counted; other output is kept for the error message."""
    output = Output()
    assert output.doing(100) == "reading the cached modules and packages"
    output.add("go: downloading example.org/x v1.0.0")
    assert output.doing(100) == "downloading modules, 1 so far"
    for line in ("internal/cpu", "example.org/x/v2/some-pkg", "# example.org/x", "x.go:1:2: undefined: y"):
        output.add(line)
    assert output.doing(100) == "compiled 2 of at most 100 packages, then links"
    assert output.doing(1) == "compiled 2 of at most 2 packages, then links"
    assert list(output.tail) == ["# example.org/x", "x.go:1:2: undefined: y"]


@pytest.mark.parametrize(
    ("line", "mending"),
    [
        ("write /x: no space left on device", "free about 4 GB"),
        ("compile: signal: killed", "out of memory"),
        ("Get https://x: dial tcp: i/o timeout", "GOPROXY"),
        ("verifying m@v1: checksum mismatch", "do not build"),
        ("mkdir /x: permission denied", "POLICYHUB_CACHE"),
    ],
)
def test_a_known_failure_has_a_remedy(line: str, mending: str) -> None:
    """An error shows go's own output and, for a known cause, the fix."""
    account = explain("etcd", 1, [line])
    assert line in account
    assert mending in account


def test_an_unknown_failure_has_no_remedy() -> None:
    """It shows go's output only."""
    assert explain("etcd", 2, ["x.go:1: odd"]) == "go build of etcd ended with 2:\n  x.go:1: odd"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s")])
def test_duration(seconds: float, text: str) -> None:
    """Durations in a readable form."""
    assert duration(seconds) == text
