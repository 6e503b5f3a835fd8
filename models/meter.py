"""Everything that a plan limits, and how each is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, func, select
from sqlalchemy.orm import Session

from models.base import Base
from models.campaign import Campaign
from models.content import ContentAsset
from models.schedule import Schedule
from models.social import SocialAccount
from models.user import User

GIGABYTE = 10**9
ROWS = func.count()
API_CALLS = "api_calls_hour"
"""The only meter that Redis counts, and that lets calls pass when it cannot."""
WORKER_SECONDS = "worker_seconds_month"
"""Known only once it is spent: the queue tells how much (``tasks/quota_accounting/worker_time.py``)."""
PERIODIC = ("jobs_month", "leads_scored_month", "posts_month", WORKER_SECONDS)
"""Begin again with each billing period; the ledger is the truth."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A meter that shows what there is now, whatever the period."""

    table: type[Base]
    only: tuple[ColumnElement[bool], ...] = ()
    amount: SQLColumnExpression[Any] = ROWS
    unit: int = 1
    """How many of what `amount` counts make one of what a plan limits."""

    def read(self, session: Session) -> int:
        """Return how much the tenant has, rows that are soft-deleted left out."""
        query = select(self.amount).select_from(self.table).where(*self.only)
        return int(session.execute(query).scalar_one())


GAUGES: Mapping[str, Gauge] = MappingProxyType(
    {
        "campaigns": Gauge(Campaign),
        "schedules": Gauge(Schedule, (Schedule.platform.is_(None),)),
        "social_accounts": Gauge(SocialAccount),
        "storage_gb": Gauge(
            ContentAsset, amount=func.coalesce(func.sum(ContentAsset.byte_size), 0), unit=GIGABYTE
        ),
        "users": Gauge(User),
    }
)
"""Counted among the rows that are there: nothing can drift."""

METERS = (API_CALLS, *GAUGES, *PERIODIC)
