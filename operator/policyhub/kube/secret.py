"""Reads the kubeconfig from a Secret; each problem has one next step.

| problem                     | next step                                                             |
|-----------------------------|-----------------------------------------------------------------------|
| 403                         | name the Secret in the chart's kubeconfigSecrets                      |
| 404                         | create it, with this namespace, name and key                          |
| no such key                 | name an existing key, or add this one                                 |
| empty                       | put the kubeconfig into it                                            |
| not a usable kubeconfig     | put another one into it, by the same command                          |
| one that Cluster API wrote  | name the Secret, or the key, in which it keeps one with a token       |
|   for people, or for files  |                                                                       |
| another error               | nothing: it is retried automatically                                  |

The commands are for a shell. Namespace, name and key are valid Kubernetes names, and are quoted all the same.
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
from policyhub.model.text import line

_KEYS: Final = 5
"""Maximum number of keys in a message."""
_KEY: Final = 64
_USER_SUFFIX: Final = "-user-kubeconfig"
"""Suffix of the Secret in which Cluster API's provider for AWS stores a kubeconfig that runs `aws` or
`aws-iam-authenticator`."""
_FILE_KEY: Final = "relative"
"""The key of the kubeconfig that reads its token from a file."""


@dataclass(frozen=True, slots=True)
class SecretKeyRef:
    """The Secret and key of a kubeconfig."""

    namespace: str
    name: str
    key: str

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"

    @property
    def create_command(self) -> str:
        """The command that creates the Secret."""
        file = shlex.quote(f"--from-file={self.key}=") + "FILE"
        return f"kubectl -n {shlex.quote(self.namespace)} create secret generic {shlex.quote(self.name)} {file}"

    @property
    def put_command(self) -> str:
        """The command that replaces the content of this key. Other keys, perhaps with kubeconfigs of other clusters, do
        not change.
        """
        begin, end = shlex.quote(f'{{"data":{{"{self.key}":"'), shlex.quote('"}}')
        content = f"{begin}\"$(base64 < FILE | tr -d '\\n')\"{end}"
        return f"kubectl -n {shlex.quote(self.namespace)} patch secret {shlex.quote(self.name)} -p {content}"


class _Secret(msgspec.Struct):
    data: dict[str, str] = {}


_secret = msgspec.json.Decoder(_Secret)


def refused(ref: SecretKeyRef, error: Refused) -> KubeconfigError:
    """The operator's own API server refused to return the Secret."""
    if error.status == 404:
        return KubeconfigError(
            f"{ref} does not exist",
            remedy=f"Create it with the key {ref.key}, from a kubeconfig of the cluster in FILE: {ref.create_command}",
        )
    if error.status == 403:
        return KubeconfigError(
            f"the operator may not read {ref} ({error})",
            remedy="It reads only Secrets that the chart names: add"
            f" {{namespace: {ref.namespace}, name: {ref.name}}} to the chart's kubeconfigSecrets, and upgrade the"
            " release",
        )
    return KubeconfigError(
        f"{ref} cannot be read: {error}",
        remedy="The operator reads it again by itself; if it lasts, look at the API server of its own cluster",
    )


def content(ref: SecretKeyRef, answer: bytes) -> bytes:
    """The kubeconfig in the Secret. Raises KubeconfigError."""

    def unreadable(why: str) -> KubeconfigError:
        return unusable(ref, f"it cannot be read: {why}")

    data = decoded(_secret, answer, unreadable).data
    value = data.get(ref.key)
    if value is None:
        existing = ", ".join(line(key, _KEY) for key in sorted(data)[:_KEYS]) or "none"
        more = f" and {len(data) - _KEYS} more" if len(data) > _KEYS else ""
        raise KubeconfigError(
            f"{ref} has no key {ref.key}; its keys: {existing}{more}",
            remedy="Set spec.connection.kubeconfigSecretRef.key to the one that holds the kubeconfig, or add the key:"
            f" {ref.put_command}",
        )
    if not value:
        raise unusable(ref, "it is empty")
    if len(value) > kubeconfig.MAX_BYTES * 4 // 3 + 4:
        raise unusable(ref, f"it is larger than {kubeconfig.MAX_BYTES // 1024} KiB")
    try:
        found = base64.b64decode(value, validate=True)
    except ValueError:
        raise unreadable("it is not base64") from None
    if not found.strip():
        raise unusable(ref, "it is empty")
    return found


def unusable(ref: SecretKeyRef, why: str) -> KubeconfigError:
    """The content of the key is not a usable kubeconfig."""
    return KubeconfigError(
        f"the key {ref.key} of {ref} holds no kubeconfig that the operator can use: {why}",
        remedy=_cluster_api_remedy(ref, why) or f"Put a corrected one into it: {ref.put_command}",
    )


def _cluster_api_remedy(ref: SecretKeyRef, why: str) -> str:
    """Where Cluster API stores a kubeconfig with a token, if this is another one of it; else empty."""
    if ref.name.endswith(_USER_SUFFIX) and "exec is refused" in why:
        name = f"{ref.name.removesuffix(_USER_SUFFIX)}-kubeconfig"
        return (
            f"This is the kubeconfig that Cluster API writes for people. Name the one with a token: {{namespace:"
            f" {ref.namespace}, name: {name}, key: value}} in spec.connection.kubeconfigSecretRef, and that Secret in"
            " the chart's kubeconfigSecrets. Or, for an EKS cluster, set spec.connection.eks instead"
        )
    if ref.key == _FILE_KEY and "tokenFile is refused" in why:
        where = "spec.connection.kubeconfigSecretRef.key"
        return f"Cluster API keeps one with a token in the same Secret: set {where} to value"
    return ""
