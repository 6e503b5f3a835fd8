"""Where a waiting job stands in the fair-share queue; nothing is said of other organizations."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
import structlog

from intake.views.explanation import Explanation, Reason
from worker.fairshare.queue import FairQueue
from worker.fairshare.view import Explanation as Place

WORKERS_SILENT = timedelta(minutes=1)
"""Workers that have not asked for work for so long are taken to be away."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a place in the queue means to its owner."""

    reason: Reason
    text: str


def refine(explanation: Explanation, client: redis.Redis) -> Explanation:
    """Say more of a job that is in the queue; leave the explanation as it is when Redis cannot be asked."""
    if explanation.reason != "waiting_for_turn":
        return explanation
    try:
        place = FairQueue(client, explanation.lane).explain(f"{explanation.id}:{explanation.attempt}")
    except redis.RedisError as error:
        log.warning("redis away", error=type(error).__name__)
        return explanation
    if place is None:
        return explanation.model_copy(update=_shown(_MISSING, None))
    return explanation.model_copy(update=_shown(_standing(place), place))


def _shown(standing: Standing, place: Place | None) -> dict[str, Any]:
    return {
        "reason": standing.reason,
        "explanation": standing.text,
        "until": place and place.until,
        "jobs_before": place and place.jobs_before,
        "in_flight": place and place.in_flight,
    }


_MISSING = Standing("entering_queue", "It is recorded and enters the queue shortly.")


def _standing(place: Place) -> Standing:
    if place.workers_seen is None or datetime.now(UTC) - place.workers_seen > WORKERS_SILENT:
        return Standing("no_workers", "It is in the queue, and no worker has asked for work lately.")
    if place.reason == "capped":
        text = f"Your organization has {place.in_flight} jobs in flight, as many as your plan runs at once."
        return Standing("at_cap", text)
    turn = f"It runs when it is your organization's turn; {place.jobs_before} of your jobs come first."
    return _STANDINGS.get(place.reason, Standing("waiting_for_turn", turn))


_PAUSED = Standing("paused", "An operator has paused your organization's jobs, or those of this kind.")
_STANDINGS = {
    "limited": Standing("rate_limited", "Your organization's rate limit opens again later."),
    "paused": _PAUSED,
    "kind_paused": _PAUSED,
    "delayed": Standing("delayed", "It waits for its moment."),
    "running": Standing("starting", "A worker has taken it and is about to begin."),
}
