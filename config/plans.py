"""The plan catalogue: what each plan weighs in the queue, may use and may have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

ALL_FEATURES = "all_features"
"""A plan with this feature has every feature."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a meter one period may use.

    A hard limit refuses what would pass it. A soft one flags the organization and refuses at 110 %.
    """

    amount: int
    hard: bool = True

    @property
    def ceiling(self) -> int:
        """The amount at which reservations are refused."""
        return self.amount if self.hard else self.amount * 11 // 10


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    weight: int
    """Share of worker time relative to other tenants."""
    cap: int
    """Jobs of one tenant in flight per lane while others wait."""
    soft_cap: int | None
    """Jobs of one tenant in flight per lane when slots are idle; None is no cap."""
    max_backlog: int
    """Jobs of one tenant waiting per lane; more are refused with 429."""
    features: frozenset[str]
    limits: Mapping[str, Limit]
    """Meter to limit; a meter that is absent is unlimited."""
    shortest_schedule: timedelta
    history_days: int
    """Finished jobs and their events are kept so long after their end; the installation may keep less."""
    event_days: int
    """Raw analytics events are kept so long after they happened; older ones are refused."""
    rollup_days: int
    """What was counted of them is kept so long."""
    paused: bool = False
    """No plan is; an operator may pause an organization."""
    paused_kinds: frozenset[str] = frozenset()
    switched_off: frozenset[str] = frozenset()
    """Features that an organization does without, although it may have them; none of a plan is."""

    def allows(self, feature: str) -> bool:
        """Tell whether the plan includes *feature*, switched on or off."""
        return feature in self.features or ALL_FEATURES in self.features

    def offers(self, feature: str) -> bool:
        """Tell whether *feature* can be used."""
        return feature not in self.switched_off and self.allows(feature)


CUSTOM_DOMAIN = "custom_domain"

_BASIC = frozenset({"basic_social", "basic_analytics"})
_ADVANCED = _BASIC | {"advanced_analytics", "ai_content", "predictive_scoring"}

FEATURES = tuple(sorted(_ADVANCED | {CUSTOM_DOMAIN}))
"""Every feature by name; a plan with all features has these."""

STARTER = Plan(
    name="starter",
    weight=1,
    cap=2,
    soft_cap=8,
    max_backlog=25_000,
    features=_BASIC,
    limits=MappingProxyType(
        {
            "social_accounts": Limit(3),
            "schedules": Limit(10),
            "campaigns": Limit(5),
            "users": Limit(3),
            "storage_gb": Limit(5),
            "api_calls_hour": Limit(1_000),
            "posts_month": Limit(300),
            "leads_scored_month": Limit(20_000),
            "jobs_month": Limit(20_000, hard=False),
            "worker_seconds_month": Limit(36_000, hard=False),
        }
    ),
    shortest_schedule=timedelta(hours=1),
    history_days=30,
    event_days=90,
    rollup_days=400,
)
PROFESSIONAL = Plan(
    name="professional",
    weight=3,
    cap=8,
    soft_cap=32,
    max_backlog=250_000,
    features=_ADVANCED,
    limits=MappingProxyType(
        {
            "social_accounts": Limit(15),
            "schedules": Limit(100),
            "campaigns": Limit(50),
            "users": Limit(15),
            "storage_gb": Limit(50),
            "api_calls_hour": Limit(10_000),
            "posts_month": Limit(5_000),
            "leads_scored_month": Limit(500_000),
            "jobs_month": Limit(500_000, hard=False),
            "worker_seconds_month": Limit(720_000, hard=False),
        }
    ),
    shortest_schedule=timedelta(minutes=15),
    history_days=180,
    event_days=400,
    rollup_days=1_100,
)
ENTERPRISE = Plan(
    name="enterprise",
    weight=10,
    cap=32,
    soft_cap=None,
    max_backlog=2_500_000,
    features=frozenset({ALL_FEATURES}),
    limits=MappingProxyType({"api_calls_hour": Limit(100_000), "schedules": Limit(2_000)}),
    shortest_schedule=timedelta(minutes=1),
    history_days=400,
    event_days=760,
    rollup_days=3_660,
)

PLANS: Mapping[str, Plan] = MappingProxyType(
    {plan.name: plan for plan in (STARTER, PROFESSIONAL, ENTERPRISE)}
)

MOST_EVENT_DAYS = max(plan.event_days for plan in PLANS.values())
"""Months of raw events that are older, and some days more, are dropped for everybody."""


class Overrides(BaseModel):
    """What one organization has instead of its plan's values; a field that is left out is the plan's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[int, Field(ge=1, le=1_000)] = 1
    cap: Annotated[int, Field(ge=1, le=10_000)] = 1
    soft_cap: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_backlog: Annotated[int, Field(ge=1)] = 1
    features: frozenset[str] = frozenset()
    """Beside the plan's."""
    limits: Mapping[str, Limit] = Field(default_factory=dict)
    """Instead of the plan's, meter by meter."""
    history_days: Annotated[int, Field(ge=30)] = 30
    event_days: Annotated[int, Field(ge=1, le=MOST_EVENT_DAYS)] = 90
    rollup_days: Annotated[int, Field(ge=1)] = 400
    paused: bool = False
    """None of its jobs begin."""
    paused_kinds: frozenset[str] = frozenset()
    """Its jobs of these kinds do not begin."""
    switched_off: frozenset[str] = frozenset()
    """Features that it switched off itself."""


def terms_of(plan_name: str, overrides: Mapping[str, Any]) -> Plan:
    """Return what an organization on a plan may use: the plan with its overrides."""
    plan = PLANS[plan_name]
    if not overrides:
        return plan
    given = Overrides.model_validate(overrides)
    changes = {name: getattr(given, name) for name in given.model_fields_set}
    if "features" in changes:
        changes["features"] = plan.features | given.features
    if "limits" in changes:
        changes["limits"] = MappingProxyType({**plan.limits, **given.limits})
    return replace(plan, **changes)


def cheapest_with(feature: str) -> Plan | None:
    """Return the first plan in rising order that offers *feature*."""
    return next((plan for plan in PLANS.values() if plan.offers(feature)), None)
