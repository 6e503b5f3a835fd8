"""How many jobs a tenant may have waiting, and when there is room again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from models.organization import Tenant
from worker.fairshare.queue import DEFAULT_POLICY
from worker.fairshare.standing import Standing
from worker.publish import BrokerAwayError, Publisher

log = structlog.get_logger(__name__)

SOONEST_RETRY = timedelta(seconds=1)
LATEST_RETRY = timedelta(minutes=10)
"""Estimates beyond it are worth little: jobs end early, slots come free, a pause is lifted."""

SAMPLE = 32
"""Waiting jobs looked at to learn how long one takes."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A lane in which more jobs would wait than may."""

    lane: str
    waiting: int
    limit: int
    retry_after: timedelta


def find_excess(publisher: Publisher, tenant: Tenant, arriving: Mapping[str, int]) -> Excess | None:
    """Return the first lane whose backlog *arriving* jobs, counted by lane, would fill beyond the limit.

    Requests that ask at the same moment may together pass the limit by what they bring. Redis being away
    refuses nothing, and jobs that still stand in the outbox are not counted.
    """
    if not arriving:
        return None
    limit = tenant.terms.max_backlog
    try:
        for standing in publisher.standings(tenant.organization_id, list(arriving)):
            over = standing.backlog + arriving[standing.lane] - limit
            if over > 0:
                [closer] = publisher.standings(tenant.organization_id, [standing.lane], sample=SAMPLE)
                retry_after = estimate_room(closer, over, at=datetime.now(UTC))
                return Excess(standing.lane, standing.backlog, limit, retry_after)
    except BrokerAwayError as error:
        log.warning("Redis is away; the backlog is not looked at", reason=str(error))
    return None


def estimate_room(standing: Standing, over: int, *, at: datetime) -> timedelta:
    """Estimate how long it takes until *over* fewer jobs wait.

    Jobs that can run end at the pace of those in flight now; once they are gone, it is up to the first
    delayed one. What is paused does not move at all.
    """
    if standing.paused or standing.backlog == standing.set_aside:
        return LATEST_RETRY
    one = standing.average_run or DEFAULT_POLICY.guess
    wait = one * min(over, standing.waiting) / max(standing.in_flight, 1)
    if over > standing.waiting:
        wait = max(wait, (standing.first_due - at) if standing.first_due else LATEST_RETRY)
    return min(max(wait, SOONEST_RETRY), LATEST_RETRY)
