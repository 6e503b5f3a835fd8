"""The document of a report: plain data of a fixed shape, the same for the same inputs."""

from collections.abc import Mapping
from typing import Any

import orjson

from tasks.reporting.metric import METRICS, Better, Group, Metric
from tasks.reporting.period import Period, Window
from tasks.reporting.reading import Figures, Subject
from tasks.reporting.recommendation import recommend
from tasks.reporting.trend import Direction, trend_of

SHAPE_VERSION = 1
"""Rises when a field is renamed, removed or means something else; new fields alone do not raise it."""

Document = Mapping[str, Any]

TITLES = {Group.USAGE: "Usage", Group.PERFORMANCE: "Performance", Group.BUSINESS: "Business"}
CURRENT, PREVIOUS, WEEKS = 0, 1, slice(2, None)
"""Places of a metric's values."""


def build_document(subject: Subject, period: Period, figures: Figures) -> Document:
    """Return the report as plain JSON data."""
    shown = {metric.key: _metric(metric, figures.series[metric.key]) for metric in METRICS}
    document: dict[str, Any] = {
        "shape_version": SHAPE_VERSION,
        "organization": {
            "id": str(subject.organization_id),
            "name": subject.name,
            "plan": subject.plan,
            "time_zone": period.time_zone,
        },
        "period": {"grain": period.grain.value, **_days(period.current)},
        "previous_period": _days(period.previous),
        "weeks": [_days(week) for week in period.weeks],
        "groups": [
            {
                "key": group.value,
                "title": TITLES[group],
                "metrics": [shown[metric.key] for metric in METRICS if metric.group is group],
            }
            for group in Group
        ],
        "quota": figures.quota,
        "accounts": figures.accounts,
        "campaigns": figures.campaigns,
        "lead_sources": figures.sources,
        "unscored_leads": figures.unscored,
    }
    document["recommendations"] = recommend(document)
    return document


def canonical(document: Document) -> bytes:
    """Return the bytes of *document*: equal documents have equal bytes."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _days(window: Window) -> dict[str, str]:
    return {"first_day": window.first.isoformat(), "last_day": window.last.isoformat()}


def _metric(metric: Metric, values: list[float | None]) -> dict[str, Any]:
    current, previous, weeks = values[CURRENT], values[PREVIOUS], values[WEEKS]
    trend = trend_of(weeks)
    return {
        "key": metric.key,
        "label": metric.label,
        "meaning": metric.meaning,
        "unit": metric.unit.value,
        "better": metric.better.value,
        "value": current,
        "previous": previous,
        "difference": None if current is None or previous is None else round(current - previous, 6),
        "change": _change(current, previous),
        "weekly": weeks,
        "trend": {
            "direction": trend.direction.value,
            "slope_per_week": None if trend.slope is None else round(trend.slope, 6),
            "weeks": trend.weeks,
            "news": _news(metric.better, trend.direction),
        },
    }


def _change(current: float | None, previous: float | None) -> float | None:
    """Return the change as a share of what was; None where there is nothing to compare with."""
    if current is None or not previous:
        return None
    return round((current - previous) / abs(previous), 6)


def _news(better: Better, direction: Direction) -> str:
    """Return whether a trend is good, bad or neither."""
    if better is Better.NEITHER or direction not in {Direction.RISING, Direction.FALLING}:
        return "neutral"
    return "good" if (direction is Direction.RISING) == (better is Better.HIGHER) else "bad"
