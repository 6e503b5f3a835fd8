"""Looks at the lanes every few seconds, so that a page is there at once and knows what happened lately."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis
import structlog

from models.session import DATABASE_ERRORS
from ops.directory import Directory
from ops.lanes import Reading, Shares, TenantLine, read_lanes, tenant_lines
from worker.fairshare.flower import describe

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(seconds=3)
OVER: Final = timedelta(seconds=60)
"""Shares are those of about so long."""

REST: Final = 20
"""A look is followed by a rest this many times as long, so that looking costs Redis 5 % at most."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the last look found."""

    reading: Reading
    lines: Sequence[TenantLine]
    over: timedelta
    """Shares are those of this span."""

    @property
    def at(self) -> datetime:
        return self.reading.at


class Watch:
    """Keeps the last look, and who got what between earlier ones."""

    def __init__(self, client: redis.Redis, directory: Directory) -> None:
        self._client = client
        self._directory = directory
        self._last: Reading | None = None
        self._shares: deque[Shares] = deque()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self.sight: Sight | None = None
        """None: nothing was seen yet, or Redis is away."""

    def start(self) -> None:
        """Look from now on, in a thread that ends with the process."""
        self._thread.start()

    def look(self) -> Sight:
        """Look once."""
        reading = read_lanes(self._client)
        if self._last is not None:
            self._shares.append(Shares.between(self._last, reading))
        self._last = reading
        shares = Shares.sum(self._shares)
        if shares.over > OVER:
            self._shares.popleft()
        self.sight = Sight(reading, tenant_lines(reading, shares), shares.over)
        return self.sight

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Answer Flower for the lanes *names* with what was seen last; nothing when Redis is away."""
        sight = self.sight
        lanes = {} if sight is None else sight.reading.lanes
        return [describe(name, lanes[name].values()) for name in names if name in lanes]

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._directory.learn(line.tenant for line in self.look().lines)
            except DATABASE_ERRORS as error:
                log.warning("names of organizations stay unknown", error=type(error).__name__)
            except redis.RedisError as error:
                log.warning("the lanes cannot be seen", error=type(error).__name__)
                self.sight = None
            time.sleep(max(EVERY.total_seconds(), REST * (time.monotonic() - began)))
