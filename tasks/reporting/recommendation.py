"""Recommendations: rules that fire on a report's own figures and carry them as evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tasks.reporting.metric import Unit
from tasks.reporting.text import meter_name
from tasks.reporting.trend import LEAST_WEEKS, Direction

LEAST_POSTS = 5
LEAST_LEADS = 20
"""A share of fewer says little."""

POSTS_THROUGH = 0.95
JOBS_SUCCEED = 0.98
WAIT_SECONDS = 60
QUOTA_SHARE = 0.8
CADENCE_SHARE = 0.7
UNSCORED_SHARE = 0.2
LEAD_SCORE = 40

Finding = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """A report's figures, within reach of a rule."""

    document: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]

    def value(self, key: str) -> float | None:
        value: float | None = self.metrics[key]["value"]
        return value

    def evidence(self, key: str, comparison: str, threshold: Any) -> Finding:
        """Return the metric with the threshold it crossed."""
        metric = self.metrics[key]
        return _evidence(key, metric["label"], metric["unit"], metric["value"], comparison, threshold)

    def trend_evidence(self, key: str) -> Finding:
        """Return the metric's weekly slope, which crossed zero by more than what counts as steady."""
        metric = self.metrics[key]
        slope = metric["trend"]["slope_per_week"]
        label = f"{metric['label']}, change a week"
        comparison = "falls below" if slope < 0 else "rises above"
        unit = Unit.SHARE_CHANGE.value if metric["unit"] == Unit.SHARE else metric["unit"]
        return _evidence(f"{key}.slope_per_week", label, unit, slope, comparison, 0)

    def heads(self, key: str, direction: Direction) -> bool:
        """Tell whether the metric's trend has the *direction*."""
        return bool(self.metrics[key]["trend"]["direction"] == direction.value)


def _evidence(  # noqa: PLR0913, PLR0917 - the parts of a piece of evidence
    metric: str, label: str, unit: str, value: Any, comparison: str, threshold: Any
) -> Finding:
    return {
        "metric": metric,
        "label": label,
        "unit": unit,
        "value": value,
        "comparison": comparison,
        "threshold": threshold,
    }


def recommend(document: Mapping[str, Any]) -> list[Finding]:
    """Return what the rules find, the most urgent first."""
    metrics = {metric["key"]: metric for group in document["groups"] for metric in group["metrics"]}
    facts = Facts(document, metrics)
    found = [finding for rule in RULES for finding in rule(facts)]
    return sorted(found, key=lambda finding: -finding["urgency"])


def _finding(rule: str, urgency: int, title: str, advice: str, evidence: Sequence[Finding]) -> Finding:
    """Return a recommendation; *urgency* is 3 for what fails now, 2 for what soon will, 1 for a chance."""
    return {"rule": rule, "urgency": urgency, "title": title, "advice": advice, "evidence": list(evidence)}


def accounts_out_of_use(facts: Facts) -> list[Finding]:
    """Find accounts that cannot post."""
    evidence = [
        _evidence("account.status", account["name"], "state", account["status"], "is not", "active")
        for account in facts.document["accounts"]
        if account["status"] != "active"
    ]
    if not evidence:
        return []
    title = f"{len(evidence)} social account{'s' if len(evidence) > 1 else ''} cannot post"
    advice = "Connect it again under social accounts; posts that wait for it are blocked until then."
    return [_finding("accounts_out_of_use", 3, title, advice, evidence)]


def posts_fail(facts: Facts) -> list[Finding]:
    """Find too many posts that did not get through."""
    share, published = facts.value("publish_success"), facts.value("posts_published")
    if share is None or share >= POSTS_THROUGH or round((published or 0) / max(share, 0.01)) < LEAST_POSTS:
        return []
    advice = "Look at the refused posts: the platform's reason stands with each of them."
    evidence = [facts.evidence("publish_success", "below", POSTS_THROUGH)]
    return [_finding("posts_fail", 3, "Posts do not get through", advice, evidence)]


def jobs_fail(facts: Facts) -> list[Finding]:
    """Find too many jobs that failed for good."""
    share = facts.value("job_success")
    if share is None or share >= JOBS_SUCCEED:
        return []
    advice = "Open the dead letters, mend what they have in common, and requeue the group."
    evidence = [facts.evidence("job_success", "below", JOBS_SUCCEED)]
    return [_finding("jobs_fail", 3, "Jobs fail for good", advice, evidence)]


