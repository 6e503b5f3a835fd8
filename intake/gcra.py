"""The generic cell rate algorithm: in Redis for all processes, in memory for one while Redis is away."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import cast

import redis.asyncio
from redis.commands.core import AsyncScript

HOUR_US = 3_600_000_000
MOST_REMEMBERED = 20_000
"""Keys that one process remembers; the one that was used longest ago is forgotten."""
SCRIPT = files(__package__).joinpath("gcra.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls an hour, and as many at once."""

    calls: int

    @property
    def interval_us(self) -> int:
        """Time between two calls at an even pace."""
        return max(HOUR_US // max(self.calls, 1), 1)

    @property
    def burst_us(self) -> int:
        """How far ahead of the even pace a burst may run."""
        return self.interval_us * self.calls


@dataclass(frozen=True, slots=True)
class Reading:
    """What one rate says of a call."""

    left: int
    """Calls that may follow at once."""
    full_after: timedelta
    """When all calls are back, if none follows."""
    wait: timedelta
    """Zero: this rate lets the call pass."""


Rates = Mapping[str, Rate]
"""Key to rate."""


class SharedRates:
    """Counts calls in Redis: one round trip for all rates of a call."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._script: AsyncScript = client.register_script(SCRIPT)

    async def take(self, rates: Rates) -> list[Reading]:
        """Take one call of every rate, or of none; one reading a rate.

        Raises:
            RedisError: Redis is away.
        """
        arguments = [number for rate in rates.values() for number in (rate.interval_us, rate.burst_us)]
        reply = await cast("Awaitable[list[int]]", self._script(keys=list(rates), args=arguments))
        return [_reading(*reply[at : at + 3]) for at in range(0, len(reply), 3)]


class LocalRates:
    """Counts the calls of this process alone, by the same rules."""

    def __init__(self, clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._clock = clock
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    def take(self, rates: Rates) -> list[Reading]:
        """Take one call of every rate, or of none; one reading a rate."""
        now = self._clock()
        arrivals = [max(self._arrivals.get(key, now), now) for key in rates]
        pairs = list(zip(rates.values(), arrivals, strict=True))
        passes = all(arrival + rate.interval_us - now <= rate.burst_us for rate, arrival in pairs)
        if passes:
            arrivals = [arrival + rate.interval_us for rate, arrival in pairs]
            self._remember(dict(zip(rates, arrivals, strict=True)))
        return [
            _reading(
                max(0, (rate.burst_us - ahead) // rate.interval_us),
                ahead,
                0 if passes else max(0, ahead + rate.interval_us - rate.burst_us),
            )
            for rate, ahead in zip(rates.values(), (arrival - now for arrival in arrivals), strict=True)
        ]

    def _remember(self, arrivals: Mapping[str, int]) -> None:
        for key, arrival in arrivals.items():
            self._arrivals[key] = arrival
            self._arrivals.move_to_end(key)
        while len(self._arrivals) > MOST_REMEMBERED:
            self._arrivals.popitem(last=False)


def _reading(left: int, full_us: int, wait_us: int) -> Reading:
    return Reading(left, timedelta(microseconds=full_us), timedelta(microseconds=wait_us))
