"""What is wrong with the Secret that holds a kubeconfig, and the one next step for it."""

import base64
import json
import shlex

import pytest

from policyhub.kube import secret
from policyhub.kube.errors import Refused
from policyhub.kube.kubeconfig import KubeconfigError

PLACE = secret.Place("policyhub", "prod-us", "kubeconfig")
CREATE = "kubectl -n policyhub create secret generic prod-us --from-file=kubeconfig=FILE"
REPLACE = f"{CREATE} --dry-run=client -o yaml | kubectl apply -f -"


def answer(**data: object) -> bytes:
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("status", "found", "remedy"),
    [
        pytest.param(404, "Secret policyhub/prod-us does not exist", CREATE, id="missing"),
        pytest.param(
            403,
            "the operator may not read Secret policyhub/prod-us",
            "add {namespace: policyhub, name: prod-us} to the value kubeconfigSecrets",
            id="forbidden",
        ),
        pytest.param(500, "cannot be read: 500", "reads it again by itself", id="an error"),
    ],
)
def test_a_secret_that_is_not_given(status: int, found: str, remedy: str) -> None:
    """Each answer has its own next step, and no other's."""
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
        pytest.param(answer(), "has no key kubeconfig; its keys: none", REPLACE, id="no key at all"),
        pytest.param(
            answer(**{f"k{number}": "" for number in range(9)}),
            "its keys: k0, k1, k2, k3, k4 and 4 more",
            "",
            id="many",
        ),
        pytest.param(answer(kubeconfig=""), "it is empty", REPLACE, id="empty"),
        pytest.param(answer(kubeconfig=base64.b64encode(b" \n").decode()), "it is empty", REPLACE, id="blank"),
        pytest.param(answer(kubeconfig="no base64!"), "it is not base64", REPLACE, id="no base64"),
        pytest.param(answer(kubeconfig="A" * 100_000), "larger than 64 KiB", REPLACE, id="large"),
        pytest.param(answer(kubeconfig=7), "cannot be read", REPLACE, id="a number"),
        pytest.param(b"<html>", "cannot be read", REPLACE, id="no JSON"),
    ],
)
def test_a_secret_that_holds_something_else(raw: bytes, found: str, remedy: str) -> None:
    """What is there is told, and the command that puts the right thing there."""
    with pytest.raises(KubeconfigError) as error:
        secret.content(PLACE, raw)
    assert found in error.value.found
    assert remedy in error.value.remedy


def test_the_next_step_is_never_cut() -> None:
    """However much is wrong with the kubeconfig."""
    error = secret.unusable(PLACE, "x" * 100_000)
    assert str(error).endswith(REPLACE)
    assert len(str(error)) < 2_000


def test_the_commands_do_nothing_else() -> None:
    """Whatever a name holds, a shell reads one word of it."""
    place = secret.Place("a; reboot", "$(reboot)", "k;`reboot`")
    assert shlex.split(place.create) == [
        *("kubectl", "-n", "a; reboot", "create", "secret", "generic", "$(reboot)"),
        "--from-file=k;`reboot`=FILE",
    ]
