"""The waits that perfect fairness by time would have given, from what really happened in a run."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Sequence

from support.journal import Run


def perfect_waits(runs: Sequence[Run], *, loud: str, slots: int) -> list[float]:
    """Replay the small tenants' jobs on slots that always take the tenant with the least worker time.

    Everything that is not the queue's doing is taken from the run itself: when each job came, how long it
    really ran, and until when the loud tenant's jobs held the slots at the moment the first small job came.
    From then on the loud tenant always has work. A small tenant goes first among equals and choosing costs
    nothing, so this is the best that small tenants can get.

    Returns:
        One wait for each small job (s).
    """
    small = sorted((run for run in runs if run.tenant != loud), key=_sent)
    start = small[0].sent
    held = [run.ended for run in runs if run.tenant == loud and run.began <= start < run.ended]
    free = [*held[:slots], *[start] * (slots - len(held))]
    heapq.heapify(free)
    loud_runs = [run.ended - run.began for run in runs if run.tenant == loud]
    replay = _Replay(sum(loud_runs) / len(loud_runs))
    coming = deque(small)
    waits: list[float] = []
    while len(waits) < len(small):
        moment = heapq.heappop(free)
        replay.arrive(_until(coming, moment))
        run = replay.take()
        seconds = replay.loud_seconds if run is None else run.ended - run.began
        heapq.heappush(free, moment + seconds)
        if run is not None:
            waits.append(moment - run.sent)
    return waits


def _sent(run: Run) -> float:
    return run.sent


def _until(coming: deque[Run], moment: float) -> Iterable[Run]:
    while coming and coming[0].sent <= moment:
        yield coming.popleft()


class _Replay:
    """Who has had how much worker time; who comes back gets no credit for its absence."""

    def __init__(self, loud_seconds: float) -> None:
        self.loud_seconds = loud_seconds
        self._loud_used = 0.0
        self._used: dict[str, float] = {}
        self._waiting: dict[str, deque[Run]] = {}
        self._order: list[tuple[float, int, str]] = []
        self._entries = itertools.count()

    def arrive(self, runs: Iterable[Run]) -> None:
        """Queue jobs."""
        for run in runs:
            queue = self._waiting.setdefault(run.tenant, deque())
            if not queue:
                least = min(self._loud_used, self._order[0][0] if self._order else self._loud_used)
                self._used[run.tenant] = max(self._used.get(run.tenant, 0.0), least)
                self._enter(run.tenant)
            queue.append(run)

    def take(self) -> Run | None:
        """Take the next job; None is one of the loud tenant's."""
        if not self._order or self._order[0][0] > self._loud_used:
            self._loud_used += self.loud_seconds
            return None
        *_, tenant = heapq.heappop(self._order)
        run = self._waiting[tenant].popleft()
        self._used[tenant] += run.ended - run.began
        if self._waiting[tenant]:
            self._enter(tenant)
        return run

    def _enter(self, tenant: str) -> None:
        """Put a tenant in its place; among equals, who came first goes first."""
        heapq.heappush(self._order, (self._used[tenant], next(self._entries), tenant))
