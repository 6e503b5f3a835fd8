"""`genius top`: the lanes, live: who waits, who runs, who got how much worker time; and the relay."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import redis
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from config.celery import LANES
from models.session import Database
from ops.commands.console import table_console
from ops.configuration import database_in_force, settings_in_force
from ops.error import OperatorError
from ops.relay_view import relay_line
from worker.fairshare.queue import FairQueue
from worker.fairshare.view import TenantStats


class RedisAwayError(OperatorError):
    """Redis does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Redis does not answer as configured: {reason}\nRun `genius doctor` to see what is wrong."
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One tenant in one lane."""

    lane: str
    stats: TenantStats

    @property
    def cells(self) -> tuple[str, ...]:
        oldest = self.stats.oldest
        waited = "" if oldest is None else f"{(datetime.now(UTC) - oldest).total_seconds():.1f} s"
        return (
            *(self.lane, self.stats.tenant, f"{self.stats.weight:g}", str(self.stats.in_flight)),
            *(str(self.stats.waiting), str(self.stats.delayed), waited),
            *(f"{self.stats.used.total_seconds():.1f} s", self.stats.place),
        )


HEADINGS = (
    "lane",
    "tenant",
    "weight",
    "in flight",
    "waiting",
    "delayed",
    "oldest waits",
    "worker time",
    "place",
)


def top(
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    limit: Annotated[int, typer.Option(min=1, help="The busiest this many tenants of each lane.")] = 10,
    once: Annotated[bool, typer.Option(help="Look once and exit.")] = False,  # noqa: FBT002 - an option
) -> None:
    """Show each lane's tenants: what waits, what runs, worker time got; until Ctrl-C."""
    try:
        with (
            redis.Redis.from_url(str(settings_in_force().redis_url)) as client,
            database_in_force() as database,
        ):
            if once:
                table_console().print(_view(client, database, limit))
            else:
                _watch(client, database, limit, interval)
    except redis.RedisError as error:
        raise RedisAwayError(str(error)) from None
    except KeyboardInterrupt:
        return


def _watch(client: redis.Redis, database: Database, limit: int, interval: float) -> None:
    with Live(_view(client, database, limit), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_view(client, database, limit), refresh=True)


def _view(client: redis.Redis, database: Database, limit: int) -> Group:
    return Group(_table(client, limit), relay_line(database.engine))


def _table(client: redis.Redis, limit: int) -> Table:
    table = Table(title=f"Lanes at {datetime.now(UTC):%H:%M:%S} UTC", expand=True)
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading in {"lane", "tenant"})
    for line in _lines(client, limit):
        table.add_row(*line.cells)
    return table


def _lines(client: redis.Redis, limit: int) -> Iterator[Line]:
    for lane in LANES:
        # A tenant that changes while it is read may come twice; the last reading counts.
        tenants = {stats.tenant: stats for stats in FairQueue(client, lane).stats()}
        busiest = sorted(tenants.values(), key=_business, reverse=True)
        yield from (Line(lane, stats) for stats in busiest[:limit])


def _business(stats: TenantStats) -> tuple[int, int, float]:
    return stats.in_flight, stats.waiting + stats.delayed, stats.used.total_seconds()
