"""Writes kubeconfigs. `policyhub.kube.kubeconfig` and `user_kubeconfig` read them."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def with_token(
    *, name: str, url: str, ca: str | None, token: str, user: str = "admin", namespace: str | None = None
) -> dict[str, Any]:
    """A kubeconfig with one context, called `name`. `ca` is PEM; None: the system's CAs."""
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
    """Only its owner can read the file: it contains a credential."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(dict(kubeconfig), sort_keys=False), encoding="utf-8")
    return path


def merge(kubeconfigs: list[dict[str, Any]]) -> dict[str, Any]:
    """Merges kubeconfigs of `with_token`; the first one's context becomes the current one. User names get the context's
    name as a prefix.
    """
    merged: dict[str, Any] = {**kubeconfigs[0], "clusters": [], "users": [], "contexts": []}
    for config in kubeconfigs:
        name = config["current-context"]
        user = f"{name}-{config['users'][0]['name']}"
        merged["clusters"] += config["clusters"]
        merged["users"].append({**config["users"][0], "name": user})
        context = config["contexts"][0]
        merged["contexts"].append({**context, "context": {**context["context"], "user": user}})
    return merged


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
