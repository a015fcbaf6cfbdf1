"""What the policies of one cluster say of themselves, beside what their engines report (`sources.policy`).

The metadata of the policy objects is listed and watched, as far as it is served and allowed. It makes findings readable
and decides nothing about whether there is one.

| what came                                    | then                                                                  |
|----------------------------------------------|-----------------------------------------------------------------------|
| every kind that is served, listed or refused | *settled*: only now are reports and constraints read (`sync.library`) |
| a refusal (403)                              | is believed when it stands: it was refused again `refused_ms` later   |
| a policy that says something else            | if it is violated, its sources are listed again, once all is quiet    |
| a policy that is gone                        | its words stand until the second listing without it: its violations   |
|                                              | go with it, and need not be sent once more before                     |
| a kind that may not be listed, or fails      | what was known of it stands                                           |

A policy that lies in a namespace words the findings of that namespace and no others: its name, as its engine writes it,
may also be another's (Kubewarden calls `b-c` in `a` and `c` in `a-b` by one name), and who may write policies in one
namespace must not word, or rate, what is found in another. Where a namespace has none, the cluster-wide one speaks.

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
from policyhub.sources.engines import GATEKEEPER
from policyhub.sources.filter import namespace_of
from policyhub.sources.policy import Policy, enriched, policy_of
from policyhub.sources.policy_apis import POLICY_GROUPS, POLICY_KINDS, name_in_reports
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.text import line
from policyhub.sources.truncation import is_notice
from policyhub.sources.violation import Severity, Violation
from policyhub.sources.wire import ServedName, ServedNamespace

QUIET_MS: Final = 2_000
"""Policies are applied by the dozen: how long none may have changed before their sources are listed again."""
LONGEST_MS: Final = 30_000
"""How long changes wait at most: who changes a policy each second must not hold up everybody's."""
APART_MS: Final = 60_000
"""The least between two such listings for one source: each is as much as a first one."""
REFUSED_MS: Final = 30_000
"""How long a refusal stands before it is believed: an API server whose RBAC is not loaded yet refuses everything."""
_EVERYWHERE: Final = ""
"""The namespace of a policy that lies in none."""
Key = tuple[str, str]
"""A source and a policy, as violations name them; of a constraint its template's name, the kind in lower case."""


def policies(group: str, version: str, kind: str) -> Resource | None:
    """The kind of policies that an object of this kind is one of."""
    api = POLICY_GROUPS.get(group)
    known = next((each for each in api.kinds if each.kind == kind), None) if api is not None else None
    return None if known is None else Resource(group, version, known.plural, kind, known.namespaced)


