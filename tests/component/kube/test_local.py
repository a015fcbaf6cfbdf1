import base64
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from policyhub.kube import user_kubeconfig
from policyhub.kube.connection import Connection, Unreachable
from policyhub.kube.kubeconfig import KubeconfigError
from tests.component.kube.apiserver import Answer, ApiServer
from tests.component.kube.authority import Authority

PATH = "/api/v1/anything"
SERVER = "https://127.0.0.1:1"


def config(
    folder: Path,
    *,
    name: str = "here",
    cluster: Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    file: str = "config",
) -> Path:
    """A file with one context, its cluster and its user, all of one name."""
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    document = {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def plugin(folder: Path, body: str, **more: object) -> dict[str, Any]:
    """A user whose credential comes from a Python program."""
    program = folder / "plugin.py"
    program.write_text(body)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(program)], **more}}


def counting(folder: Path, *, expires: datetime | None) -> str:
    """A program whose tokens are counted in a file, from 1 on."""
    status = {"expirationTimestamp": expires.isoformat()} if expires else {}
    return f"""
import json, pathlib
file = pathlib.Path({str(folder / "count")!r})
count = int(file.read_text()) + 1 if file.exists() else 1
file.write_text(str(count))
print(json.dumps({{"kind": "ExecCredential", "status": {{"token": str(count), **{status!r}}}}}))
"""


async def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    """Entries and current context are merged as in kubectl; missing files are ignored."""
    one = config(tmp_path, user={"token": "one"}, file="one")
    two = config(tmp_path, name="there", user={"token": "two"}, file="two")
    again = config(tmp_path, user={"token": "again"}, file="three")
    paths = os.pathsep.join(map(str, (tmp_path / "none", one, two, again)))
    assert (await user_kubeconfig.load(paths))[0].token == "one"
    assert (await user_kubeconfig.load(paths, context="there"))[0].token == "two"


async def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the process runs."""
    folder = tmp_path / "sub"
    path = config(
        tmp_path,
        file="sub/config",
        cluster={"certificate-authority": "ca.pem"},
        user={"client-certificate": "me.pem", "client-key": str(tmp_path / "key.pem")},
    )
    (folder / "ca.pem").write_bytes(b"ca")
    (folder / "me.pem").write_bytes(b"me")
    (tmp_path / "key.pem").write_bytes(b"key")
    access, token = await user_kubeconfig.load(str(path))
    assert (access.authority, access.certificate, access.key, token) == (b"ca", b"me", b"key", None)


async def test_data_precedes_a_file(tmp_path: Path) -> None:
    """As in kubectl, inline data is preferred."""
    data = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
    path = config(tmp_path, cluster={"certificate-authority-data": data, "certificate-authority": "none"})
    assert (await user_kubeconfig.load(str(path)))[0].authority == b"-----BEGIN CERTIFICATE-----"


async def test_verification_may_be_disabled(authority: Authority, tmp_path: Path) -> None:
    """A user's own file may disable what a Secret's may not."""
    api = ApiServer()
    api.documents[PATH] = Answer(200, b"{}")
    async with api.serve(tls=authority.server(tmp_path)):
        path = config(tmp_path, cluster={"server": api.url, "insecure-skip-tls-verify": True}, user={"token": "t"})
        async with await Connection.from_file(str(path)) as connection:
            assert await connection.get(PATH) == b"{}"


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """A replaced token is used from the next request on."""
    (tmp_path / "token").write_text("first\n")
    api = ApiServer()
    api.documents[PATH] = Answer(200, b"{}")
    async with api.serve():
        path = config(tmp_path, cluster={"server": api.url}, user={"tokenFile": "token"})
        async with await Connection.from_file(str(path)) as connection:
            await connection.get(PATH)
            (tmp_path / "token").write_text("second")
            await connection.get(PATH)
            (tmp_path / "token").unlink()
            with pytest.raises(Unreachable, match="token"):
                await connection.get(PATH)
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("left", "tokens"),
    [(None, ["1", "1"]), (timedelta(hours=1), ["1", "1"]), (timedelta(seconds=50), ["2", "3"])],
    ids=["for ever", "for long", "ends soon"],
)
async def test_a_plug_in_runs_again_when_its_token_expires(
    tmp_path: Path, left: timedelta | None, tokens: list[str]
) -> None:
    """It runs once, and again a minute before the token expires."""
    expires = datetime.now(UTC) + left if left else None
    path = config(tmp_path, user=plugin(tmp_path, counting(tmp_path, expires=expires)))
    _, token = await user_kubeconfig.load(str(path))
    assert token is not None
    assert [await token(), await token()] == tokens


async def test_a_plug_in_gets_its_context(tmp_path: Path) -> None:
    """Its environment, and the cluster if it requests it."""
    body = """
