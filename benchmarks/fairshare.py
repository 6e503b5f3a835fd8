"""What fairness costs and whether it holds: cost per verb, quiet tenants beside floods, the proved bound.

Run it as ``python benchmarks/fairshare.py [--only bound,verbs,flood,due] [--tenants 10,1000,100000]
[--redis-url URL] [--json PATH]``. Costs are the server's own figures (its slow log), so that they say nothing
of the network; waits are those of a real worker.
"""

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table
from support.bound import Busy, Replay, random_tenants
from support.flood import JOB_SECONDS, QUIET_TENANTS, Flood
from support.lane import Lane, clone
from support.system import redis_server

from worker.fairshare.queue import Entry

BLOCKED = (0.0, 0.9)
BACKLOGS = (1_000, 60_000, 1_000_000)
DELAYED = 1_000_000
ROUNDS = 5
SEEDS = range(5)
WAITING_EACH = 2
"""Jobs of each tenant that wait while verbs are measured, whatever the number of tenants."""


def verbs(client: redis.Redis, *, tenants: list[int]) -> list[dict[str, Any]]:
    """Measure each verb with each number of tenants, none and nine in ten of them blocked."""
    heads = [{"tenants": count, "blocked": blocked} for blocked in BLOCKED for count in tenants]
    lanes = []
    for head in heads:
        free = max(1, round(head["tenants"] * (1 - head["blocked"])))
        lanes.append(Lane(client, **head, backlog=max(WAITING_EACH, 1_000 // free)))
    rows = [head | costs for head, costs in zip(heads, in_turn(lanes), strict=True)]
    client.flushdb()
    return rows


def in_turn(lanes: list[Lane]) -> list[dict[str, float]]:
    """Measure the lanes one after another, over rounds, and return the medians of each."""
    rounds = [[lane.measure() for lane in lanes] for _ in range(ROUNDS)]
    return [
        {name: statistics.median(costs[name] for costs in of_lane) for name in of_lane[0]}
        for of_lane in zip(*rounds, strict=True)
    ]


def backlogs(client: redis.Redis) -> list[dict[str, Any]]:
    """Measure each verb among 100 tenants, one of which has many jobs waiting."""
    lanes, heads = [], []
    for backlog in (BACKLOGS[0], BACKLOGS[-1]):
        lanes.append(Lane(client, tenants=100, blocked=0, backlog=10))
        before = client.info("memory")["used_memory"]
        clone(lanes[-1].queue, Entry("flood", "m" * 700, "t0", "k"), backlog)
        memory = (client.info("memory")["used_memory"] - before) / backlog
        heads.append({"backlog": backlog, "bytes_a_job": memory})
    rows = [head | costs for head, costs in zip(heads, in_turn(lanes), strict=True)]
    client.flushdb()
    return rows


def show_costs(title: str, rows: list[dict[str, Any]], labels: list[str], console: Console) -> None:
    """Print the costs, each with how many times that of the first row it is."""
    names = [key for key in rows[0] if key not in {*labels, "bytes_a_job"}]
    table = Table(title=title)
    for column in (*labels, *names):
        table.add_column(column, justify="right")
    for row in rows:
        base = rows[0]
        heads = [f"{row[label]:.0%}" if label == "blocked" else f"{row[label]:,}" for label in labels]
        table.add_row(*heads, *(f"{row[name]:.1f} ({row[name] / base[name]:.2f})" for name in names))
    console.print(table)
    if "bytes_a_job" in rows[-1]:
        console.print(f"a waiting job of 700 bytes takes {rows[-1]['bytes_a_job']:,.0f} bytes")


def floods(redis_url: str) -> list[dict[str, Any]]:
    """Measure quiet tenants' waits beside floods of several sizes."""
    rows = []
    for backlog in BACKLOGS:
        flood = Flood(redis_url)
        try:
            rows.append({"backlog": backlog, **asdict(flood.waits_beside(backlog))})
        finally:
            flood.close()
    return rows


def coming_due(redis_url: str) -> dict[str, Any]:
    """Measure quiet tenants' waits before and after very many delayed jobs of another come due."""
    flood = Flood(redis_url)
    try:
        before, after = flood.waits_around(DELAYED)
    finally:
        flood.close()
    return {"delayed": DELAYED, "before": asdict(before), "after": asdict(after)}


def show_floods(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the waits."""
    job_ms = JOB_SECONDS * 1000
    table = Table(title=f"Wait of {QUIET_TENANTS} quiet tenants beside a flood; each job runs {job_ms:g} ms")
    for column in ("flood", "median ms", "p99 ms", f"limit {job_ms + 50:g} ms"):
        table.add_column(column, justify="right")
    for row in rows:
        holds = "holds" if row["p99"] <= JOB_SECONDS + 0.05 else "FAILS"
        table.add_row(f"{row['backlog']:,}", f"{row['median'] * 1000:.1f}", f"{row['p99'] * 1000:.1f}", holds)
    console.print(table)


def show_due(row: dict[str, Any], console: Console) -> None:
    """Print by how much others were delayed."""
    before, after = (
        {part: value * 1000 for part, value in row[when].items()} for when in ("before", "after")
    )
    console.print(
        f"{row['delayed']:,} delayed jobs of one tenant come due at once, every slot being busy: "
        f"others wait {before['median']:.1f} ms before and {after['median']:.1f} ms after (median), "
        f"{before['p99']:.1f} and {after['p99']:.1f} ms (p99): "
        f"{max(0.0, after['p99'] - before['p99']):.1f} ms more (limit 20)"
    )


def bounds(client: redis.Redis) -> dict[str, Any]:
    """Replay random busy tenants, long against short jobs, and weights 1:2:5; compare with the bound."""
    worst = 0.0
    for seed in SEEDS:
        replay = Replay(client, random_tenants(seed), slots=8, seed=seed)
        replay.run(1_500)
        worst = max(worst, replay.worst())
    second = 1_000_000
    long = Replay(
        client,
        [Busy("34 s", 1, (34 * second, 34 * second)), Busy("1 s", 1, (second, second))],
        slots=4,
        seed=1,
    )
    long.run(6_000)
    weights = [Busy(str(weight), weight, (second // 2, 2 * second)) for weight in (1, 2, 5)]
    weighted = Replay(client, weights, slots=4, seed=1)
    weighted.run(3_000)
    worst = max(worst, long.worst(), weighted.worst())
    return {"worst": worst, "long_and_short": long.shares(), "weights": weighted.shares()}


def show_bounds(found: dict[str, Any], console: Console) -> None:
    """Print how near the bound came, and who got what."""
    console.print(f"largest gap between two tenants: {found['worst']:.3f} of the bound (limit 1)")
    for title, shares in (("jobs of", found["long_and_short"]), ("weights", found["weights"])):
        parts = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        console.print(f"worker time by {title}: {parts}")


def run(redis_url: str, console: Console, *, only: set[str], tenants: list[int]) -> dict[str, Any]:
    """Measure what was asked for, print it, and return the figures."""
    found: dict[str, Any] = {}
    with redis.Redis.from_url(redis_url, socket_timeout=None) as client:
        if "bound" in only:
            found["bound"] = bounds(client)
            show_bounds(found["bound"], console)
        if "verbs" in only:
            found["verbs"] = verbs(client, tenants=tenants)
            title = "Server time a job, us (times that of the fewest tenants, none blocked)"
            show_costs(title, found["verbs"], ["tenants", "blocked"], console)
            found["backlogs"] = backlogs(client)
            title = "Server time a job, us (times that of the smaller backlog of one tenant among 100)"
            show_costs(title, found["backlogs"], ["backlog"], console)
        if "flood" in only:
            found["flood"] = floods(redis_url)
            show_floods(found["flood"], console)
        if "due" in only:
            found["due"] = coming_due(redis_url)
            show_due(found["due"], console)
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--redis-url", help="a Redis database, which is emptied; without it a server is started"
    )
    parser.add_argument("--only", default="bound,verbs,flood,due")
    parser.add_argument("--tenants", default="10,1000,100000")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with redis_server(options.redis_url) as redis_url:
        tenants = [int(count) for count in options.tenants.split(",")]
        found = run(redis_url, Console(width=140), only=set(options.only.split(",")), tenants=tenants)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
