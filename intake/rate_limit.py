"""How many calls an hour an organization may make, and how many of them one user."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import redis.asyncio
import structlog
from prometheus_client import Counter
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.plans import Limit
from intake.gcra import LocalRates, Rate, Rates, Reading, SharedRates
from intake.problem import ProblemError
from models.meter import API_CALLS

USER_PERCENT = 80
"""One user takes this part of the organization's calls at most: the others can always work."""
PATIENCE = timedelta(seconds=0.5)
"""A call waits so long for Redis at most."""
REST_S = 1.0
"""After Redis failed, calls are counted here for so long: nobody waits for a dead server twice."""
MOST_CONNECTIONS = 32

REFUSED = Counter("genius_http_rate_limited_total", "Calls refused by a rate limit.", ["scope"])
COUNTED_HERE = Counter(
    "genius_http_rate_counted_locally_total", "Calls counted by the process alone, while Redis was away."
)

log = structlog.get_logger("intake.rate_limit")


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a caller stands with one rate."""

    scope: str
    """organization, user or address"""
    limit: int
    """Calls an hour."""
    reading: Reading

    def headers(self) -> dict[str, str]:
        """Return what every answer tells of it."""
        headers = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.reading.left),
            "RateLimit-Reset": _seconds(self.reading.full_after),
        }
        if self.reading.wait:
            headers["Retry-After"] = _seconds(self.reading.wait)
        return headers


class TooManyCallsError(ProblemError):
    """The caller is ahead of a rate."""

    def __init__(self, pace: Pace) -> None:
        whose = "Your organization" if pace.scope == "organization" else "You"
        meter = {} if pace.scope == "address" else {"meter": API_CALLS}
        super().__init__(
            429,
            "too-many-requests",
            f"{whose} may make {pace.limit} calls an hour. Try again in {_seconds(pace.reading.wait)} s.",
            headers=pace.headers(),
            extra={"scope": pace.scope, "limit": pace.limit} | meter,
        )


def open_redis(url: str) -> "redis.asyncio.Redis":
    """Open a bounded pool that answers soon or not at all; a connection that went stale is tried again."""
    seconds = PATIENCE.total_seconds()
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


class RateLimit:
    """Lets calls pass, or refuses them; without Redis each process counts for itself.

    Used from the event loop only, so it needs no lock.
    """

    def __init__(self, client: "redis.asyncio.Redis", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = SharedRates(client)
        self._local = LocalRates()
        self._clock = clock
        self._resting_until = 0.0

    async def admit(self, organization_id: UUID, user_id: str, limit: Limit | None) -> list[Pace]:
        """Take one call; return where the organization and the user stand. No limit: nothing is counted.

        Raises:
            TooManyCallsError: One of them is ahead of its rate; the call took nothing.
        """
        if limit is None:
            return []
        rates = _rates(organization_id, user_id, limit.ceiling)
        readings = await self._take(rates)
        paces = [
            Pace(scope, rate.calls, reading)
            for scope, rate, reading in zip(("organization", "user"), rates.values(), readings, strict=True)
        ]
        _refuse_ahead(paces)
        return paces

    async def admit_address(self, address: str, calls: int) -> None:
        """Take one call of somebody who has no token.

        Raises:
            TooManyCallsError: So many were made from *address* within the hour.
        """
        [reading] = await self._take({f"genius:rate:address:{_hidden(address)}": Rate(calls)})
        _refuse_ahead([Pace("address", calls, reading)])

    async def _take(self, rates: Rates) -> list[Reading]:
        if self._clock() >= self._resting_until:
            try:
                return await self._shared.take(rates)
            except (redis.RedisError, OSError) as error:
                self._resting_until = self._clock() + REST_S
                log.warning("Redis is away; calls are counted by this process", error=type(error).__name__)
        COUNTED_HERE.inc()
        return self._local.take(rates)


def tightest(paces: Sequence[Pace]) -> Pace | None:
    """Return the rate that refuses first if calls go on."""
    return min(paces, key=lambda pace: pace.reading.left, default=None)


def _rates(organization_id: UUID, user_id: str, calls: int) -> Rates:
    """Name the rates; a user's name may be an address, so its hash stands in the key."""
    whose = f"genius:rate:{{{organization_id}}}"
    of_user = Rate(math.ceil(calls * USER_PERCENT / 100))
    return {whose: Rate(calls), f"{whose}:{_hidden(user_id)}": of_user}


def _hidden(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()


def _refuse_ahead(paces: Sequence[Pace]) -> None:
    longest = max(paces, key=lambda pace: pace.reading.wait)
    if longest.reading.wait:
        REFUSED.labels(longest.scope).inc()
        raise TooManyCallsError(longest)


def _seconds(span: timedelta) -> str:
    return str(math.ceil(span.total_seconds()))
