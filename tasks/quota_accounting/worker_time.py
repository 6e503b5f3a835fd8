"""Book the worker time that the queue has charged: it alone knows how long jobs occupied a slot."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config.celery import LANES
from models.meter import WORKER_SECONDS
from models.organization import Tenant
from models.quota import Quota
from models.usage import WorkerTimeMark
from worker.publish import BrokerAwayError, Publisher

SECOND_US = 1_000_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Charged:
    """What the queue has charged an organization since its data came to life."""

    lineage: str
    """Names that life: another one begins again from nothing."""
    used: timedelta


def read_charges(publisher: Publisher, organization_id: UUID) -> Charged | None:
    """Ask the queue; None while Redis is away: charges add up, so that the next reading has them too.

    Call it before the transaction's first statement: none may stand across a network call.
    """
    try:
        _, _, lineage = publisher.generation().partition(":")  # the process's name, then that of its data
        used = sum((lane.used for lane in publisher.standings(organization_id, LANES)), timedelta(0))
    except BrokerAwayError as error:
        log.warning("worker time is booked later: Redis is away", reason=str(error))
        return None
    return Charged(lineage, used)


def book(session: Session, tenant: Tenant, charged: Charged, *, source: UUID) -> int:
    """Add what was charged since the last reading to the ledger, in the name of *source*; return the seconds.

    Parts of a second wait for the next reading. A Redis that was set back to an older state adds nothing
    until it has passed what was counted; one that lost its data, what it has charged since.
    """
    mark = _lock_mark(session, tenant.organization_id)
    if mark.lineage != charged.lineage:
        mark.lineage, mark.counted_us = charged.lineage, 0
    seconds = (charged.used // timedelta(microseconds=1) - mark.counted_us) // SECOND_US
    if seconds <= 0:
        return 0
    quota = Quota(session, tenant)
    if not quota.record_usage(WORKER_SECONDS, seconds, source=source, enforced=False):
        return 0
    mark.counted_us += seconds * SECOND_US
    return seconds


def _lock_mark(session: Session, organization_id: UUID) -> WorkerTimeMark:
    first = {"organization_id": organization_id, "lineage": "", "counted_us": 0}
    session.execute(insert(WorkerTimeMark).values(**first).on_conflict_do_nothing())
    query = select(WorkerTimeMark).where(WorkerTimeMark.organization_id == organization_id)
    return session.scalars(query.with_for_update()).one()
