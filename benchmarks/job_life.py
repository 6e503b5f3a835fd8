"""The whole life of a job, durable, bound to its tenant and accounted for, against rivals' bare jobs.

Every job does one UPDATE. Ours are recorded in Postgres and published, claimed, run under row-level
security, completed with their ledger; stock Celery's and dramatiq's are only in Redis, procrastinate's in
Postgres. Run it as ``python benchmarks/job_life.py [--rounds 3] [--only drain,waits] [--systems dramatiq]``.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from rich.console import Console
from rich.table import Table
from support.accept import batches, over_http, singles, waits
from support.celery_system import CelerySystem
from support.contest import Make, drain
from support.life import ALONE, LIFE, LifeSystem, ProcrastinateSystem
from support.life_kinds import TABLE
from support.rivals import DramatiqSystem
from support.system import ONE_QUEUE
from support.update import create_rows

from config.logging import configure_logging
from config.settings import Settings
from ops.stack import Stack, settings_from

JOBS = 8_000
SYSTEMS = (LIFE, ALONE, "celery", "dramatiq", "procrastinate")
PARTS = ("drain", "waits", "batches", "singles", "http")


def run(*, rounds: int, tenants: int, only: Sequence[str], systems: Sequence[str]) -> dict[str, Any]:
    """Measure what is asked for, on servers of its own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        bare = {name: value for name, value in os.environ.items() if not name.startswith("GENIUS_")}
        with Stack(Path(directory) / "stack", environ=bare) as stack:
            stack.migrate()
            os.environ.update(stack.environment() | {"GENIUS_LOG_LEVEL": "WARNING"})
            settings = settings_from(os.environ)
            configure_logging(settings)
            _make_table(stack)
            os.environ["BENCH_DATABASE"] = _rivals_database(stack)
            result = {"tenants": tenants, "accept": accept(settings, only)}
            if "drain" in only:
                result["drain"] = contest(settings, rounds=rounds, tenants=tenants, systems=systems)
            return result


def accept(settings: Settings, only: Sequence[str]) -> dict[str, float]:
    """Measure how jobs are accepted and how soon they start; each part begins with an empty queue."""
    measures: dict[str, Callable[[LifeSystem], dict[str, float]]] = {
        "waits": waits,  # first: nothing is idle while Postgres tidies up after a flood
        "batches": batches,
        "singles": singles,
        "http": partial(over_http, settings=settings),
    }
    found: dict[str, float] = {}
    for name in [name for name in measures if name in only]:
        ours = LifeSystem(str(settings.redis_url), settings, tenants=1)
        found |= measures[name](ours)
        ours.client.flushdb()
        ours.close()
    return found


def contest(
    settings: Settings, *, rounds: int, tenants: int, systems: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Drain each system in turn, over rounds; return the medians."""
    redis_url = str(settings.redis_url)
    contestants: dict[str, tuple[Make, str, int, int]] = {
        LIFE: (lambda: LifeSystem(redis_url, settings, tenants=tenants), "threads", 256, 2),
        ALONE: (lambda: LifeSystem(redis_url, settings, tenants=tenants, name=ALONE), "threads", 16, 2),
        "celery": (lambda: CelerySystem(ONE_QUEUE, redis_url), "threads", 4, 2),
        "dramatiq": (lambda: DramatiqSystem(redis_url), "prefork", 8, 1),
        "procrastinate": (lambda: ProcrastinateSystem(redis_url), "", 16, 1),
    }
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name in [name for name in contestants if name in systems]:
            make, pool, slots, workers = contestants[name]
            row = drain(make, pool, slots=slots, workers=workers, jobs=JOBS)
            found.setdefault(name, []).append(row)
    return {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for name, rows in found.items()
    }


def _make_table(stack: Stack) -> None:
    owner = stack.postgres.owner_url
    assert owner is not None, "the table that jobs change needs a server of our own"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(TABLE)


def _rivals_database(stack: Stack) -> str:
    superuser = stack.postgres.superuser_url
    assert superuser is not None, "the rivals' tables need a server of our own"
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("CREATE DATABASE rivals")
    url = urlunsplit(urlsplit(superuser)._replace(path="/rivals"))
    create_rows(url)
    return url


def show(result: dict[str, Any], console: Console) -> None:
    """Print the medians, and ours as a multiple of each."""
    if "drain" in result:
        show_drain(result, console)
    for name, value in result["accept"].items():
        console.print(f"{name}: {value:,.1f}")


def show_drain(result: dict[str, Any], console: Console) -> None:
    """Print how fast each system drained."""
    table = Table(title=f"One UPDATE a job, {result['tenants']} tenants (median of rounds)")
    for title in ("system", "jobs/s", "workers' CPU us a job", "ours is"):
        table.add_column(title, justify="left" if title == "system" else "right")
    ours = result["drain"].get(LIFE, {}).get("jobs_a_second", math.nan)
    for name, row in result["drain"].items():
        rate = row["jobs_a_second"]
        table.add_row(name, f"{rate:,.0f}", f"{row['cpu_us']:,.0f}", f"{ours / rate:.2f} times")
    console.print(table)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="that drain")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    result = run(
        rounds=options.rounds,
        tenants=options.tenants,
        only=options.only.split(","),
        systems=options.systems.split(","),
    )
    show(result, Console(width=120))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
