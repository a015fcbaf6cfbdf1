"""Starts the operator as a kubelet does: with the image's root folder, and the Pod of the chart's Deployment.

From the Deployment come command, arguments, environment, user and groups, the read-only root, volumes, and the files of
the service account. Different from a kubelet: the API server's address is that of this machine, and the metrics are on
a free port of 127.0.0.1. Other kinds of mounts are an error.
"""

import base64
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dev.cluster import Cluster
from dev.image.enter import World
from dev.testbed import Command, Home, Installed

REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")
ENTER = Path(__file__).with_name("enter.py")
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3600

Document = dict[str, Any]


class PodError(Exception):
    """The Pod or the image needs something that is not supported here."""


@dataclass(frozen=True, slots=True)
class Image:
    """The output of `dev/image/build.sh --keep FOLDER`."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def environment(self) -> dict[str, str]:
        """The variables in the image's configuration."""
        config = json.loads((self.folder / "config.json").read_text("utf-8"))
        return dict(entry.split("=", 1) for entry in config.get("Env") or ())


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod of a Deployment."""

    deployment: Document
    cluster: Cluster
    folder: Path
    """For the files of the Pod; of this run, private to root."""

    @property
    def spec(self) -> Document:
        found: Document = self.deployment["spec"]["template"]["spec"]
        return found

    @property
    def container(self) -> Document:
        (found,) = self.spec["containers"]
        return dict(found)

    def start(self, image: Image, environment: Mapping[str, str], *, parent: int) -> list[str | Path]:
        """The command that starts the operator; `environment` overrides the Pod's."""
        context = {**self.spec.get("securityContext", {}), **self.container.get("securityContext", {})}
        if not (context.get("readOnlyRootFilesystem") and context.get("runAsNonRoot")):
            raise PodError("the Pod must run without root and with a read-only root")
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", ())}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in self.container.get("volumeMounts", ())}
        folders = {
            place: str(self.projected(volume["projected"]["sources"], context))
            for place, volume in mounts.items()
            if "projected" in volume
        }
        folders |= {
            place: str(self.projected([volume], context))
            for place, volume in mounts.items()
            if volume.keys() & {"configMap", "secret"}
        }
        if self.spec.get("automountServiceAccountToken", True) and SERVICE_ACCOUNT not in folders:
            folders[SERVICE_ACCOUNT] = str(self.projected(AUTOMOUNTED, context))
        memory = {place: size(volume["emptyDir"]) for place, volume in mounts.items() if "emptyDir" in volume}
        if strange := sorted(set(mounts) - set(folders) - set(memory)):
            raise PodError(f"cannot mount {', '.join(strange)}")
        world = World(
            parent=parent,
            root=str(image.root),
            folders=folders,
            memory=memory,
            argv=[*self.container["command"], *self.container.get("args", ())],
            environment={**image.environment, **self.environment(), **environment},
            user=context["runAsUser"],
            group=context["runAsGroup"],
            groups=[context["fsGroup"]],
        )
        handle, path = tempfile.mkstemp(dir=self.folder, prefix="world-", suffix=".json")
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(world), file)
        return [sys.executable, "-I", "-S", ENTER, path]

    def environment(self) -> dict[str, str]:
        """The variables that the kubelet sets: the API server's address, and those of the container."""
        api = urlsplit(self.cluster.url)
        found = {"KUBERNETES_SERVICE_HOST": api.hostname or "", "KUBERNETES_SERVICE_PORT": str(api.port or 443)}
        for variable in self.container.get("env", ()):
            value = variable.get("value")
            if value is None:
                value = self.field(variable["valueFrom"]["fieldRef"]["fieldPath"])
            found[variable["name"]] = REFERENCE.sub(partial(referred, found), value)
        return found

    def field(self, path: str) -> str:
        """A field of the downward API."""
        metadata = self.deployment["metadata"]
        known = {
            "metadata.name": f"{metadata['name']}-0",
            "metadata.namespace": metadata["namespace"],
            "spec.serviceAccountName": self.spec["serviceAccountName"],
        }
        if path not in known:
            raise PodError(f"the Pod uses {path}, which is not supported")
        return str(known[path])

    def projected(self, sources: list[Document], context: Document) -> Path:
        """A folder for a projected volume; the Pod's group can read the files, as with the kubelet."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="projected-"))
        for source in sources:
            for name, text in self.files(source).items():
                (folder / name).write_text(text)
                (folder / name).chmod(0o640)
                shutil.chown(folder / name, group=context["fsGroup"])
        folder.chmod(0o755)
        return folder

    def files(self, source: Document) -> dict[str, str]:
        namespace = self.deployment["metadata"]["namespace"]
        match source:
            case {"serviceAccountToken": token}:
                seconds = max(token.get("expirationSeconds", TOKEN_SECONDS), 600)
                asked = {
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenRequest",
                    "spec": {
                        "expirationSeconds": seconds,
                        **({"audiences": [token["audience"]]} if "audience" in token else {}),
                    },
                }
                account = self.spec["serviceAccountName"]
                path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
                return {token["path"]: self.cluster.request("POST", path, asked)["status"]["token"]}
            case {
                "configMap": {"name": "kube-root-ca.crt", "items": items}
            }:  # in a real cluster, a controller writes it
                return {item["path"]: self.cluster.ca or "" for item in items}
            case {"configMap": {"name": name} as asked}:
                held = self.cluster.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")["data"]
                return chosen(held, asked)
            case {"secret": {"secretName": name} as asked}:
                held = self.cluster.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")["data"]
                return chosen({key: base64.b64decode(text).decode() for key, text in held.items()}, asked)
            case {"downwardAPI": {"items": items}}:
                return {item["path"]: self.field(item["fieldRef"]["fieldPath"]) for item in items}
            case _:
                raise PodError(f"cannot project {', '.join(source)}")


def chosen(held: Mapping[str, str], asked: Document) -> dict[str, str]:
    """The entries of a ConfigMap or Secret that the volume's `items` select; all without `items`."""
    items = asked.get("items") or [{"key": key, "path": key} for key in held]
    return {item["path"]: held[item["key"]] for item in items}


def referred(known: Mapping[str, str], found: re.Match[str]) -> str:
    """The kubelet's replacement for `$(NAME)`: an earlier variable, else the text itself."""
    return known.get(found[1], found[0])


def in_image(image: Image) -> Home:
    """Runs the operator of dev/testbed in a Pod of the chart's Deployment, with this image."""

    def home(installed: Installed, environment: Mapping[str, str]) -> Command:
        deployment = next(d for d in installed.documents if d["kind"] == "Deployment")
        pod = Pod(deployment, installed.cluster, installed.folder)
        return pod.start(image, environment, parent=os.getpid()), {}

    return home


AUTOMOUNTED: list[Document] = [
    {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
]
"""The volume that the admission controller adds to a Pod for its service account's token."""


def size(volume: Document) -> str:
    """Mount options of an emptyDir in memory."""
    limit = str(volume.get("sizeLimit", "64Mi"))
    if not limit.endswith("Mi"):
        raise PodError(f"sizeLimit {limit} is not supported, only Mi")
    return f"size={int(limit.removesuffix('Mi'))}m"
