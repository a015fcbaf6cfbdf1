"""Declares metrics: with their documentation, with short printable label values, and grouped by what they describe, so
that their series are removed together with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeHistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from policyhub.metrics.ages import AGE_SECONDS, Ages

LABEL = 128
"""Characters of a label's value."""
_HASH = 16
M = TypeVar("M", Gauge, Counter, Histogram)

Type = Literal["gauge", "counter", "histogram", "gauge histogram"]


@dataclass(frozen=True, slots=True)
class Definition:
    """The documentation of one metric."""

    name: str
    """As exposed: a counter's ends in `_total`."""
    type: Type
    labels: tuple[str, ...]
    section: str
    meaning: str
    """A phrase; also the metric's HELP."""
    detail: str
    """Sentences: the values of its labels, and what to know before using it in an alert."""
    example: str
    """A query that has a result in a working cluster, unless it is a condition (`> 0`)."""


def label(value: object) -> str:
    """The value if it is short and printable; else its printable beginning and a hash, so that it stays unique."""
    text = str(value)
    if len(text) <= LABEL and text.isprintable():
        return text
    kept = "".join(character for character in text[:LABEL] if character.isprintable())
    mark = sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH]
    return f"{kept[: LABEL - _HASH - 1]}~{mark}"


class _Labelled(MetricWrapperBase):
    """A metric that shortens its label values with `label`."""

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        values = {name: label(value) for name, value in labelkwargs.items()}
        return super().labels(*map(label, labelvalues), **values)

    def remove(self, *labelvalues: object) -> None:
        super().remove(*map(label, labelvalues))

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        super().remove_by_labels({name: label(value) for name, value in labels.items()})


class _Gauge(_Labelled, Gauge):
    pass


class _Counter(_Labelled, Counter):
    pass


class _Histogram(_Labelled, Histogram):
    pass


class AgeHistogram(Collector):
    """Ages as a gauge histogram: its buckets go up and down, so queries use them directly, without a rate."""

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._ages: Mapping[tuple[str, str], Ages] = {}
        """(cluster, severity) → ages. Replaced, never modified: another thread reads it for /metrics."""

    def set(self, cluster: str, ages: Mapping[str, Ages]) -> None:
        """Replace the ages of a cluster; by severity."""
        others = {key: value for key, value in self._ages.items() if key[0] != cluster}
        self._ages = others | {(cluster, severity): value for severity, value in ages.items()}

    def collect(self) -> Iterator[Metric]:
        family = GaugeHistogramMetricFamily(self._name, self._meaning, labels=["cluster", "severity"])
        for labels, ages in sorted(self._ages.items()):
            family.add_metric([label(value) for value in labels], list(_cumulated(ages.counts)), ages.seconds)
        yield family


def _cumulated(counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, number in zip((*map(str, AGE_SECONDS), "+Inf"), counts, strict=True):
        total += number
        yield bound, total


class Series:
    """Declares metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.definitions: list[Definition] = []
        self.section = ""
        """The section of the next declarations."""
        self.clustered: list[Gauge] = []
        """Gauges of a cluster."""
        self.counted: list[Counter] = []
        """Counters of a cluster."""
        self.hubs: list[Gauge | Counter | Histogram] = []
        """Metrics of a hub."""

    def gauge(self, name: str, meaning: str, *labels: str, example: str, detail: str = "") -> Gauge:
        self.define(name, "gauge", labels, meaning, detail, example)
        gauge = _Gauge(f"policyhub_{name}", meaning, labels, registry=self.registry)
        if "cluster" in labels:
            self.clustered.append(gauge)
        return self._of_hub(gauge, labels)

    def _of_hub(self, metric: M, labels: tuple[str, ...]) -> M:
        if "hub" in labels:
            self.hubs.append(metric)
        return metric

    def counter(self, name: str, meaning: str, *labels: str, example: str, detail: str = "") -> Counter:
        self.define(f"{name}_total", "counter", labels, meaning, detail, example)
        counter = _Counter(f"policyhub_{name}", meaning, labels, registry=self.registry)
        if "cluster" in labels:
            self.counted.append(counter)
        return self._of_hub(counter, labels)

    def histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...], example: str, detail: str = ""
    ) -> Histogram:
        self.define(name, "histogram", labels, meaning, detail, example)
        made = _Histogram(f"policyhub_{name}", meaning, labels, buckets=buckets, registry=self.registry)
        return self._of_hub(made, labels)

    def define(self, name: str, type_: Type, labels: tuple[str, ...], meaning: str, detail: str, example: str) -> None:  # noqa: PLR0917  (one caller a type)
        self.definitions.append(Definition(f"policyhub_{name}", type_, labels, self.section, meaning, detail, example))
