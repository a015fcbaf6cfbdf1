"""The Secret that holds a cluster's kubeconfig: what is wrong with it, and the one next step for it.

| what is found               | next step                                                             |
|-----------------------------|-----------------------------------------------------------------------|
| 403                         | name the Secret in the chart's kubeconfigSecrets                      |
| 404                         | create it, with this namespace, name and key                          |
| no such key                 | name a key that is there, or add this one                             |
| empty                       | put the kubeconfig into it                                            |
| not a usable kubeconfig     | put another one into it, by the same command                          |
| one that Cluster API wrote  | name the Secret, or the key, in which it keeps one with a token       |
|   for people, or for files  |                                                                       |
| another answer              | nothing: it is read again by itself                                   |

The commands are for a shell: namespace, name and key of a spec are such as Kubernetes takes, and quoted all the same.
Pure: no I/O, no clock.
"""

import base64
import shlex
from dataclasses import dataclass
from typing import Final

import msgspec

from policyhub.kube import kubeconfig
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.sources.text import line

_KEYS: Final = 5
"""Keys that a message names."""
_KEY: Final = 64
_FOR_PEOPLE: Final = "-user-kubeconfig"
"""How Cluster API's provider for AWS names the Secret whose kubeconfig runs `aws` or `aws-iam-authenticator`."""
_FOR_FILES: Final = "relative"
"""The key of its kubeconfig that reads its token from a file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a kubeconfig."""

    namespace: str
    name: str
    key: str

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"

    @property
    def create(self) -> str:
        """The command that creates the Secret."""
        file = shlex.quote(f"--from-file={self.key}=") + "FILE"
        return f"kubectl -n {shlex.quote(self.namespace)} create secret generic {shlex.quote(self.name)} {file}"

    @property
    def put(self) -> str:
        """The command that puts other content into this key. Another key may hold another cluster's kubeconfig: it
        stays as it is.
        """
        begin, end = shlex.quote(f'{{"data":{{"{self.key}":"'), shlex.quote('"}}')
        content = f"{begin}\"$(base64 < FILE | tr -d '\\n')\"{end}"
        return f"kubectl -n {shlex.quote(self.namespace)} patch secret {shlex.quote(self.name)} -p {content}"


class _Secret(msgspec.Struct):
    data: dict[str, str] = {}


_secret = msgspec.json.Decoder(_Secret)


def refused(place: Place, error: Refused) -> KubeconfigError:
    """The operator's own API server does not give it."""
    if error.status == 404:
        return KubeconfigError(
            f"{place} does not exist",
            remedy=f"Create it with the key {place.key}, from a kubeconfig of the cluster in FILE: {place.create}",
        )
    if error.status == 403:
        return KubeconfigError(
            f"the operator may not read {place} ({error})",
            remedy="It reads only Secrets that the chart names: add"
            f" {{namespace: {place.namespace}, name: {place.name}}} to the chart's kubeconfigSecrets, and upgrade the"
            " release",
        )
    return KubeconfigError(
        f"{place} cannot be read: {error}",
        remedy="The operator reads it again by itself; if it lasts, look at the API server of its own cluster",
    )


def content(place: Place, answer: bytes) -> bytes:
    """The kubeconfig in it. Raises KubeconfigError."""

    def unreadable(why: str) -> KubeconfigError:
        return unusable(place, f"it cannot be read: {why}")

    data = decoded(_secret, answer, unreadable).data
    value = data.get(place.key)
    if value is None:
        there = ", ".join(line(key, _KEY) for key in sorted(data)[:_KEYS]) or "none"
        more = f" and {len(data) - _KEYS} more" if len(data) > _KEYS else ""
        raise KubeconfigError(
            f"{place} has no key {place.key}; its keys: {there}{more}",
            remedy="Set spec.connection.kubeconfigSecretRef.key to the one that holds the kubeconfig, or add the key:"
            f" {place.put}",
        )
    if not value:
        raise unusable(place, "it is empty")
    if len(value) > kubeconfig.MAX_BYTES * 4 // 3 + 4:
        raise unusable(place, f"it is larger than {kubeconfig.MAX_BYTES // 1024} KiB")
    try:
        found = base64.b64decode(value, validate=True)
    except ValueError:
        raise unreadable("it is not base64") from None
    if not found.strip():
        raise unusable(place, "it is empty")
    return found


def unusable(place: Place, why: str) -> KubeconfigError:
    """What is there is no kubeconfig that may be used."""
    return KubeconfigError(
        f"the key {place.key} of {place} holds no kubeconfig that the operator can use: {why}",
        remedy=_of_cluster_api(place, why) or f"Put a corrected one into it: {place.put}",
    )


def _of_cluster_api(place: Place, why: str) -> str:
    """Where it keeps a kubeconfig with a token, if this is one of its others."""
    if place.name.endswith(_FOR_PEOPLE) and "exec is refused" in why:
        name = f"{place.name.removesuffix(_FOR_PEOPLE)}-kubeconfig"
        return (
            f"This is the kubeconfig that Cluster API writes for people. Name the one with a token: {{namespace:"
            f" {place.namespace}, name: {name}, key: value}} in spec.connection.kubeconfigSecretRef, and that Secret in"
            " the chart's kubeconfigSecrets. Or, for an EKS cluster, set spec.connection.eks instead"
        )
    if place.key == _FOR_FILES and "tokenFile is refused" in why:
        where = "spec.connection.kubeconfigSecretRef.key"
        return f"Cluster API keeps one with a token in the same Secret: set {where} to value"
    return ""
