"""The StackSet commands of docs/fleet.md in a shell, with a stub in place of `aws`."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

PAGE = (Path(__file__).parents[3] / "docs/fleet.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.partition("\n## Step by step\n")[2].partition("\n## ")[0], re.DOTALL)
(CREATE,) = (block for block in BLOCKS if "create-stack-set " in block)
(UPDATE,) = (block for block in BLOCKS if "finish update-stack-set" in block and block != CREATE)
AWS = r"""#!/bin/bash
printf '%q ' "$@" >> calls; echo >> calls
case $2 in
  create-stack-instances|update-stack-set) [ -z "$REFUSED" ] || exit 254; echo "op-$2" ;;
  describe-stack-set-operation) head -n 1 states; sed -i 1d states ;;
  list-stack-set-operation-results) printf '444455556666\teu-west-1\tFAILED\tno such cluster\n' ;;
esac
"""


def called(folder: Path, script: str, states: list[str], **environment: str) -> tuple[int, list[tuple[str, list[str]]]]:
    """The exit code, and each call: the command of `aws cloudformation`, and its arguments."""
    for name, text in (("aws", AWS), ("sleep", "#!/bin/bash\necho sleep >> calls\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "states").write_text("".join(f"{state}\n" for state in states))
    given = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "REFUSED": "", **environment}
    done = subprocess.run(["/bin/bash", "-uc", script], cwd=folder, env=given, check=False)  # noqa: S603  (the page's)
    lines = [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]
    return done.returncode, [("sleep", []) if line == ["sleep"] else (line[1], line[2:]) for line in lines]


def flags(arguments: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for argument in arguments:
        if argument.startswith("--"):
            found[argument] = values = []
        else:
            values.append(argument)
    return found


def test_each_operation_ends_before_the_next_begins(tmp_path: Path) -> None:
    """CloudFormation rejects an operation while another one runs. Create and update wait for its end."""
    (region,) = re.findall(r"`(REGIONS=\S+ targets)`", PAGE)
    code, calls = called(tmp_path, f"{CREATE}{UPDATE}{region}\n", ["QUEUED", "RUNNING", *["SUCCEEDED"] * 3])
    assert code == 0
    waited = ["describe-stack-set-operation", "list-stack-set-operation-results"]
    assert [name for name, _ in calls] == [
        "create-stack-set",
        "create-stack-instances",
        *["describe-stack-set-operation", "sleep"] * 2,
        *waited,
        "update-stack-set",
        *waited,
        "create-stack-instances",
        *waited,
    ]
    (added,) = (flags(arguments) for name, arguments in calls[-3:] if name == "create-stack-instances")
    assert added["--regions"] == ["us-west-2"]
    assert "RegionOrder=us-west-2,Failure" in added["--operation-preferences"][0]
    started = ""
    for name, arguments in calls:
        if name in {"create-stack-instances", "update-stack-set"}:
            started = f"op-{name}"
        elif name in waited:
            assert flags(arguments)["--operation-id"] == [started]


@pytest.mark.parametrize("state", ["FAILED", "STOPPED"])
def test_a_failed_operation_is_reported(tmp_path: Path, state: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The last command fails, and prints the stack and the reason."""
    code, _ = called(tmp_path, CREATE, ["RUNNING", state])
    assert code != 0
    assert capfd.readouterr().out == "444455556666\teu-west-1\tFAILED\tno such cluster\n"


def test_a_refused_operation_is_not_awaited(tmp_path: Path) -> None:
    """There is no operation to wait for."""
    code, calls = called(tmp_path, CREATE, [], REFUSED="yes")
    assert (code, [name for name, _ in calls]) == (254, ["create-stack-set", "create-stack-instances"])


def test_every_flag_exists_in_aws(tmp_path: Path) -> None:
    """Flags, and keys and values of the operation's preferences, are those of CloudFormation's API. One Region at a
    time, the role's first; no account's failure stops the others.
    """
    _, calls = called(tmp_path, CREATE + UPDATE, ["SUCCEEDED"] * 2)
    model = botocore.session.get_session().get_service_model("cloudformation")
    operations = {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}
    preferences: list[dict[str, Any]] = []
    for name, arguments in calls:
        given = flags(arguments)
        members = operations[name].input_shape.members
        assert given.keys() <= {f"--{xform_name(member, '-')}" for member in members} | {
            "--region",
            "--query",
            "--output",
        }
        assert given["--stack-set-name"] == ["policyhub"]
        for text in given.get("--operation-preferences", []):
            found = dict(part.split("=") for part in re.split(r",(?=[A-Za-z]+=)", text))
            shape = members["OperationPreferences"].members
            assert found.keys() <= shape.keys()
            assert all(
                value in getattr(shape[key], "enum", ()) or not getattr(shape[key], "enum", ())
                for key, value in found.items()
            )
            preferences.append(found)
        if name == "create-stack-instances":
            assert given["--regions"] == ["eu-west-1", "us-east-1"]
    assert preferences == 2 * [
        {
            "RegionConcurrencyType": "SEQUENTIAL",
            "RegionOrder": "eu-west-1,us-east-1",
            "FailureTolerancePercentage": "100",
            "MaxConcurrentPercentage": "100",
            "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE",
        }
    ]
