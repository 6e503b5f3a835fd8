"""What was exposed, as Prometheus sees it: samples by name and labels."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Sample:
    """One series at one moment."""

    name: str
    labels: frozenset[tuple[str, str]]
    value: float

    def label(self, name: str) -> str:
        return dict(self.labels).get(name, "")


def samples(*texts: str) -> list[Sample]:
    """Read expositions."""
    return [
        Sample(sample.name, frozenset(sample.labels.items()), sample.value)
        for text in texts
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def value(of: Iterable[Sample], name: str, **labels: str) -> float:
    """Return the sum of the series of a name that have these labels."""
    wanted = frozenset(labels.items())
    return sum(sample.value for sample in of if sample.name == name and wanted <= sample.labels)