import json, os
told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
token = ",".join([os.environ["PROFILE"], told["spec"]["cluster"]["server"], str(told["spec"]["interactive"])])
print(json.dumps({"status": {"token": token}}))
"""
    user = plugin(tmp_path, body, env=[{"name": "PROFILE", "value": "dev"}], provideClusterInfo=True)
    _, token = await user_kubeconfig.load(str(config(tmp_path, user=user)))
    assert token is not None
    assert await token() == f"dev,{SERVER},False"


async def test_a_plug_in_may_return_a_certificate(authority: Authority, tmp_path: Path) -> None:
    """Its certificate and key are used like those of the file."""
    certificate, key = authority.issue("somebody")
    status = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
    api = ApiServer()
    api.documents[PATH] = Answer(200, b"{}")
    async with api.serve(tls=authority.server(tmp_path, ask_client=True)):
        trusted = {"server": api.url, "certificate-authority-data": base64.b64encode(authority.pem).decode()}
        user = plugin(tmp_path, f"print({json.dumps({'status': status})!r})")
        async with await Connection.from_file(str(config(tmp_path, cluster=trusted, user=user))) as connection:
            assert await connection.get(PATH) == b"{}"
    assert "Authorization" not in api.requests[0].headers


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {"command": "policyhub-none", "installHint": "install it"}}, "policyhub-none.*install it"),
        ({"exec": {"command": "./none"}}, "the plug-in /.*/none"),
        ({"exec": {"command": "false"}}, "false failed with exit code 1"),
        ({"exec": {"command": "echo"}}, "printed no ExecCredential"),
        ({"exec": {"command": "true", "interactiveMode": "Always"}}, "wants a terminal"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"username": "u", "password": "p"}, "username"),
        ({"tokenFile": "none"}, "none"),
        ({"client-certificate-data": "!"}, "client-certificate-data is not base64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_unusable_files(tmp_path: Path, user: dict[str, Any], message: str) -> None:
    """One error that names the file and the fix."""
    with pytest.raises(KubeconfigError, match=f"kubeconfig .*config cannot be used: .*{message}"):
        await user_kubeconfig.load(str(config(tmp_path, user=user)))


async def test_a_hanging_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and the error says so."""
    monkeypatch.setattr(user_kubeconfig, "PLUGIN_SECONDS", 0.2)
    user = plugin(tmp_path, "import threading; threading.Event().wait()")
    with pytest.raises(KubeconfigError, match="did not end"):
        await user_kubeconfig.load(str(config(tmp_path, user=user)))


async def test_kopf_uses_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Including its plug-in."""
    from policyhub.kopf_adapter import login_locally  # noqa: PLC0415  (imports kopf, which only this test needs)

    path = config(tmp_path, user=plugin(tmp_path, counting(tmp_path, expires=None)))
    monkeypatch.setenv("KUBECONFIG", str(path))
    info = await login_locally()
    assert (info.server, info.token, info.insecure) == (SERVER, "1", False)
