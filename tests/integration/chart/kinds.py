"""CRDs of the Prometheus operator and of Cilium, limited to the fields that the chart may use.

With them the API server validates these kinds as strictly as its own. Names and types are those of the CRDs of
prometheus-operator at 6adcebc5076c34f4f55f8f5f7b1e528929373ac7 (2026-08) and of cilium.io/v2. They lack what the chart
does not use, and so reject more than the real ones do.
"""

from typing import Any

from dev import crds

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_DURATION: Schema = {
    "type": "string",
    "pattern": "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}


def _object(*required: str, **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields} | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_RELABELINGS = _list(
    _object(
        action={"type": "string", "enum": ["replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep"]},
        modulus={"type": "integer"},
        regex=_TEXT,
        replacement=_TEXT,
        separator=_TEXT,
        sourceLabels=_list(_TEXT),
        targetLabel=_TEXT,
    )
)
_ENDPOINTS = _list(
    _object(
        port=_TEXT,
        path=_TEXT,
        interval=_DURATION,
        scrapeTimeout=_DURATION,
        relabelings=_RELABELINGS,
        metricRelabelings=_RELABELINGS,
    )
)
_SELECTED = {
    "selector": _object(matchLabels=_LABELS),
    "namespaceSelector": _object(any={"type": "boolean"}, matchNames=_list(_TEXT)),
}
_RULE = _object(
    "expr",
    alert=_TEXT,
    expr={"x-kubernetes-int-or-string": True},
    record=_TEXT,
    labels=_LABELS,
    annotations=_LABELS,
    **{"for": _DURATION},
)
_SPECS = {
    "ServiceMonitor": _object("endpoints", "selector", endpoints=_ENDPOINTS, **_SELECTED),
    "PodMonitor": _object("selector", podMetricsEndpoints=_ENDPOINTS, **_SELECTED),
    "PrometheusRule": _object(groups=_list(_object("name", name=_TEXT, interval=_DURATION, rules=_list(_RULE)))),
}
_CILIUM = _object(
    endpointSelector=_object(matchLabels=_LABELS),
    egress=_list(
        _object(
            toEntities=_list(
                {"type": "string", "enum": ["all", "world", "cluster", "host", "remote-node", "kube-apiserver"]}
            ),
            toPorts=_list(
                _object(
                    ports=_list(_object("port", port=_TEXT, protocol={"type": "string", "enum": ["TCP", "UDP", "ANY"]}))
                )
            ),
        )
    ),
)


def definitions() -> list[Schema]:
    """The CRDs."""
    monitors = [
        _strict(
            crds.crd(
                group="monitoring.coreos.com", kind=kind, plural=f"{kind.lower()}s", versions=("v1",), namespaced=True
            ),
            spec,
        )
        for kind, spec in _SPECS.items()
    ]
    policies = crds.crd(
        group="cilium.io", kind="CiliumNetworkPolicy", plural="ciliumnetworkpolicies", versions=("v2",), namespaced=True
    )
    return [*monitors, _strict(policies, _CILIUM)]


def _strict(definition: Schema, spec: Schema) -> Schema:
    for version in definition["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return definition
