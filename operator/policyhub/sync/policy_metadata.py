"""The texts of the policies of one cluster: title, description, severity, remediation (`sources.policy`).

They add to what the engines report. The metadata of the policy objects is listed and watched, as far as the kinds are
served and allowed. It makes findings readable and decides nothing about whether a finding exists.

| event                                        | result                                                                |
|----------------------------------------------|-----------------------------------------------------------------------|
| every kind that is served is listed, or      | *synced*: only now are reports and constraints read                   |
| its refusal is accepted                      | (`policy_watcher`)                                                    |
| a refusal (403)                              | is accepted when listing is refused again `refusal_grace_ms` later    |
| a policy changes its texts                   | if it is violated, its sources are listed again, after a quiet period |
| a policy is deleted                          | its texts stay until the second listing without it: its violations    |
|                                              | end with it, and need not be sent once more before                    |
| a kind may not be listed, or listing fails   | what is known of it stays                                             |

A policy in a namespace applies to the findings of that namespace only. Engines write ambiguous names (Kubewarden calls
`b-c` in `a` and `c` in `a-b` by one name), and whoever may write policies in one namespace must not word, or rate,
findings of another. Where a namespace has no such policy, the cluster-wide one applies.

Pure: no I/O; the clock is an argument.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from policyhub.api.reason import Reason
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.decoding import decoded
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.model.engines import GATEKEEPER
from policyhub.model.policy_apis import POLICY_GROUPS, POLICY_KINDS, name_in_reports
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.text import line
from policyhub.model.violation import Severity, Violation
from policyhub.sources.filter import namespace_of
from policyhub.sources.policy import Policy, enriched, policy_of
from policyhub.sources.truncation import is_notice
from policyhub.sources.wire import ServedName, ServedNamespace

DEBOUNCE_MS: Final = 2_000
"""Policies are applied by the dozen: how long none may change before their sources are listed again."""
MAX_DEBOUNCE_MS: Final = 30_000
"""How long a change waits at most: someone who changes a policy each second must not hold up everybody's."""
MIN_RELIST_INTERVAL_MS: Final = 60_000
"""Minimum time between two such listings of one source: each costs as much as the first."""
REFUSAL_GRACE_MS: Final = 30_000
"""How long listing must be refused before that is accepted: an API server that has not loaded its RBAC rules yet
refuses everything.
"""
_CLUSTER_WIDE: Final = ""
"""Stands for the namespace of a cluster-wide policy."""
Key = tuple[str, str]
"""(source, policy) as in violations; for a constraint the policy is its template's name, the kind in lower case."""


def policies(group: str, version: str, kind: str) -> Resource | None:
    """The policy kind of an object of this kind; None: it is no policy."""
    api = POLICY_GROUPS.get(group)
    known = next((each for each in api.kinds if each.kind == kind), None) if api is not None else None
    return None if known is None else Resource(group, version, known.plural, kind, known.namespaced)


