"""The kubeconfig format: written for one cluster and one user, and read as far as the API client needs it."""

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(Exception):
    """A kubeconfig says nothing that a connection could be made from."""


def with_token(
    *, name: str, url: str, ca: str | None, token: str, user: str = "admin", namespace: str | None = None
) -> dict[str, Any]:
    """A kubeconfig of one context called `name`. `ca` is PEM, None for the system's authorities."""
    authority = {"certificate-authority-data": _encode(ca)} if ca else {}
    context = {"cluster": name, "user": user} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, **authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def write(kubeconfig: Mapping[str, Any], path: Path) -> Path:
    """Readable by its owner alone: it holds a credential."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(dict(kubeconfig), sort_keys=False), encoding="utf-8")
    return path


def merge(kubeconfigs: list[dict[str, Any]]) -> dict[str, Any]:
    """One kubeconfig of several made by `with_token`; the first one's context is current. Users are told apart."""
    merged: dict[str, Any] = {**kubeconfigs[0], "clusters": [], "users": [], "contexts": []}
    for config in kubeconfigs:
        name = config["current-context"]
        user = f"{name}-{config['users'][0]['name']}"
        merged["clusters"] += config["clusters"]
        merged["users"].append({**config["users"][0], "name": user})
        context = config["contexts"][0]
        merged["contexts"].append({**context, "context": {**context["context"], "user": user}})
    return merged


@dataclass(frozen=True, slots=True)
class Access:
    """What a connection is made from. `ca` is PEM, None for the system's authorities."""

    url: str
    ca: str | None
    token: str | None = None
    certificate: str | None = None
    key: str | None = None

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate and self.key:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # load_cert_chain reads files only
                file.write(self.certificate + "\n" + self.key)
                file.flush()
                context.load_cert_chain(file.name)
        return context


def access(kubeconfig: Mapping[str, Any], context: str | None = None, *, folder: Path | None = None) -> Access:
    """Of the named context, else the current one. Relative paths in it count from `folder`.

    Knows tokens, client certificates and exec plug-ins. Refuses what switches verification off.
    """
    name = context or kubeconfig.get("current-context")
    if not name:
        raise KubeconfigError("the kubeconfig has no current context")
    chosen = _named(kubeconfig, "contexts", "context", name)
    cluster = _named(kubeconfig, "clusters", "cluster", chosen.get("cluster"))
    user = _named(kubeconfig, "users", "user", chosen.get("user"))
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(f"the cluster of context {name!r} is not verified (insecure-skip-tls-verify)")
    token = user.get("token")
    if "tokenFile" in user:
        token = _path(folder, user["tokenFile"]).read_text(encoding="utf-8").strip()
    certificate = _pem(user, "client-certificate", folder)
    key = _pem(user, "client-key", folder)
    if "exec" in user:
        status = _exec(user["exec"])
        token = status.get("token", token)
        certificate = status.get("clientCertificateData", certificate)
        key = status.get("clientKeyData", key)
    return Access(
        url=str(cluster.get("server", "")).rstrip("/"),
        ca=_pem(cluster, "certificate-authority", folder),
        token=token,
        certificate=certificate,
        key=key,
    )


def _named(kubeconfig: Mapping[str, Any], plural: str, singular: str, name: str | None) -> dict[str, Any]:
    for entry in kubeconfig.get(plural) or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(singular) or {}
            return found
    raise KubeconfigError(f"the kubeconfig has no {singular} {name!r}")


def _pem(entry: Mapping[str, Any], key: str, folder: Path | None) -> str | None:
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise KubeconfigError(f"{key}-data is not base64 of PEM") from error
    if path := entry.get(key):
        return _path(folder, path).read_text(encoding="utf-8")
    return None


def _path(folder: Path | None, path: str) -> Path:
    return (folder or Path.cwd()) / path


def _exec(plugin: Mapping[str, Any]) -> dict[str, Any]:
    """The status of the ExecCredential that the plug-in prints."""
    extra = {entry["name"]: entry["value"] for entry in plugin.get("env") or ()}
    request = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    env = {**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(request)}
    run = subprocess.run(
        [plugin["command"], *(plugin.get("args") or ())], env=env, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise KubeconfigError(f"{plugin['command']} ended with {run.returncode}: {run.stderr.strip()[-500:]}")
    status: dict[str, Any] = json.loads(run.stdout).get("status") or {}
    return status


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
