"""Runs a workload through the real queue, on a clock that jumps from one event to the next."""

import heapq
from collections import defaultdict, deque
from collections.abc import Mapping

import redis

from config.plans import Plan
from ops.simulation.ledger import Ledger
from ops.simulation.workload import Arrival, Workload
from worker.fairshare.queue import DEFAULT_POLICY, Entry, FairQueue, Finish, Renewal, Reserved, reserve
from worker.fairshare.units import to_us
from worker.publish import queue_settings

BEGIN_US = 1_800_000_000_000_000
"""The moment at which every replay begins: the same workload is the same replay."""

RENEW_EVERY_US = to_us(DEFAULT_POLICY.lease) // 3

End = tuple[int, int, Reserved]
"""When a job ends, its number, its lease."""


class Replay:
    """One run of a workload under some terms.

    Args:
        client: Of a Redis where keys with *prefix* are nobody else's.
        slots: Jobs that run at the same time.
    """

    def __init__(
        self, client: redis.Redis, prefix: str, workload: Workload, terms: Mapping[str, Plan], *, slots: int
    ) -> None:
        self._arrivals = deque(enumerate(workload.arrivals))
        self._jobs = workload.arrivals
        self._terms = terms
        self._slots = slots
        self._now = 0
        self._turn = 0
        self._running: list[End] = []
        self._renew_at = 0
        self._waiting = 0
        lanes = sorted({arrival.lane for arrival in workload.arrivals})
        self._queues = {lane: FairQueue(client, lane, prefix, clock=self._clock) for lane in lanes}
        self._ledger = Ledger(terms, slots)

    def run(self) -> Ledger:
        """Replay until every job that can run has ended."""
        try:
            self._configure()
            while self._arrivals or self._running:
                self._now = self._next_moment()
                self._ledger.advance(self._now)
                self._end()
                self._admit()
                self._renew()
                self._begin()
        finally:
            for queue in self._queues.values():
                queue.destroy()
        return self._ledger

    @property
    def lasted_us(self) -> int:
        """How long it took until the last job ended."""
        return self._now

    def _clock(self) -> int:
        return BEGIN_US + self._now

    def _configure(self) -> None:
        for organization, lane in dict.fromkeys((each.organization, each.lane) for each in self._jobs):
            self._queues[lane].configure(organization, queue_settings(self._terms[organization]))

    def _next_moment(self) -> int:
        moments = [self._arrivals[0][1].at_us] if self._arrivals else []
        if self._running:
            moments += [self._running[0][0], self._renew_at]
        return max(min(moments), self._now)

    def _end(self) -> None:
        ended: dict[str, list[Finish]] = defaultdict(list)
        while self._running and self._running[0][0] <= self._now:
            _, number, lease = heapq.heappop(self._running)
            job = self._jobs[number]
            ended[lease.lane].append(Finish(lease.token))
            self._ledger.end(job.organization, job.lane, job.duration_us)
        for lane, ends in ended.items():
            self._queues[lane].finish(ends)

    def _admit(self) -> None:
        arrived: dict[str, list[Entry]] = defaultdict(list)
        while self._arrivals and self._arrivals[0][1].at_us <= self._now:
            number, job = self._arrivals.popleft()
            arrived[job.lane].append(_entry(number, job))
            self._ledger.arrive(job.organization, job.lane)
            self._waiting += 1
        for lane, entries in arrived.items():
            self._queues[lane].enqueue(entries)

    def _renew(self) -> None:
        """Keep the leases, as a worker does, so that long jobs are felt while they run."""
        if not self._running or self._now < self._renew_at:
            return
        held: dict[str, list[Renewal]] = defaultdict(list)
        for _, _, lease in sorted(self._running):
            held[lease.lane].append(Renewal(lease.token))
        for lane, renewals in held.items():
            self._queues[lane].renew(renewals)
        self._renew_at = self._now + RENEW_EVERY_US

    def _begin(self) -> None:
        free = self._slots - len(self._running)
        if free == 0 or self._waiting == 0:
            return
        if not self._running:
            self._renew_at = self._now + RENEW_EVERY_US
        queues = list(self._queues.values())
        self._turn = (self._turn + 1) % len(queues)
        leases, _ = reserve(queues[self._turn :] + queues[: self._turn], free)
        self._waiting -= len(leases)
        for lease in leases:
            number = int(lease.job)
            job = self._jobs[number]
            self._ledger.begin(job.organization, self._now - job.at_us)
            heapq.heappush(self._running, (self._now + job.duration_us, number, lease))


def _entry(number: int, job: Arrival) -> Entry:
    return Entry(job=str(number), message=b"", tenant=job.organization, kind=job.kind, must=True)