class PolicyMetadata:
    """The policy texts of one cluster, and which of them have changed."""

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
        on_malformed: Callable[[str, str], None],
        on_synced: Callable[[], None] = lambda: None,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps. `on_malformed` gets the group resource of a policy
        that cannot be read, and why. `on_synced` is called when a kind is synced.
        """
        self.sinks: dict[str, PolicySink] = {}
        """Group resource → sink, of every kind that is or was served."""
        self.refusal_grace_ms = REFUSAL_GRACE_MS
        """How long listing must be refused before that is accepted."""
        self.on_synced = on_synced
        self.on_malformed = on_malformed
        self.version = 0
        """Another one whenever anything is known otherwise."""
        self._now = now
        self._texts: dict[Key, dict[str, Policy]] = {}
        """Policy → namespace that it is in → texts, if it has any."""
        self._changed: set[Key] = set()
        self._changed_at = NEVER
        self._changed_since = NEVER
        self._relisted_at: dict[str, SteadyMs] = {}
        """Source → when it was last to be listed again because of changed texts."""

    def enrich(self, violation: Violation) -> Violation:
        if is_notice(violation):  # about a truncated list, whereas policy texts describe objects
            return violation
        texts = self._texts.get(_key(violation.source, violation.policy))
        if texts is None:
            return violation
        policy = texts.get(namespace_of(violation.subject)) or texts.get(_CLUSTER_WIDE)
        return violation if policy is None else enriched(violation, policy)

    def template_severity(self, resource: str) -> Severity | None:
        """The severity of the template of a constraint kind (given by its plural)."""
        policy = self._texts.get((GATEKEEPER, resource), {}).get(_CLUSTER_WIDE)
        return None if policy is None else policy.severity

    def learn(self, key: Key, policy: Policy, *, namespace: str) -> None:
        """Take the texts of a policy. `namespace` is the one that the policy is in; empty for a cluster-wide policy."""
        if policy == self._texts.get(key, {}).get(namespace, _EMPTY):
            return
        if policy == _EMPTY:
            self.forget(key, namespace=namespace)
        else:
            self._texts.setdefault(key, {})[namespace] = policy
            self.version += 1
        self._changed_at = self._now()
        if not self._changed:
            self._changed_since = self._changed_at
        self._changed.add(key)

    def forget(self, key: Key, *, namespace: str) -> None:
        """The policy was deleted long enough ago."""
        self.version += 1
        texts = self._texts.get(key, {})
        texts.pop(namespace, None)
        if not texts:
            self._texts.pop(key, None)

    def discard_changes(self) -> None:
        """Discard changes so far: nothing was rendered yet."""
        self._changed.clear()

    def changed(self, violated: Iterable[tuple[str, str]]) -> frozenset[Key]:
        """Which of the violated policies, as (source, policy), have other texts since the last call; none before the
        quiet period has passed.
        """
        now = self._now()
        if not self._changed or now < min(self._changed_at + DEBOUNCE_MS, self._changed_since + MAX_DEBOUNCE_MS):
            return frozenset()
        due = {key for key in self._changed if now >= self._relisted_at.get(key[0], NEVER) + MIN_RELIST_INTERVAL_MS}
        self._changed -= due
        reported = due & {_key(source, policy) for source, policy in violated} if due else due
        self._relisted_at |= {source: now for source, _ in reported}
        return frozenset(reported)

    def now(self) -> SteadyMs:
        return self._now()

    def sink(self, resource: Resource) -> "PolicySink":
        return self.sinks.setdefault(resource.group_resource, PolicySink(self, resource))


_EMPTY: Final = Policy()


def _key(source: str, policy: str) -> Key:
    return source, policy.lower() if source == GATEKEEPER else policy


def concerns(resource: Resource, changed: frozenset[Key]) -> bool:
    """Whether the objects of a source API may name one of these policies."""
    if resource.group == CONSTRAINTS:
        return (GATEKEEPER, resource.plural) in changed
    return any(source != GATEKEEPER for source, _ in changed)


class PolicySink:
    """The sink of the reflector of one kind of policies."""

    def __init__(self, policies: PolicyMetadata, resource: Resource) -> None:
        self.group_resource = resource.group_resource
        self.synced = False
        """Whether it was listed, or its refusal was accepted."""
        self.refused_at = NEVER
        """Since when listing is refused; 0: it is not, or it was listed before."""
        self._policies = policies
        kind = POLICY_KINDS[resource.group_resource]
        self._source, self._namespaced = kind.engine, kind.namespaced
        self._known: set[tuple[Key, str]] = set()
        """Known policies with their namespaces."""
        self._seen: set[tuple[Key, str]] | None = None
        self._has_unreadable = False
        """Whether an object of the listing under way could not be read."""
        self._missing: set[tuple[Key, str]] = set()
        """Known policies that the last listing lacked."""

    def begin(self) -> None:
        self._seen = set()
        self._has_unreadable = False

    def stream_started(self) -> None:
        """The time of a stream does not matter for texts."""

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            metadata = decoded(_object, raw, ValueError).metadata
        except ValueError as error:
            self.unreadable(raw, error)
            return
        found = self._identify(metadata)
        if found is None:
            return
        key, namespace = found
        self._known.add(found)
        if self._seen is not None:
            self._seen.add(found)
        self._policies.learn(key, policy_of(metadata.annotations, metadata.labels), namespace=namespace)

    def _identify(self, metadata: "_Metadata") -> tuple[Key, str] | None:
        """None where a namespaced policy has no namespace, as in a manifest: its findings cannot be known."""
        named = name_in_reports(self.group_resource, name=metadata.name, namespace=metadata.namespace)
        namespace = metadata.namespace if self._namespaced else _CLUSTER_WIDE
        if self._namespaced and not namespace:
            return None
        return (self._source, named), namespace

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (no difference here)
        self.upsert(raw)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        """Its texts stay for now (see the module), as if the listing under way had brought it."""
        if self._seen is None:
            return
        try:
            found = self._identify(decoded(_object, raw, ValueError).metadata)
        except ValueError as error:
            self.unreadable(raw, error)
            return
        if found in self._known:
            self._seen.add(found)

    def unreadable(self, _raw: bytes | msgspec.Raw, error: Exception) -> None:
        """It may be any policy, so all known ones stay."""
        self._has_unreadable = True
        self._policies.on_malformed(self.group_resource, line(f"{type(error).__name__}: {error}"))

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        if self._has_unreadable:
            seen |= self._known
        for key, namespace in self._missing - seen:
            self._known.discard((key, namespace))
            self._policies.forget(key, namespace=namespace)
        self._missing = self._known - seen
        self._mark_synced()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        now = self._policies.now()
        if state.reason is not Reason.LISTING_FORBIDDEN:
            self.refused_at = NEVER
        elif not self.refused_at:
            self.refused_at = now
        if state.reason is Reason.VANISHED or (
            self.refused_at and now - self.refused_at >= self._policies.refusal_grace_ms
        ):
            self._mark_synced()

    def _mark_synced(self) -> None:
        if not self.synced:
            self.synced = True
            self._policies.on_synced()


class _Metadata(msgspec.Struct):
    name: ServedName
    namespace: ServedNamespace = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


_object = msgspec.json.Decoder(_Object)
