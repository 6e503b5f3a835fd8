"""What a tenant sees of itself."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from config.plans import Plan
from intake.views.base import View
from models.organization import OrganizationStatus, PlanName
from models.subscription import SubscriptionStatus


class OrganizationView(View):
    organization_id: UUID
    name: str
    status: OrganizationStatus
    plan: PlanName
    time_zone: str
    created_at: datetime
    updated_at: datetime


class LimitView(View):
    amount: int
    hard: bool
    """Refused beyond it; else beyond 110 %."""


class TermsView(View):
    """What may be used."""

    plan: PlanName
    features: list[str]
    """`all_features` stands for every one."""
    limits: dict[str, LimitView]
    """By meter; one that is missing is not limited."""
    weight: int
    """Share of worker time relative to other organizations."""
    cap: int
    """Jobs at once in one lane while others wait."""
    soft_cap: int | None
    """Jobs at once in one lane while slots are idle; null is no cap."""
    max_backlog: int
    """Jobs that may wait in one lane."""
    shortest_schedule_seconds: int
    history_days: int
    event_days: int
    rollup_days: int

    @classmethod
    def of(cls, plan: Plan) -> "TermsView":
        """Show *plan*, or the terms of an organization on it."""
        return cls(
            plan=PlanName(plan.name),
            features=sorted(plan.features - plan.switched_off),
            limits={meter: LimitView.model_validate(limit) for meter, limit in sorted(plan.limits.items())},
            weight=plan.weight,
            cap=plan.cap,
            soft_cap=plan.soft_cap,
            max_backlog=plan.max_backlog,
            shortest_schedule_seconds=int(plan.shortest_schedule.total_seconds()),
            history_days=plan.history_days,
            event_days=plan.event_days,
            rollup_days=plan.rollup_days,
        )


class SubscriptionView(View):
    plan: PlanName
    status: SubscriptionStatus
    anchor_date: date
    """Billing periods begin on this day of the month."""
    started_at: datetime | None
    """Null: nothing was ever ordered."""
    ends_at: datetime | None
    terms: TermsView
    """What is in force: the plan with what the organization has instead."""


class FeatureView(View):
    feature: str
    allowed: bool
    """The plan, or an override, has it."""
    on: bool
    """It can be used."""


class SettingView(View):
    key: str
    value: Any
    default: Any
    is_set: bool
    """False: the value is the default."""
    purpose: str
