"""Every metric, its labels and what it tells."""

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from intake.lane_metrics import OF_LANE, OF_PLAN, OF_TENANT
from intake.relay_metrics import LAG
from ops.reference.markdown import code, table
from worker.metrics import ended, serve

INTRODUCTION = """# Metrics

What Prometheus reads: every intake at `/metrics`, every worker at `GENIUS_METRICS_PORT`.
[Runbooks](../runbooks.md) says what alerts make of them; `deploy/grafana` draws them.

"""


def metrics_page() -> str:
    """Return the page."""
    looked_up = [
        *(_row(name, ["lane"], told) for name, told in OF_LANE.values()),
        *(_row(name, ["lane", "plan"], told) for name, told in OF_PLAN.values()),
        *(_row(name, ["lane", "tenant"], told) for name, told in OF_TENANT.values()),
        *(
            (code(f"genius_relay_{name}{'_seconds' if name.startswith('oldest') else ''}"), "", told)
            for name, told in LAG.items()
        ),
    ]
    return "".join(
        [
            INTRODUCTION,
            "## Of the intake\n\n",
            _table(REGISTRY),
            "\n## Of lanes, organizations and the relay\n\nEvery intake tells the same: take one.\n\n",
            table(HEADINGS, looked_up),
            "\n## Of a worker\n\n",
            _table(ended.REGISTRY),
        ]
    )


HEADINGS = ["metric", "labels", "what it tells"]


def _table(registry: object) -> str:
    wrappers = getattr(registry, "_collector_to_names", {})
    found = [each for each in wrappers if isinstance(each, MetricWrapperBase)]
    rows = [
        _row(_described(each).name, list(each._labelnames), _described(each).documentation)  # noqa: SLF001
        for each in found
        if _described(each).name.startswith("genius_")
    ]
    return table(HEADINGS, rows)


def _described(wrapper: MetricWrapperBase) -> Metric:
    [metric] = wrapper.describe()
    return metric


def _row(name: str, labels: list[str], told: str) -> tuple[str, str, str]:
    return code(name), ", ".join(code(label) for label in labels), told


assert serve, "its import makes the metrics of a worker"
