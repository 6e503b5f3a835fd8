"""Lanes with very many tenants or jobs, and what a verb costs the server there."""

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import redis

from worker.fairshare.queue import Entry, FairQueue, Finish, Renewal, Reserved, TenantSettings

CALLS = 200
MESSAGE = "m" * 700
"""About as long as a Celery message."""
_numbers = itertools.count()
BLOCKED = TenantSettings(cap=0, soft_cap=0).to_json()

CLONE = """
local lane, tenant, like, first, last, score = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local step = tenant:sub(1, 1) == 'q' and 1 or 0
local message = redis.call('HGET', lane .. ':body', like)
for n = first, last do
  redis.call('HSET', lane .. ':body', like .. '-' .. n, message)
  redis.call('ZADD', lane .. ':' .. tenant, score + n * step, like .. '-' .. n)
end
"""
"""Writes copies of a job that waits: a million take seconds this way. Delayed ones come due at once."""
CLONES_A_CALL = 10_000


def clone(queue: FairQueue, entry: Entry, count: int) -> None:
    """Queue *entry*, and *count* - 1 more like it."""
    queue.enqueue([entry])
    key = queue.keys.of_tenant("d" if entry.due else "q", entry.tenant)
    ((_, score),) = queue.client.execute_command("ZRANGE", key, 0, 0, "WITHSCORES", withscores=True)
    for first in range(1, count, CLONES_A_CALL):
        last = min(first + CLONES_A_CALL, count) - 1
        tenant = f"{'d' if entry.due else 'q'}:{entry.tenant}"
        queue.client.execute_command(
            "EVAL", CLONE, 1, queue.keys.base, tenant, entry.job, first, last, f"{float(score):.0f}"
        )


class Lane:
    """A lane with many tenants, some of them blocked, each with jobs waiting."""

    def __init__(self, client: redis.Redis, *, tenants: int, blocked: float, backlog: int) -> None:
        self.client = client
        self.queue = FairQueue(client, f"bench-{next(_numbers)}")
        self.made = 0
        self.free = max(1, round(tenants * (1 - blocked)))
        self.add([f"t{n}" for n in range(tenants) for _ in range(backlog)])

    def add(self, tenants: Sequence[str]) -> None:
        """Queue one job for each name."""
        entries = []
        for name in tenants:
            self.made += 1
            is_blocked = int(name[1:]) >= self.free
            entries.append(Entry(f"j{self.made}", MESSAGE, name, "k", settings=BLOCKED if is_blocked else ""))
        self.queue.enqueue(entries)

    def some(self, count: int) -> list[str]:
        """Name tenants that may run, all over the range."""
        return [f"t{(self.made * 7919 + n * 104729) % self.free}" for n in range(count)]

    def cost(self, verb: Callable[[], object], *, jobs: int = 1) -> float:
        """Return the server's microseconds a job of a call, by its own log: the mean of the middle half."""
        self.client.config_set("slowlog-log-slower-than", 0)
        self.client.config_set("slowlog-max-len", 2 * CALLS)
        self.client.slowlog_reset()
        for _ in range(CALLS // jobs):
            verb()
        self.client.config_set("slowlog-log-slower-than", 10_000)
        log: Any = self.client.slowlog_get(2 * CALLS)
        spent = sorted(row["duration"] for row in log if row["command"].startswith(b"EVALSHA"))
        return float(statistics.mean(spent[len(spent) // 4 : -len(spent) // 4])) / jobs

    def measure(self) -> dict[str, float]:
        """Return the cost of each verb; what is taken is finished and queued again."""
        self.queue.finish([Finish(job.token) for job in self.queue.reserve(1)])
        held: list[Reserved] = []
        figures = {"enqueue": self.cost(lambda: self.add(self.some(1)))}
        for name, jobs in (("reserve", 1), ("reserve of 8", 8)):
            figures[name] = self.cost(lambda jobs=jobs: held.extend(self.queue.reserve(jobs)), jobs=jobs)
        tokens, turn = [job.token for job in held], itertools.count()
        figures["renew"] = self.cost(lambda: self.queue.renew([Renewal(tokens[next(turn) % CALLS])]))
        ends = [Finish(job.token) for job in held]
        figures["finish"] = self.cost(lambda: self.queue.finish([ends.pop()]))
        figures["finish of 8"] = self.cost(lambda: self.queue.finish(_take(ends, 8)), jobs=8)
        self.queue.finish(ends)
        self.add([job.tenant for job in held])
        return figures


def _take(ends: list[Finish], count: int) -> list[Finish]:
    taken, ends[:] = ends[:count], ends[count:]
    return taken
