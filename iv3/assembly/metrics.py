"""Figures for Prometheus, as text."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from streams.runtime.report import Metric
from streams.runtime.role import Role

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family


def metrics_text(roles: Iterable[Role], log_counters: Mapping[str, int], more: Iterable[Metric] = ()) -> str:
    """What the roles, the log and this process count: few figures, each one that somebody would act upon."""
    from prometheus_client import CollectorRegistry, generate_latest  # 3 MB, for whoever is asked for figures

    figures = [metric for role in roles for metric in role.report().metrics]
    figures += [Metric(f"iv3_log_{name}_total", value) for name, value in log_counters.items()]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures([*figures, *more]))
    return generate_latest(registry).decode()


class _Figures:
    """A Prometheus collector of figures that are there."""

    def __init__(self, figures: Iterable[Metric]) -> None:
        self._figures = list(figures)

    def collect(self) -> "Iterable[Family]":
        """One family for each name."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for figure in self._figures:
            make = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            family = families.setdefault(figure.name, make(figure.name, "", labels=[key for key, _ in figure.labels]))
            family.add_metric([value for _, value in figure.labels], figure.value)
        return families.values()
