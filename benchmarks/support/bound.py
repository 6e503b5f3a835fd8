"""Replay busy tenants on virtual slots and compare what they got with the bound of docs/fairness.md."""

import heapq
import itertools
import random
from dataclasses import dataclass
from datetime import timedelta

import redis

from worker.fairshare.queue import Entry, FairQueue, Finish, Outcome, Renewal

SECOND = 1_000_000
RENEW_EVERY = 20 * SECOND


@dataclass
class Busy:
    """A tenant that always has work (times in microseconds)."""

    name: str
    weight: float
    lengths: tuple[int, int]
    """Its jobs run between these."""
    got: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    longest: int = 0

    def slack(self) -> float:
        """Return its term of the bound."""
        return self.most_in_flight * self.longest / self.weight


class Replay:
    """A lane on a real server whose clock we turn."""

    def __init__(self, client: redis.Redis, tenants: list[Busy], *, slots: int, seed: int) -> None:
        self.now = SECOND
        self.queue = FairQueue(client, "bound", clock=lambda: self.now)
        self.queue.destroy()
        self.tenants = {tenant.name: tenant for tenant in tenants}
        self.random = random.Random(seed)
        self.slots = slots
        self._gaps: dict[tuple[str, str], float] = {}
        self._running: list[tuple[int, str, str, int]] = []
        self._made = itertools.count()
        for tenant in tenants:
            self._add(tenant, 2 * slots)

    def _add(self, tenant: Busy, count: int) -> None:
        settings = f'{{"weight": {tenant.weight}}}'
        self.queue.enqueue(
            [Entry(f"j{next(self._made)}", "m", tenant.name, settings=settings) for _ in range(count)]
        )

    def run(self, jobs: int) -> None:
        """Run so many jobs, comparing at every end."""
        self._fill()
        for _ in range(jobs):
            end, token, name, began = heapq.heappop(self._running)
            self.now = end
            tenant = self.tenants[name]
            tenant.got += end - began
            tenant.in_flight -= 1
            tenant.longest = max(tenant.longest, end - began)
            self.queue.finish([Finish(token, Outcome.ACK, timedelta(microseconds=end - began))])
            self._add(tenant, 1)
            self._fill()
            self._compare()

    def _fill(self) -> None:
        """Give every free slot a job; what runs long is renewed as a worker would."""
        tokens = [Renewal(token) for _, token, _, _ in self._running]
        self.queue.renew(tokens)
        for job in self.queue.reserve(self.slots - len(self._running)):
            tenant = self.tenants[job.tenant]
            tenant.in_flight += 1
            tenant.most_in_flight = max(tenant.most_in_flight, tenant.in_flight)
            length = self.random.randint(*tenant.lengths)
            heapq.heappush(self._running, (self.now + length, job.token, job.tenant, self.now))

    def _compare(self) -> None:
        """Compare every two tenants; a job that still runs counts as long as it will."""
        got = {name: tenant.got for name, tenant in self.tenants.items()}
        for end, _, name, began in self._running:
            got[name] += self.now - began
            self.tenants[name].longest = max(self.tenants[name].longest, end - began)
        for one, other in itertools.combinations(self.tenants.values(), 2):
            gap = abs(got[one.name] / one.weight - got[other.name] / other.weight)
            pair = one.name, other.name
            self._gaps[pair] = max(self._gaps.get(pair, 0.0), gap)

    def worst(self) -> float:
        """Return the largest gap between two tenants, as a part of what the bound allows."""
        return max(
            gap / (self.tenants[one].slack() + self.tenants[other].slack())
            for (one, other), gap in self._gaps.items()
        )

    def shares(self) -> dict[str, float]:
        """Return each tenant's part of the worker time."""
        total = sum(tenant.got for tenant in self.tenants.values())
        return {name: tenant.got / total for name, tenant in self.tenants.items()}


def random_tenants(seed: int, count: int = 12) -> list[Busy]:
    """Make tenants of all weights and lengths, from 5 ms to 30 s."""
    rng = random.Random(seed)
    tenants = []
    for n in range(count):
        shortest = round(10 ** rng.uniform(3.7, 7))
        tenants.append(Busy(f"t{n}", rng.choice((1, 1, 2, 5, 10)), (shortest, 3 * shortest)))
    return tenants
