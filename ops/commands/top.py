"""`genius top`: lanes, tenants by wait with the shares they got, workers, dead letters, relay; live."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Annotated, Self

import orjson
import redis
import typer
from rich.live import Live

from models.session import (
    DATABASE_ERRORS,
    RelayDatabase,
    RelayNotConfiguredError,
    open_relay_database,
)
from ops.commands.console import table_console
from ops.configuration import database_in_force, settings_in_force
from ops.dead_letter_view import count_all_dead
from ops.directory import Directory
from ops.error import OperatorError
from ops.keys import pressed_keys
from ops.lanes import NO_SHARES, Reading, Shares, TenantLine, read_lanes, tenant_lines
from ops.top_view import Look, TenantSeen
from ops.worker_view import WorkerLine, ask_workers
from worker.relay_report import RelayReport, read_report

PATIENCE_S = 5
LONGEST_GLANCE_S = 1.0
"""A single look compares with an earlier one, so long before at most: shares are those in between."""


class RedisAwayError(OperatorError):
    """Redis does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Redis does not answer as configured: {reason}\nRun `genius doctor` to see what is wrong."
        )


def top(
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    limit: Annotated[int, typer.Option(min=1, help="The first this many tenants.")] = 10,
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Look once and print one JSON object.")] = False,
) -> None:
    """Show what waits and runs, who got which share of worker time, workers, dead letters and the relay."""
    try:
        with Lookout(limit) as lookout:
            if once or as_json:
                _glance(lookout, min(interval, LONGEST_GLANCE_S), as_json=as_json)
            else:
                _watch(lookout, interval)
    except redis.RedisError as error:
        raise RedisAwayError(str(error)) from None
    except KeyboardInterrupt:
        return


def _glance(lookout: "Lookout", pause: float, *, as_json: bool) -> None:
    lookout.read()
    time.sleep(pause)
    look = lookout.look(wait_for_workers=True)
    console = table_console()
    if as_json:
        typer.echo(orjson.dumps(look.document()).decode())
    else:
        console.print(look.rendered(console.width))


def _watch(lookout: "Lookout", interval: float) -> None:
    with pressed_keys() as press, Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(lookout.look().fitted(live.console), refresh=True)
            if "q" in press(interval):
                return


class Lookout:
    """Looks again and again; workers are asked meanwhile, since their answers take a second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: Reading | None = None
        self._workers: list[WorkerLine] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._settings = settings_in_force()
            self._client = exits.enter_context(
                redis.Redis.from_url(str(self._settings.redis_url), socket_timeout=PATIENCE_S)
            )
            self._database = exits.enter_context(database_in_force())
            self._relay = self._open_relay(exits)
            self._directory = Directory(self._database)
            self._executor = exits.enter_context(ThreadPoolExecutor(max_workers=1))
            self._client.ping()  # before the workers are asked, who would wait for it for long
            self._asked = self._ask()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def read(self) -> tuple[Reading, list[TenantLine]]:
        """Read the lanes, and compare with the time before."""
        reading = read_lanes(self._client)
        shares = NO_SHARES if self._last is None else Shares.between(self._last, reading)
        self._last = reading
        return reading, tenant_lines(reading, shares)

    def look(self, *, wait_for_workers: bool = False) -> Look:
        """Look at everything."""
        reading, lines = self.read()
        lines = [line for line in lines if line.backlog or line.in_flight or line.pace]
        lines.sort(key=lambda line: (-(line.age(reading.at) or 0.0), -line.in_flight, -line.pace))
        return Look(
            reading,
            self._tenants(lines[: self._limit]),
            len(lines),
            self._ask_workers(wait=wait_for_workers),
            self._count_dead(),
            self._read_report(),
        )

    def _tenants(self, lines: list[TenantLine]) -> list[TenantSeen]:
        try:
            known = self._directory.find_each(line.tenant for line in lines)
        except DATABASE_ERRORS:
            known = {}
        return [TenantSeen(line, known.get(line.tenant)) for line in lines]

    def _ask(self) -> Future[list[WorkerLine]]:
        return self._executor.submit(ask_workers, self._settings)

    def _ask_workers(self, *, wait: bool) -> list[WorkerLine] | None:
        if wait or self._asked.done():
            self._workers = self._asked.result()
            self._asked = self._asked if wait else self._ask()
        return self._workers

    def _count_dead(self) -> int | None:
        try:
            return None if self._relay is None else count_all_dead(self._relay)
        except DATABASE_ERRORS:
            return None

    def _read_report(self) -> RelayReport | None:
        try:
            return read_report(self._database.engine)
        except DATABASE_ERRORS:
            return None

    def _open_relay(self, exits: ExitStack) -> RelayDatabase | None:
        try:
            relay = open_relay_database(self._settings, pool_size=1)
        except RelayNotConfiguredError:
            return None
        exits.callback(relay.engine.dispose)
        return relay
