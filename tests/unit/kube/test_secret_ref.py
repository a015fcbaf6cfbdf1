"""Errors of the Secret with a kubeconfig, each with its next step."""

import base64
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from policyhub.kube import secret
from policyhub.kube.errors import Refused
from policyhub.kube.kubeconfig import KubeconfigError

PLACE = secret.SecretKeyRef("policyhub", "prod-us", "kubeconfig")
CREATE = "kubectl -n policyhub create secret generic prod-us --from-file=kubeconfig=FILE"
PUT = "kubectl -n policyhub patch secret prod-us -p "


def answer(**data: object) -> bytes:
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("status", "found", "remedy"),
    [
        pytest.param(404, "Secret policyhub/prod-us does not exist", CREATE, id="missing"),
        pytest.param(
            403,
            "the operator may not read Secret policyhub/prod-us",
            "add {namespace: policyhub, name: prod-us} to the chart's kubeconfigSecrets",
            id="forbidden",
        ),
        pytest.param(500, "cannot be read: 500", "reads it again by itself", id="an error"),
    ],
)
def test_a_missing_secret(status: int, found: str, remedy: str) -> None:
    """Each error has its own next step, and no other's."""
    error = secret.refused(PLACE, Refused(status, "Reason", "said the server"))
    assert found in error.found
    assert remedy in error.remedy
    assert ("create secret" in str(error)) == (status == 404)
    assert ("kubeconfigSecrets" in str(error)) == (status == 403)
    assert str(error) == f"{error.found}. {error.remedy}"


@pytest.mark.parametrize(
    ("raw", "found", "remedy"),
    [
        pytest.param(
            answer(config="eA==", other="eA=="),
            "has no key kubeconfig; its keys: config, other",
            "Set spec.connection.kubeconfigSecretRef.key",
            id="another key",
        ),
        pytest.param(answer(), "has no key kubeconfig; its keys: none", PUT, id="no key at all"),
        pytest.param(
            answer(**{f"k{number}": "" for number in range(9)}),
            "its keys: k0, k1, k2, k3, k4 and 4 more",
            "",
            id="many",
        ),
        pytest.param(answer(kubeconfig=""), "it is empty", PUT, id="empty"),
        pytest.param(answer(kubeconfig=base64.b64encode(b" \n").decode()), "it is empty", PUT, id="blank"),
        pytest.param(answer(kubeconfig="no base64!"), "it is not base64", PUT, id="no base64"),
        pytest.param(answer(kubeconfig="A" * 100_000), "larger than 64 KiB", PUT, id="large"),
        pytest.param(answer(kubeconfig=7), "cannot be read", PUT, id="a number"),
        pytest.param(b"<html>", "cannot be read", PUT, id="no JSON"),
    ],
)
def test_a_secret_with_other_content(raw: bytes, found: str, remedy: str) -> None:
    """The message has the existing keys, and the command that writes the right one."""
    with pytest.raises(KubeconfigError) as error:
        secret.content(PLACE, raw)
    assert found in error.value.found
    assert remedy in error.value.remedy


def test_the_next_step_is_never_cut() -> None:
    """However long the kubeconfig's errors are."""
    error = secret.unusable(PLACE, "x" * 100_000)
    assert str(error).endswith(PLACE.put_command)
    assert len(str(error)) < 2_000


@pytest.mark.parametrize(
    "secret_ref", [PLACE, secret.SecretKeyRef("a; exit 1", "$(exit 1)", "k;`exit 1`")], ids=["as usual", "for a shell"]
)
def test_the_commands_do_only_what_they_say(secret_ref: secret.SecretKeyRef, tmp_path: Path) -> None:
    """A shell reads them as: a new Secret with this key, or this key only with the content of the file."""
    assert shlex.split(secret_ref.create_command) == [
        *("kubectl", "-n", secret_ref.namespace, "create", "secret", "generic", secret_ref.name),
        f"--from-file={secret_ref.key}=FILE",
    ]
    (tmp_path / "FILE").write_bytes(b"a: b\n" * 40)
    script = f"kubectl() {{ for word; do printf '%s\\0' \"$word\"; done; }}; {secret_ref.put_command}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=True)  # noqa: S603, S607
    *texts, patch, _ = done.stdout.decode().split("\0")
    assert texts == ["-n", secret_ref.namespace, "patch", "secret", secret_ref.name, "-p"]
    ((key, value),) = json.loads(patch)["data"].items()
    assert (key, base64.b64decode(value)) == (secret_ref.key, b"a: b\n" * 40)
