"""Random writes of the tenant, valid and invalid, from a seed."""

from collections.abc import Callable
from typing import Any

from tests.hostile.checker import MARK, TENANT
from tests.hostile.scenario import Context, scenario
from tests.hostile.tenant import PATHS, report, result, workload

KINDS = ("Pod", "ReplicaSet", "Deployment", "StatefulSet", "Job", "CronJob")
NAMES = 40
"""Few names, so that objects are rewritten."""


class Wild:
    def __init__(self, context: Context) -> None:
        self._tenant = context.tenant
        self._rng = context.rng

    def step(self) -> None:
        moves: dict[Callable[[], None], float] = {
            self._report: 40, self._workload: 20, self._patch: 15, self._delete: 15, self._crowd: 1, self._policy: 3,
            self._raw: 3,
        }  # fmt: skip
        self._rng.choices(list(moves), weights=list(moves.values()))[0]()

    # -- writes --------------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        kind = self._rng.choice(("PolicyReport", "Report"))
        results = [self._result() for _ in range(self._rng.choice((0, 1, 2, 5, 40)))]
        members = {
            member: value()
            for member, value in (
                ("source", self._text), ("scope", self._object), ("summary", self._anything), ("extra", self._anything)
            )
            if self._rng.random() < 0.3
        }  # fmt: skip
        document = report(self._name(), *results, kind=kind, **members)
        if self._rng.random() < 0.05:
            document["results"] = self._anything()
        if self._rng.random() < 0.2:
            document["metadata"]["annotations"] = {f"a{n}": self._text() for n in range(3)}
        self._tenant.put(document)

    def _workload(self) -> None:
        kind = self._rng.choice(KINDS)
        document = workload(kind, self._name(), owner=self._owner() if self._rng.random() < 0.7 else None)
        if self._rng.random() < 0.5:
            document["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": self._text()}
        self._tenant.put(document)

    def _patch(self) -> None:
        kind = self._rng.choice(KINDS)
        changes: list[dict[str, Any]] = [
            {"metadata": {"ownerReferences": [self._owner()]}},
            {"metadata": {"ownerReferences": None}},
            {"metadata": {"annotations": {"deployment.kubernetes.io/revision": self._text()}}},
            {"status": {"phase": self._rng.choice(("Succeeded", "Running", "Failed"))}},
        ]
        self._tenant.patch(kind, self._name(), self._rng.choice(changes))

    def _delete(self) -> None:
        self._tenant.delete(self._rng.choice((*KINDS, "PolicyReport", "Report")), self._name())

    def _crowd(self) -> None:
        entry = {**self._result(), "resources": [{"name": f"{n:x}"} for n in range(self._rng.choice((1_000, 20_000)))]}
        self._tenant.put(report(self._name(), entry))

    def _policy(self) -> None:
        kind, version = self._rng.choice(
            (("Policy", "kyverno.io/v1"), ("AdmissionPolicy", "policies.kubewarden.io/v1"))
        )
        metadata = {
            "name": self._name(),
            "namespace": TENANT,
            "annotations": {"policies.kyverno.io/title": self._text()},
        }
        self._tenant.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": self._anything()})

    def _raw(self) -> None:
        depth = self._rng.choice((10, 300, 3_000))
        nested = (
            f'{{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReport","metadata":{{"name":"{self._name()}"}},'
        )
        self._tenant.send("POST", PATHS["PolicyReport"], f'{nested}"results":{"[" * depth}{"]" * depth}}}'.encode())

    # -- values --------------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"wild-{self._rng.randrange(NAMES)}"

    def _result(self) -> dict[str, Any]:
        entry = result(self._rng.choice(("limits", "probes", "wild", "")), self._name())
        wild: dict[str, Callable[[], Any]] = {
            "policy": self._text, "rule": self._text, "message": self._text, "category": self._text,
            "source": self._source, "severity": self._text, "resources": self._objects, "timestamp": self._anything,
            "properties": self._properties, "scored": self._anything, "resourceSelector": self._anything,
            "result": lambda: self._rng.choice(("fail", "pass", "warn", "error", "skip", "FAIL", "", "x" * 2_000)),
        }  # fmt: skip
        for member in self._rng.sample(sorted(wild), self._rng.randint(0, 5)):
            entry[member] = wild[member]()
        if self._rng.random() < 0.03:
            entry[self._rng.choice(sorted(wild))] = self._anything()
        return entry

    def _source(self) -> str:
        return self._rng.choice(("tenant", "wild", "x,kyverno", "Falco", "Trivy ConfigAudit", self._text()))

    def _properties(self) -> dict[str, str]:
        return {self._text()[:300]: self._text() for _ in range(self._rng.randrange(6))}

    def _objects(self) -> Any:
        return [self._object() for _ in range(self._rng.choice((0, 1, 3)))]

    def _object(self) -> dict[str, Any]:
        return {
            "apiVersion": self._rng.choice(("v1", "apps/v1", "batch/v1", "a/b/c", "")),
            "kind": self._rng.choice((*KINDS, "Namespace", "Node", "pod", "", self._text())),
            "namespace": self._rng.choice((TENANT, TENANT, "", "shop", "bank", "kube-system")),
            "name": self._rng.choice((self._name(), self._name(), "web-0", "app-1", self._text())),
        }

    def _owner(self) -> dict[str, Any]:
        return {
            "apiVersion": self._rng.choice(("apps/v1", "batch/v1", "v1", "example.com/v1")),
            "kind": self._rng.choice((*KINDS, "Node", "Phantom")),
            "name": self._name(),
            "uid": f"{self._rng.randrange(4)}1111111-1111-1111-1111-111111111111",
            "controller": self._rng.random() < 0.9,
        }

    def _text(self) -> str:
        pieces = (
            "", " ", "a", MARK, "é" * 50, "\x1b[31m", "\u202e", "\u0000", "\ud800", "x" * 300, " " * 3_000, "9" * 4_301,
            "CIS 1.2.3 ", "$(id)", "';", "\n", '{"a":[', "@2099-01-01T00:00:00Z,", "-", "\\", "%s", "{}", "<b>",
        )  # fmt: skip
        return "".join(self._rng.choices(pieces, k=self._rng.choice((1, 1, 2, 3, 8))))

    def _anything(self) -> Any:
        return self._rng.choice(
            (None, True, 0, -1, 10**18, 1.5e300, "", self._text(), [], [[]], {}, {"a": [{}]}, [None], {"seconds": -1})
        )


@scenario("at random", seconds=20, expected_texts=())
def wild(context: Context) -> None:
    """Random writes of all kinds that the tenant may write, with valid and invalid values, as fast as possible."""
    tenant = Wild(context)
    while not context.over:
        tenant.step()
