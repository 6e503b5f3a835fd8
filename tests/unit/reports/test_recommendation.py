"""Each rule fires beyond its threshold, not at rest, and carries what made it fire."""

from typing import Any

import pytest

from tasks.reporting.metric import METRICS
from tasks.reporting.recommendation import recommend


def document(**changes: Any) -> dict[str, Any]:
    """Return a report in which nothing stands out, with other metrics or sections where *changes* say so."""
    usual = {"publish_success": 1.0, "job_success": 1.0, "job_wait": 1.0, "lead_score": 60.0}
    metrics = [
        {
            "key": metric.key,
            "label": metric.label,
            "unit": metric.unit.value,
            "value": usual.get(metric.key, 30),
            "weekly": [30] * 8,
            "trend": {"direction": "steady", "slope_per_week": 0.0},
        }
        | changes.pop(metric.key, {})
        for metric in METRICS
    ]
    sections = {"accounts": [], "quota": [], "unscored_leads": 0}
    return {"groups": [{"metrics": metrics}]} | sections | changes


def trend(direction: str, slope: float) -> dict[str, Any]:
    return {"trend": {"direction": direction, "slope_per_week": slope}}


def test_where_nothing_stands_out_nothing_is_recommended() -> None:
    assert recommend(document()) == []


FIRED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("posts_fail", {"publish_success": {"value": 0.94}}, {"metric": "publish_success", "threshold": 0.95}),
    ("jobs_fail", {"job_success": {"value": 0.97}}, {"metric": "job_success", "value": 0.97}),
    ("jobs_wait", {"job_wait": {"value": 61}}, {"metric": "job_wait", "value": 61, "threshold": 60}),
    ("leads_are_cold", {"lead_score": {"value": 39}}, {"metric": "lead_score", "threshold": 40}),
    ("leads_unscored", {"unscored_leads": 6}, {"metric": "unscored_leads", "value": 6, "threshold": 6.0}),
    ("cadence_falls", {"posts_published": {"weekly": [30] * 7 + [20]}}, {"value": 20, "threshold": 21.0}),
    ("conversions_fall", {"conversion_rate": trend("falling", -0.01)}, {"value": -0.01, "threshold": 0}),
    (
        "visitors_without_leads",
        {"visitors": trend("rising", 12.0)},
        {"metric": "visitors.slope_per_week", "value": 12.0},
    ),
    (
        "quota_runs_out",
        {"quota": [{"meter": "posts_month", "share": 0.8}]},
        {"metric": "quota.posts_month", "value": 0.8, "threshold": 0.8},
    ),
    (
        "accounts_out_of_use",
        {"accounts": [{"name": "a", "status": "active"}, {"name": "b", "status": "paused"}]},
        {"label": "b", "value": "paused", "threshold": "active"},
    ),
]
AT_REST: list[dict[str, Any]] = [
    {"publish_success": {"value": 0.95}},
    {"publish_success": {"value": 0.5}, "posts_published": {"value": 2, "weekly": [2] * 8}},
    {"job_success": {"value": 0.98}},
    {"job_wait": {"value": 60}},
    {"lead_score": {"value": 40}},
    {"lead_score": {"value": None}},
    {"lead_score": {"value": 1}, "leads_new": {"value": 19}},
    {"unscored_leads": 5},
    {"posts_published": {"weekly": [30] * 7 + [21]}},
    {"posts_published": {"weekly": [None] * 4 + [30, 30, 30, 1]}},
    {"conversion_rate": trend("rising", 0.01)},
    {"visitors": trend("rising", 12.0), "leads_new": trend("rising", 1.0)},
    {"quota": [{"meter": "posts_month", "share": 0.79}, {"meter": "jobs_month", "share": None}]},
    {"accounts": [{"name": "a", "status": "active"}]},
]


@pytest.mark.parametrize(("rule", "changes", "evidence"), FIRED, ids=[rule for rule, *_ in FIRED])
def test_a_rule_fires_with_its_evidence(rule: str, changes: dict[str, Any], evidence: dict[str, Any]) -> None:
    [found] = recommend(document(**changes))
    assert found["rule"] == rule
    assert evidence.items() <= found["evidence"][0].items()
    assert {"metric", "label", "unit", "value", "comparison", "threshold"} <= set(found["evidence"][0])


@pytest.mark.parametrize("changes", AT_REST)
def test_a_rule_rests_at_its_threshold(changes: dict[str, Any]) -> None:
    assert recommend(document(**changes)) == []


def test_what_fails_now_comes_first() -> None:
    changes = {"lead_score": {"value": 1}, "job_success": {"value": 0.1}, "quota": FIRED[8][1]["quota"]}
    assert [one["urgency"] for one in recommend(document(**changes))] == [3, 2, 1]