def quota_runs_out(facts: Facts) -> list[Finding]:
    """Find limits that are nearly reached."""
    evidence = [
        _evidence(
            f"quota.{quota['meter']}",
            meter_name(quota["meter"]),
            "share",
            quota["share"],
            "at or above",
            QUOTA_SHARE,
        )
        for quota in facts.document["quota"]
        if quota["share"] is not None and quota["share"] >= QUOTA_SHARE
    ]
    if not evidence:
        return []
    advice = "At the limit new work is refused: choose a larger plan, or spread the work over the period."
    return [_finding("quota_runs_out", 2, "The plan's limits are nearly reached", advice, evidence)]


def cadence_falls(facts: Facts) -> list[Finding]:
    """Find less posting than the weeks before had."""
    earlier = [week for week in facts.metrics["posts_published"]["weekly"][:-1] if week is not None]
    latest = facts.metrics["posts_published"]["weekly"][-1]
    if latest is None or len(earlier) < LEAST_WEEKS or median(earlier) < 1:
        return []
    threshold = round(CADENCE_SHARE * median(earlier), 6)
    if latest >= threshold:
        return []
    label = "Posts published, last week"
    evidence = [_evidence("posts_published", label, "count", latest, "below", threshold)]
    advice = "Plan posts ahead: the threshold is seven tenths of the usual week."
    return [_finding("cadence_falls", 2, "Fewer posts go out than usual", advice, evidence)]


def conversions_fall(facts: Facts) -> list[Finding]:
    """Find a rate of conversion that sinks week by week."""
    if not facts.heads("conversion_rate", Direction.FALLING):
        return []
    advice = (
        "Compare the lead sources below: a source that brings many leads and few conversions pulls it down."
    )
    evidence = [facts.trend_evidence("conversion_rate")]
    return [_finding("conversions_fall", 2, "Fewer leads convert, week by week", advice, evidence)]


def visitors_without_leads(facts: Facts) -> list[Finding]:
    """Find visitors that rise while leads do not."""
    if not facts.heads("visitors", Direction.RISING) or facts.heads("leads_new", Direction.RISING):
        return []
    if facts.metrics["leads_new"]["trend"]["slope_per_week"] is None:
        return []
    advice = (
        "More people come and no more of them leave an address: try the form on the pages they visit most."
    )
    evidence = [facts.trend_evidence("visitors"), facts.trend_evidence("leads_new")]
    return [_finding("visitors_without_leads", 1, "Visitors grow, leads do not", advice, evidence)]


def leads_unscored(facts: Facts) -> list[Finding]:
    """Find new leads that nobody scored."""
    unscored, new = facts.document["unscored_leads"], facts.value("leads_new")
    if not new or new < LEAST_LEADS or unscored < UNSCORED_SHARE * new:
        return []
    threshold = round(UNSCORED_SHARE * new, 6)
    label = "Leads without a score"
    evidence = [_evidence("unscored_leads", label, "count", unscored, "at or above", threshold)]
    advice = "Let a schedule score leads each night: leads.score with all."
    return [_finding("leads_unscored", 1, "Leads wait for a score", advice, evidence)]


def leads_are_cold(facts: Facts) -> list[Finding]:
    """Find new leads that score low on the whole."""
    score, new = facts.value("lead_score"), facts.value("leads_new")
    if score is None or (new or 0) < LEAST_LEADS or score >= LEAD_SCORE:
        return []
    evidence = [facts.evidence("lead_score", "below", LEAD_SCORE)]
    advice = "Look which sources bring the better leads, or whether the rules still fit what you sell."
    return [_finding("leads_are_cold", 1, "New leads score low", advice, evidence)]


def jobs_wait(facts: Facts) -> list[Finding]:
    """Find jobs that wait long for their turn."""
    wait = facts.value("job_wait")
    if wait is None or wait <= WAIT_SECONDS:
        return []
    evidence = [facts.evidence("job_wait", "above", WAIT_SECONDS)]
    advice = "Spread large batches over the day, or choose a plan with a larger share of the workers."
    return [_finding("jobs_wait", 1, "Jobs wait for their turn", advice, evidence)]


RULES: tuple[Callable[[Facts], list[Finding]], ...] = (
    accounts_out_of_use,
    posts_fail,
    jobs_fail,
    quota_runs_out,
    cadence_falls,
    conversions_fall,
    visitors_without_leads,
    leads_unscored,
    leads_are_cold,
    jobs_wait,
)