class PolicyMetadata:
    """What is known, and what has changed."""

    def __init__(
        self,
        *,
        now: Callable[[], SteadyMs],
        on_malformed: Callable[[str, str], None],
        on_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`now` gives Unix milliseconds by a clock that never jumps; `on_malformed` is told of a policy that cannot be
        read (its origin, why), `on_settled` that a kind is settled.
        """
        self.sinks: dict[str, Sink] = {}
        """Of every kind that is or was served, by origin."""
        self.refused_ms = REFUSED_MS
        """How long a refusal has to stand."""
        self.on_settled = on_settled
        self.on_malformed = on_malformed
        self.version = 0
        """Another one whenever anything is known otherwise."""
        self._now = now
        self._said: dict[Key, dict[str, Policy]] = {}
        """Of those that say anything, by the namespace that they lie in."""
        self._changed: set[Key] = set()
        self._changed_at = NEVER
        self._changed_since = NEVER
        self._told_at: dict[str, SteadyMs] = {}
        """When changes of a source's policies were told last."""

    def enrich(self, violation: Violation) -> Violation:
        if is_notice(violation):  # of a list: what its policy says is said of objects
            return violation
        said = self._said.get(_key(violation.source, violation.policy))
        if said is None:
            return violation
        policy = said.get(namespace_of(violation.subject)) or said.get(_EVERYWHERE)
        return violation if policy is None else enriched(violation, policy)

    def template(self, resource: str) -> Severity | None:
        """The severity that the template of a kind of constraints (its plural) names."""
        policy = self._said.get((GATEKEEPER, resource), {}).get(_EVERYWHERE)
        return None if policy is None else policy.severity

    def learn(self, key: Key, policy: Policy, *, namespace: str) -> None:
        """`namespace` is where the policy lies; empty for a cluster-wide one."""
        if policy == self._said.get(key, {}).get(namespace, _SILENT):
            return
        if policy == _SILENT:
            self.forget(key, namespace=namespace)
        else:
            self._said.setdefault(key, {})[namespace] = policy
            self.version += 1
        self._changed_at = self._now()
        if not self._changed:
            self._changed_since = self._changed_at
        self._changed.add(key)

    def forget(self, key: Key, *, namespace: str) -> None:
        """The policy is gone for long."""
        self.version += 1
        said = self._said.get(key, {})
        said.pop(namespace, None)
        if not said:
            self._said.pop(key, None)

    def begin(self) -> None:
        """Nothing was rendered yet, so nothing has changed."""
        self._changed.clear()

    def changed(self, violated: Iterable[tuple[str, str]]) -> frozenset[Key]:
        """Which of the policies that are violated, as (source, policy), say something else since the last call; none
        before all is quiet.
        """
        now = self._now()
        if not self._changed or now < min(self._changed_at + QUIET_MS, self._changed_since + LONGEST_MS):
            return frozenset()
        due = {key for key in self._changed if now >= self._told_at.get(key[0], NEVER) + APART_MS}
        self._changed -= due
        told = due & {_key(source, policy) for source, policy in violated} if due else due
        self._told_at |= {source: now for source, _ in told}
        return frozenset(told)

    def now(self) -> SteadyMs:
        return self._now()

    def sink(self, resource: Resource) -> "Sink":
        return self.sinks.setdefault(resource.origin, Sink(self, resource))


_SILENT: Final = Policy()


def _key(source: str, policy: str) -> Key:
    return source, policy.lower() if source == GATEKEEPER else policy


def concerns(resource: Resource, changed: frozenset[Key]) -> bool:
    """Whether the objects of a source may name one of these policies."""
    if resource.group == CONSTRAINTS:
        return (GATEKEEPER, resource.plural) in changed
    return any(source != GATEKEEPER for source, _ in changed)


class Sink:
    """One kind of policies: what its reflector writes to."""

    def __init__(self, policies: PolicyMetadata, resource: Resource) -> None:
        self.origin = resource.origin
        self.settled = False
        """Whether it was listed, or refused for good."""
        self.refused_at = NEVER
        """Since when it is refused; 0: it is not, or was listed before."""
        self._policies = policies
        kind = POLICY_KINDS[resource.origin]
        self._source, self._namespaced = kind.engine, kind.namespaced
        self._known: set[tuple[Key, str]] = set()
        """Each with its namespace."""
        self._seen: set[tuple[Key, str]] | None = None
        self._blind = False
        """An object of the listing under way could not be read."""
        self._missed: set[tuple[Key, str]] = set()
        """What the last listing lacked."""

    def begin(self) -> None:
        self._seen = set()
        self._blind = False

    def watch_accepted(self) -> None:
        """Nothing hangs on when it was heard."""

    def upsert(self, raw: bytes | msgspec.Raw) -> None:
        try:
            metadata = decoded(_object, raw, ValueError).metadata
        except ValueError as error:
            self.unreadable(raw, error)
            return
        found = self._key_of(metadata)
        if found is None:
            return
        key, namespace = found
        self._known.add(found)
        if self._seen is not None:
            self._seen.add(found)
        self._policies.learn(key, policy_of(metadata.annotations, metadata.labels), namespace=namespace)

    def _key_of(self, metadata: "_Metadata") -> tuple[Key, str] | None:
        """None where a policy of a namespace names none, as in a file: it is not known whose findings it words."""
        named = name_in_reports(self.origin, name=metadata.name, namespace=metadata.namespace)
        namespace = metadata.namespace if self._namespaced else _EVERYWHERE
        if self._namespaced and not namespace:
            return None
        return (self._source, named), namespace

    def upsert_during_listing(self, raw: bytes | msgspec.Raw, *, new: bool) -> None:  # noqa: ARG002  (it is all the same here)
        self.upsert(raw)

    def delete(self, raw: bytes | msgspec.Raw) -> None:
        """Its words stand, see the module: as if the listing under way had brought it."""
        if self._seen is None:
            return
        try:
            found = self._key_of(decoded(_object, raw, ValueError).metadata)
        except ValueError as error:
            self.unreadable(raw, error)
            return
        if found in self._known:
            self._seen.add(found)

    def unreadable(self, _raw: bytes | msgspec.Raw, error: Exception) -> None:
        """Which policy it is, is not known: what was known of any stands."""
        self._blind = True
        self._policies.on_malformed(self.origin, line(f"{type(error).__name__}: {error}"))

    def finish(self) -> None:
        seen, self._seen = self._seen or set(), None
        if self._blind:
            seen |= self._known
        for key, namespace in self._missed - seen:
            self._known.discard((key, namespace))
            self._policies.forget(key, namespace=namespace)
        self._missed = self._known - seen
        self._settle()

    def abort(self) -> None:
        self._seen = None

    def state(self, state: ReflectorState) -> None:
        now = self._policies.now()
        if state.reason is not Reason.LISTING_FORBIDDEN:
            self.refused_at = NEVER
        elif not self.refused_at:
            self.refused_at = now
        if state.reason is Reason.VANISHED or (self.refused_at and now - self.refused_at >= self._policies.refused_ms):
            self._settle()

    def _settle(self) -> None:
        if not self.settled:
            self.settled = True
            self._policies.on_settled()


class _Metadata(msgspec.Struct):
    name: ServedName
    namespace: ServedNamespace = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Metadata


_object = msgspec.json.Decoder(_Object)
