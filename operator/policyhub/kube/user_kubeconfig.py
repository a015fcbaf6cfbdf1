"""The kubeconfig of the user who runs this process. It is trusted: plug-ins are run, and files are read.

`kubeconfig` parses those from Secrets, which are not trusted.

    several files     merged as by kubectl: the first entry with a name, and the first current context, count
    relative paths    relative to the folder of the file that contains them
    tokenFile         read before each request, since it is replaced during the run
    exec              run again a minute before its token expires; its certificate is kept for the connection
    auth-provider, username and password
                      refused: neither kubectl nor API servers support them any more
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from policyhub.kube import kubeconfig
from policyhub.kube.decoding import decoded
from policyhub.kube.kubeconfig import Access, KubeconfigError

DEFAULT = "~/.kube/config"
EARLY = timedelta(seconds=60)
PLUGIN_SECONDS = 60.0
"""Time-out of a plug-in: it may sign in over the network, but must not wait for a person."""
_FILES = {
    "cluster": {"certificate-authority": "certificate-authority-data"},
    "user": {"client-certificate": "client-certificate-data", "client-key": "client-key-data"},
}
_UNSUPPORTED_KEYS = ("auth-provider", "username", "password")

_REMEDY = "Name one with which kubectl works: KUBECONFIG, or --kubeconfig"
Token = Callable[[], Awaitable[str]]
"""The bearer token to use now. Raises KubeconfigError, OSError."""


async def load(paths: str, *, context: str | None = None) -> tuple[Access, Token | None]:
    """Merge the files (separated as in KUBECONFIG); `context` replaces the current one. Raises KubeconfigError."""
    try:
        document = _merge(path for path in paths.split(os.pathsep) if path)
        if context is not None:
            document["current-context"] = context
        cluster, user = kubeconfig.current_entries(document)
        return await _access(cluster, user)
    except yaml.YAMLError as error:  # its own text would quote the lines around the fault, which may be a credential
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise KubeconfigError(
            f"kubeconfig {paths} cannot be used: it is not valid YAML{place}", remedy=_REMEDY
        ) from None
    except (KubeconfigError, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise KubeconfigError(f"kubeconfig {paths} cannot be used: {error}", remedy=_REMEDY) from error


def _merge(files: Iterable[str]) -> dict[str, Any]:
    """One document with absolute paths. Missing files are ignored, as in kubectl."""
    merged: dict[str, Any] = {"clusters": [], "users": [], "contexts": []}
    there = [path for file in files if (path := Path(file).expanduser()).exists()]
    if not there:
        raise KubeconfigError("there is no such file")
    for file in there:
        document = yaml.safe_load(file.read_bytes())
        if not isinstance(document, dict):
            raise KubeconfigError(f"{file} is not a mapping with clusters, users and contexts")
        if document.get("current-context"):
            merged.setdefault("current-context", document["current-context"])
        for kind in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[kind]}
            new = [entry for entry in document.get(kind) or () if entry["name"] not in known]
            merged[kind] += [_absolute(entry, file.parent, kind.removesuffix("s")) for entry in new]
    return merged


def _absolute(entry: Mapping[str, Any], folder: Path, kind: str) -> dict[str, Any]:
    content = dict(entry.get(kind) or {})
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if content.get(key):
            content[key] = str(folder / Path(content[key]).expanduser())
    plugin = content.get("exec")
    if plugin and os.sep in plugin.get("command", ""):
        content["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {"name": entry["name"], kind: content}


async def _access(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> tuple[Access, Token | None]:
    if not cluster.get("server"):
        raise KubeconfigError("the cluster has no server; set it to its URL")
    gone = [key for key in _UNSUPPORTED_KEYS if user.get(key)]
    if gone:
        raise KubeconfigError(f"the user has {gone[0]}, which API servers no longer take; use a token or exec")
    plugin = _Plugin(user["exec"], cluster) if user.get("exec") else None
    given = await plugin.credential() if plugin is not None else _Credential()
    access = Access(
        server=str(cluster["server"]).rstrip("/"),
        authority=_pem(cluster, "certificate-authority"),
        certificate=given.certificate or _pem(user, "client-certificate"),
        key=given.key or _pem(user, "client-key"),
        token=str(user["token"]) if user.get("token") else None,
        tls_server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or None,
        verify=not cluster.get("insecure-skip-tls-verify"),
    )
    if user.get("tokenFile"):
        token = file_token(Path(user["tokenFile"]))
        await token()
        return access, token
    return access, plugin.token if plugin is not None and given.token else None


def file_token(path: Path) -> Token:
    """The token in a file, read for each request: it is replaced well before it expires, and requests are rare."""

    def read() -> str:
        return path.read_text("ascii").strip()

    async def token() -> str:
        return read()

    return token


def _pem(content: Mapping[str, Any], key: str) -> bytes | None:
    """`key-data`, else the file that `key` names."""
    problems: list[str] = []
    found = kubeconfig.pem(content, f"{key}-data", problems)
    if problems:
        raise KubeconfigError(problems[0])
    if found is None and content.get(key):
        return Path(content[key]).read_bytes()
    return found


class _CredentialStatus(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct):
    """An ExecCredential, as the plug-in prints it."""

    status: _CredentialStatus


_exec_credential = msgspec.json.Decoder(_ExecCredential)


class _Credential(msgspec.Struct, frozen=True):
    token: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    expires: datetime | None = None


class _Plugin:
    """The plug-in of a user's `exec`; run at most once for each token."""

    def __init__(self, plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
        self._plugin = plugin
        self._cluster = cluster
        self._last: _Credential | None = None
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        return (await self.credential()).token

    async def credential(self) -> _Credential:
        async with self._turn:
            last = self._last
            if last is None or (last.expires is not None and last.expires - EARLY <= datetime.now(UTC)):
                last = self._last = await self._run()
            return last

    async def _run(self) -> _Credential:
        plugin = self._plugin
        command = str(plugin["command"])
        if plugin.get("interactiveMode") == "Always":
            raise KubeconfigError(f"the plug-in {command} wants a terminal, which there is none of here")
        spec: dict[str, Any] = {"interactive": False}
        if plugin.get("provideClusterInfo"):
            spec["cluster"] = {
                key: self._cluster[key]
                for key in ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data")
                if self._cluster.get(key)
            }
        asked = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
        environ = {**os.environ, "KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode()}
        environ |= {
            str(current_entries["name"]): str(current_entries["value"]) for current_entries in plugin.get("env") or ()
        }
        try:
            process = await asyncio.create_subprocess_exec(
                command,
                *(str(argument) for argument in plugin.get("args") or ()),
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise KubeconfigError(f"the plug-in {command}: {error}. {plugin.get('installHint') or ''}") from error
        try:
            async with asyncio.timeout(PLUGIN_SECONDS):
                printed, _ = await process.communicate()
        except TimeoutError as error:
            raise KubeconfigError(f"the plug-in {command} did not end within {PLUGIN_SECONDS:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise KubeconfigError(f"the plug-in {command} failed with exit code {process.returncode}")
        given = decoded(
            _exec_credential,
            printed,
            lambda why: KubeconfigError(f"the plug-in {command} printed no ExecCredential: {why}"),
        ).status
        return _Credential(
            token=given.token,
            certificate=given.client_certificate_data.encode() or None,
            key=given.client_key_data.encode() or None,
            expires=given.expiration_timestamp,
        )
