"""How a process of the operator sees the model cluster: discoveries, listings, watches, and what they tell its ledger.

The views are the real ones; what the data plane does with a discovery and at each tick is done here as there. `heard`
tells up to which change of the cluster each API was seen: what began later, no listing could know.
"""

from collections.abc import Callable, Iterable

import msgspec

from policyhub.metrics import Metrics
from policyhub.sources.filter import Filter
from policyhub.sources.violation import SourceKey
from policyhub.sync.ledger import Ledger
from policyhub.sync.namespaces import Namespaces
from policyhub.sync.view import View
from tests.unit.sync.model_cluster import CASES, CONSTRAINTS, OLD_API, ORIGINS, REPORT_APIS, Cluster

GARBAGE = b'{"kind": "PolicyReport", "metadata": {}}'
"""An object of which not even the name can be read."""


class Source:
    """One API that is or was served."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.watching = False
        self.deceived = False
        """Whether another cluster answers it."""
        self.vanished: int | None = None
        """When a discovery first lacked it."""
        self.forgotten = False
        self.told: dict[SourceKey, bytes] = {}
        """What the watch has told, or the listing before it."""
        self.made = -1
        """Which of the APIs of this name was listed: one that was removed and came back is another."""
        self.listing: tuple[int, int, dict[SourceKey, bytes], list[SourceKey]] | None = None
        """Under way: which API, the change that it shows, all of it, what is still to come."""


class Sight:
    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        *,
        metrics: Metrics,
        now: Callable[[], int],
        wall: Callable[[], int],
        delay: int,
    ) -> None:
        self._cluster, self._ledger, self._metrics = cluster, ledger, metrics
        self._now, self._wall, self._delay = now, wall, delay
        self.sources: dict[str, Source] = {}
        self.heard: dict[str, int] = {}
        self.heard_left = 0
        """Up to which change it is known which API the engine has left behind."""
        self.grade = False
        """Set after an inventory: the next listings tell what passes among what nobody calls for."""
        self.sees_namespaces = False
        self.heard_namespaces = 0
        self._names: frozenset[str] = frozenset()
        self._namespaces = Namespaces(ledger, cluster="alpha", now=now)
        self._unknown: frozenset[str] = frozenset()
        self._discovered = False

    # -- discovery ------------------------------------------------------------------------------------------------

    def discover(self, unknown: Iterable[str] = ()) -> None:
        """Which APIs are served; of those in `unknown` nothing is told."""
        started, ledger = self._now(), self._ledger
        self._unknown = frozenset(unknown)
        served = {o for o in ORIGINS if o not in self._cluster.removed and o not in self._unknown}
        for origin in sorted(served):
            source = self.sources.get(origin)
            if source is None or source.vanished is not None:
                self._stop(origin)
                self.sources[origin] = self._start(origin)
        for origin, source in self.sources.items():
            if origin not in served and origin not in self._unknown and source.vanished is None:
                source.vanished = started
                self._stop(origin)
        ledger.sources.confirm(served, now=started)
        if CONSTRAINTS not in self._unknown:
            self._forget_kind(started)
            ledger.sources.read_kinds(served & {CONSTRAINTS}, now=started)
        self._discovered = True
        self.tick()

    def _start(self, origin: str) -> Source:
        resource, _, group = origin.partition(".")
        view = View(
            cluster="alpha",
            group=group,
            resource=resource,
            ledger=self._ledger,
            wanted=Filter(),
            metrics=self._metrics,
            now=self._now,
            wall=self._wall,
        )
        return Source(view)

    def _stop(self, origin: str) -> None:
        if (source := self.sources.get(origin)) is not None:
            self.lose(origin)
            source.view.abort()

    def _forget_kind(self, started: int) -> None:
        source = self.sources.get(CONSTRAINTS)
        if source is None or source.vanished is None or source.forgotten or started - source.vanished < self._delay:
            return
        source.forgotten = True
        for key in [
            k for k in (*self._ledger.desired.objects, *self._ledger.sources.audits) if k.origin == CONSTRAINTS
        ]:
            self._ledger.gone(key, now=self._now())

    # -- listings and watches -------------------------------------------------------------------------------------

    def can_list(self, origin: str) -> bool:
        source = self.sources.get(origin)
        return source is not None and source.vanished is None and origin not in self._cluster.removed

    def list_all(self, origin: str, *, garbage: bool = False) -> None:
        """A complete listing, and the watch that follows it."""
        self.begin(origin)
        self.finish(origin, garbage=garbage)

    def begin(self, origin: str) -> None:
        """A listing begins, and brings its first page; its pages show one moment."""
        source = self.sources[origin]
        self.abort(origin)
        source.view.grade |= self.grade and self._ledger.sources.reports_listed and origin in REPORT_APIS
        source.view.begin()
        source.deceived = self._cluster.impostor
        found = self._cluster.objects(origin, impostor=source.deceived)
        moment = self.heard.get(origin, 0) if source.deceived else self._shown(origin)
        source.listing = self._cluster.made(origin), moment, found, list(found)
        self._pages(source, 1)

    def _shown(self, origin: str) -> int:
        """Up to which change an API tells the truth now."""
        return self._cluster.known_of_constraint() if origin == CONSTRAINTS else self._cluster.seq

    def _pages(self, source: Source, number: int) -> None:
        assert source.listing is not None
        _, _, found, left = source.listing
        for key in left[:number]:
            source.view.upsert(found[key])
            source.told[key] = found[key]
        del left[:number]

    def finish(self, origin: str, *, garbage: bool = False) -> None:
        """The rest of a listing, and the watch that follows it."""
        source = self.sources[origin]
        assert source.listing is not None
        self._pages(source, 99)
        if garbage:
            source.view.upsert(GARBAGE)
        source.made, self.heard[origin], source.told, _ = source.listing
        source.listing = None
        source.view.finish()
        self._watch(source)

    def _watch(self, source: Source) -> None:
        source.view.opened()
        source.watching = True
        source.view.live(live=True)
        self.tick()

    def resume(self, origin: str) -> None:
        """A watch that was lost goes on from where it was, where the API server allows it; else all is listed."""
        source = self.sources[origin]
        if source.view.last_listed and source.made == self._cluster.made(origin) and not self._cluster.impostor:
            self._watch(source)
        else:
            self.list_all(origin)

    def abort(self, origin: str) -> None:
        source = self.sources[origin]
        if source.listing is not None:
            source.listing = None
            source.view.abort()

    def lose(self, origin: str) -> None:
        """A watch is lost, a listing cut short."""
        source = self.sources.get(origin)
        if source is not None:
            self.abort(origin)
            source.watching = False
            source.view.live(live=False)

    def deliver(self, origin: str) -> None:
        """What has changed arrives by the watch."""
        source = self.sources.get(origin)
        if source is None or not source.watching or source.listing is not None:
            return
        found = self._cluster.objects(origin, impostor=source.deceived)
        for key, raw in found.items():
            if source.told.get(key) != raw:
                source.view.upsert(raw)
        for key in source.told.keys() - found.keys():
            source.view.delete(msgspec.json.encode({"metadata": {"name": key.name, "namespace": key.namespace}}))
        source.told = found
        if not source.deceived and (origin not in self._cluster.removed or origin == CONSTRAINTS):
            self.heard[origin] = self._shown(origin)

    def deliver_all(self) -> None:
        """All that has changed arrives; what was being listed is."""
        for origin, source in self.sources.items():
            if source.listing is not None:
                self.finish(origin)
            self.deliver(origin)
        self.deliver_namespaces()

    # -- namespaces -----------------------------------------------------------------------------------------------

    def list_namespaces(self) -> None:
        found = frozenset({"kube-system"} if self._cluster.impostor else {"kube-system", *self._cluster.namespaces})
        self._namespaces.begin()
        for name in sorted(found):
            self._namespaces.upsert(_named(name))
        self._namespaces.finish()
        self._namespaces.opened()
        self.sees_namespaces = True
        self._namespaces.live(live=True)
        self._names = found
        if not self._cluster.impostor:
            self.heard_namespaces = self._cluster.seq

    def lose_namespaces(self) -> None:
        self.sees_namespaces = False
        self._namespaces.live(live=False)

    def deliver_namespaces(self) -> None:
        if not self.sees_namespaces or self._cluster.impostor:
            return
        found = frozenset({"kube-system", *self._cluster.namespaces})
        for name in sorted(found - self._names):
            self._namespaces.upsert(_named(name))
        for name in sorted(self._names - found):
            self._namespaces.delete(_named(name))
        self._names = found
        self.heard_namespaces = self._cluster.seq

    # -- the tick -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What the data plane does every second."""
        ledger = self._ledger
        reports = {o: s for o, s in self.sources.items() if o in REPORT_APIS}
        listed = {origin for origin, source in reports.items() if source.view.last_listed}
        unheard = [o for o in self._unknown if o != CONSTRAINTS and o not in listed]
        ledger.sources.list_reports(
            listed=self._discovered and not unheard and listed == reports.keys(),
            groups=sum(source.vanished is None for source in reports.values()),
            now=self._now(),
        )
        if set(REPORT_APIS) <= listed:
            left = self._cluster.left
            ledger.supersede(
                frozenset({("kyverno", OLD_API.partition(".")[2])}) if left else frozenset(), now=self._now()
            )
            ledger.sources.dual_api = frozenset({"kyverno"})
            self.heard_left = self._cluster.seq

    # -- what it could know ---------------------------------------------------------------------------------------

    def could_know(self, label: str) -> list[str]:
        """The APIs that call for a violation, and did when they were last seen: who archives it now, is wrong."""
        wrong = []
        for origin, since in self._cluster.callers(label):
            seen = self.heard.get(origin, self._cluster.seq if origin in self.sources.keys() & set(REPORT_APIS) else 0)
            if origin == OLD_API:
                seen = min(seen, self.heard_left) if self._ledger.desired.superseded else seen
            if origin == CONSTRAINTS and self.sees_namespaces and CASES[label].namespace == "team":
                seen = min(seen, self.heard_namespaces)
            if since <= seen:
                wrong.append(origin)
        return wrong


def _named(name: str) -> bytes:
    return msgspec.json.encode({"metadata": {"name": name}})
