"""What each verb costs the server, against how many tenants there are, are blocked, and have jobs waiting.

The figures are the server's own (``INFO commandstats``), so they hold on a busy machine too. Run it as
``python benchmarks/fairshare.py [--tenants 10,1000,100000] [--json PATH]``.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table
from support.system import redis_server

from worker.fairshare.queue import Entry, FairQueue, Finish, Renewal, Reserved, TenantSettings

CALLS = 300
ROUNDS = 5
MESSAGE = "m" * 700
"""About as long as a Celery message."""
BLOCKED = TenantSettings(cap=0, soft_cap=0).to_json()


class Lane:
    """A lane with many tenants, some of them blocked, each with jobs waiting."""

    def __init__(self, client: redis.Redis, *, tenants: int, blocked: float, backlog: int) -> None:
        self.client = client
        self.queue = FairQueue(client, "bench")
        self.tenants = tenants
        self.made = 0
        self.free = max(1, round(tenants * (1 - blocked)))
        client.flushdb()
        self.add([f"t{n}" for n in range(tenants) for _ in range(backlog)])

    def add(self, tenants: list[str]) -> None:
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

    def cost(self, verb: Callable[[], object], *, jobs: int) -> float:
        """Return the server's microseconds a job of the calls that *verb* makes."""
        self.client.config_resetstat()
        for _ in range(CALLS // jobs + 1):
            verb()
        stats: Any = self.client.info("commandstats")["cmdstat_evalsha"]
        return float(stats["usec"]) / (CALLS // jobs + 1) / jobs

    def measure(self) -> dict[str, float]:
        """Return the cost of each verb, as the median of rounds."""
        rounds: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, cost in self.measure_once().items():
                rounds.setdefault(name, []).append(cost)
        return {name: statistics.median(costs) for name, costs in rounds.items()}

    def measure_once(self) -> dict[str, float]:
        """Return the cost of each verb; what is taken is finished and queued again."""
        held: list[Reserved] = []
        figures = {"enqueue": self.cost(lambda: self.add(self.some(1)), jobs=1)}
        self.client.script_flush()
        self.queue.enqueue([])
        for name, jobs in (("reserve", 1), ("reserve of 16", 16)):
            figures[name] = self.cost(lambda jobs=jobs: held.extend(self.queue.reserve(jobs)), jobs=jobs)
        figures["renew"] = self.cost(lambda: self.queue.renew([Renewal(held[0].token)]), jobs=1)
        half = len(held) // 2
        ends = [Finish(job.token) for job in held]
        figures["finish"] = self.cost(lambda: self.queue.finish([ends.pop()]), jobs=1)
        figures["finish of 16"] = self.cost(lambda: self.queue.finish(_take(ends, 16)), jobs=16)
        self.queue.finish(ends)
        self.add([job.tenant for job in held][:half])
        return figures


def _take(ends: list[Finish], count: int) -> list[Finish]:
    taken, ends[:] = ends[:count], ends[count:]
    return taken


def run(redis_url: str, *, tenants: list[int]) -> list[dict[str, Any]]:
    """Measure each number of tenants with none and with nine in ten of them blocked."""
    rows = []
    with redis.Redis.from_url(redis_url) as client:
        for blocked in (0.0, 0.9):
            for count in tenants:
                backlog = max(1, 2_000 // max(1, round(count * (1 - blocked))))
                lane = Lane(client, tenants=count, blocked=blocked, backlog=backlog)
                memory = client.info("memory")["used_memory"] / max(1, lane.made)
                rows.append({"tenants": count, "blocked": blocked, "bytes_a_job": memory, **lane.measure()})
        client.flushdb()
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the costs, each with how many times that of the fewest tenants it is."""
    verbs = [key for key in rows[0] if key not in {"tenants", "blocked", "bytes_a_job"}]
    table = Table(title="Server time a job, us (times that of the fewest tenants)")
    for title in ("tenants", "blocked", *verbs, "bytes a job"):
        table.add_column(title, justify="right")
    for row in rows:
        base = next(first for first in rows if first["blocked"] == row["blocked"])
        costs = (f"{row[verb]:.1f} ({row[verb] / base[verb]:.2f})" for verb in verbs)
        table.add_row(f"{row['tenants']:,}", f"{row['blocked']:.0%}", *costs, f"{row['bytes_a_job']:,.0f}")
    console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--redis-url", help="a Redis database, which is emptied; without it a server is started"
    )
    parser.add_argument("--tenants", default="10,100,1000,10000,100000")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with redis_server(options.redis_url) as redis_url:
        rows = run(redis_url, tenants=[int(count) for count in options.tenants.split(",")])
    show(rows, Console(width=150))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
