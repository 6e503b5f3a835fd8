"""The metrics of a report, in the three groups by which an organization's health is shown."""

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    USAGE = "usage"
    PERFORMANCE = "performance"
    BUSINESS = "business"


class Unit(StrEnum):
    COUNT = "count"
    SHARE = "share"
    """0 to 1."""
    SHARE_CHANGE = "change of share"
    SECONDS = "seconds"
    POINTS = "points"
    VALUE = "value"
    """Whatever unit the organization's events carry."""


class Better(StrEnum):
    """Which way is good news."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    key: str
    group: Group
    label: str
    unit: Unit
    better: Better
    meaning: str
    """One sentence that a reader of the report understands."""


METRICS = (
    Metric(
        "active_people",
        Group.USAGE,
        "Active people",
        Unit.COUNT,
        Better.HIGHER,
        "People who had at least one job done.",
    ),
    Metric(
        "jobs",
        Group.USAGE,
        "Jobs done",
        Unit.COUNT,
        Better.NEITHER,
        "Jobs that the plan was charged for; the platform's own upkeep is not.",
    ),
    Metric(
        "posts_published",
        Group.USAGE,
        "Posts published",
        Unit.COUNT,
        Better.HIGHER,
        "Posts that went out on all social accounts.",
    ),
    Metric(
        "leads_scored",
        Group.USAGE,
        "Leads scored",
        Unit.COUNT,
        Better.HIGHER,
        "Scorings charged to the plan; rescoring counts again.",
    ),
    Metric(
        "job_success",
        Group.PERFORMANCE,
        "Jobs that succeeded",
        Unit.SHARE,
        Better.HIGHER,
        "Of the jobs that ended by success or failure.",
    ),
    Metric(
        "job_wait",
        Group.PERFORMANCE,
        "Usual wait of a job",
        Unit.SECONDS,
        Better.LOWER,
        "Half of the jobs began sooner after they were due.",
    ),
    Metric(
        "publish_success",
        Group.PERFORMANCE,
        "Posts that got through",
        Unit.SHARE,
        Better.HIGHER,
        "Of the posts that ended published, refused or blocked.",
    ),
    Metric(
        "publish_delay",
        Group.PERFORMANCE,
        "Usual delay of a post",
        Unit.SECONDS,
        Better.LOWER,
        "Half of the planned posts went out sooner after their time.",
    ),
    Metric(
        "leads_new",
        Group.BUSINESS,
        "New leads",
        Unit.COUNT,
        Better.HIGHER,
        "Leads that came in.",
    ),
    Metric(
        "lead_score",
        Group.BUSINESS,
        "Average score of new leads",
        Unit.POINTS,
        Better.HIGHER,
        "From 0 to 100, over the new leads that have been scored.",
    ),
    Metric(
        "conversions",
        Group.BUSINESS,
        "Conversions",
        Unit.COUNT,
        Better.HIGHER,
        "Leads that converted, whenever they came in.",
    ),
    Metric(
        "conversion_rate",
        Group.BUSINESS,
        "Conversions per new lead",
        Unit.SHARE,
        Better.HIGHER,
        "Conversions of the period divided by its new leads.",
    ),
    Metric(
        "visitors",
        Group.BUSINESS,
        "Visitors",
        Unit.COUNT,
        Better.HIGHER,
        "Distinct visitors in the events sent.",
    ),
    Metric(
        "event_value",
        Group.BUSINESS,
        "Value of events",
        Unit.VALUE,
        Better.HIGHER,
        "Sum of the values that events carried.",
    ),
)

BY_KEY = {metric.key: metric for metric in METRICS}
