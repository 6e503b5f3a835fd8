"""A real web server's log through ingestion and passes equals what pandas makes of it, in every zone."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import update

from intake.ingest.event import EventBatch, EventBody, record_events
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tasks.analytics_calendar import Grain, Span
from tasks.analytics_reading import Slice, Totals, quarter_totals, totals
from tasks.analytics_rollups.rollup import run_pass

Organize = Callable[..., Tenant]
Cell = tuple[date, str]

ZONES = ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Los_Angeles"]
LINE = re.compile(r'^(\S+) \S+ \S+ \[([^]]+)\] "(\S+) [^"]*" (\d{3}) (\d+|-)')
SKETCH_ERROR = 0.05
"""Three standard errors of a sketch."""


class CrashError(Exception):
    """Ends a transaction before its commit."""


@dataclass(frozen=True)
class Log:
    """The log's events, and pandas' own copy of them."""

    events: tuple[EventBody, ...]
    frame: pd.DataFrame

    def by(self, zone: str, grain: Grain, *, naming: bool = True) -> dict[Cell, tuple[int, float, int]]:
        """Count with pandas alone."""
        local = self.frame["moment"].dt.tz_convert(zone).dt.tz_localize(None)
        code = {Grain.DAY: "D", Grain.WEEK: "W-SUN", Grain.MONTH: "M"}[grain]
        period = local.dt.to_period(code).dt.start_time.dt.date
        name = self.frame["name"] if naming else pd.Series("", index=self.frame.index)
        groups = self.frame.groupby([period.rename("period"), name.rename("label")])
        found = groups.agg(events=("name", "size"), value=("value", "sum"), visitors=("visitor", "nunique"))
        return {
            (key[0], key[1]): (int(row[0]), float(row[1]), int(row[2])) for key, *row in found.itertuples()
        }


@cache
def log_of(path: Path, shift: timedelta = timedelta(0), *, every: int = 1) -> Log:
    """Read the log, or one line in *every*, moved by *shift*."""
    events = []
    for number, line in enumerate(path.read_text().splitlines()[::every]):
        found = LINE.match(line)
        assert found, line
        address, moment, method, status, size = found.groups()
        occurred_at = datetime.strptime(moment, "%d/%b/%Y:%H:%M:%S %z") + shift
        events.append(
            EventBody(
                name=f"{method} {status[0]}xx",
                occurred_at=occurred_at,
                visitor=address,
                value=0.0 if size == "-" else float(size),
                key=str(number),
            )
        )
    rows = [(event.name, event.occurred_at, event.visitor, event.value) for event in events]
    frame = pd.DataFrame(rows, columns=["name", "moment", "visitor", "value"])
    frame["moment"] = pd.to_datetime(frame["moment"], utc=True)
    return Log(tuple(events), frame)


def record(database: Database, tenant: Tenant, events: Sequence[EventBody]) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        record_events(session, tenant.organization_id, EventBatch(events=tuple(events)))


def crash_if(wanted: bool) -> None:  # noqa: FBT001 - there is nothing else to say
    if wanted:
        raise CrashError


def roll_up(database: Database, tenant: Tenant, *, crash: bool = False) -> None:
    try:
        with tenant_session(database, tenant.organization_id) as session:
            run_pass(session, tenant.organization_id)
            crash_if(crash)
    except CrashError:
        return


def ingest(database: Database, tenant: Tenant, log: Log, seed: int) -> None:
    """Send everything in any order and in any split, some of it twice, with passes and crashes in between."""
    chance = random.Random(seed)
    sent = [*log.events, *chance.sample(log.events, len(log.events) // 7)]
    chance.shuffle(sent)
    while sent:
        size = chance.choice([1, 37, 400, 3_000])
        record(database, tenant, sent[:size])
        sent = sent[size:]
        if chance.random() < 0.5:
            roll_up(database, tenant, crash=chance.random() < 0.3)


def read(
    database: Database, tenant: Tenant, log: Log, zone: str, grain: Grain, chosen: Slice
) -> dict[Cell, tuple[int, float, int]]:
    moments = [event.occurred_at for event in log.events]
    around = timedelta(days=9)
    span = Span((min(moments) - around).date(), (max(moments) + around).date(), zone)
    with tenant_session(database, tenant.organization_id) as session:
        rows: list[Totals] = totals(session, tenant.organization_id, span, grain=grain, chosen=chosen)
    return {(row.period, row.name): (row.events, row.value_sum, row.visitors) for row in rows}


def agrees(database: Database, tenant: Tenant, log: Log, zone: str) -> None:
    for naming in (True, False):
        chosen = Slice(by_name=naming)
        assert read(database, tenant, log, zone, Grain.DAY, chosen) == log.by(zone, Grain.DAY, naming=naming)
        for grain in (Grain.WEEK, Grain.MONTH):
            got = read(database, tenant, log, zone, grain, chosen)
            expected = log.by(zone, grain, naming=naming)
            assert {key: row[:2] for key, row in got.items()} == {
                key: row[:2] for key, row in expected.items()
            }
            for key, (_, _, visitors) in expected.items():
                assert got[key][2] == pytest.approx(visitors, rel=SKETCH_ERROR)


def move_to(database: Database, tenant: Tenant, zone: str) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(time_zone=zone))


def test_the_log_equals_pandas_in_five_zones_however_it_comes(
    database: Database, organization: Organize, shared_data: Path
) -> None:
    tenant = organization()
    log = log_of(shared_data / "web_events_apache.log")
    ingest(database, tenant, log, seed=17)
    # Not rolled up to the end on purpose: what is past the watermark has to be in the answer too.
    for zone in ZONES:
        agrees(database, tenant, log, zone)
    for zone in ZONES:
        move_to(database, tenant, zone)
        roll_up(database, tenant)
        agrees(database, tenant, log, zone)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/Los_Angeles", date(2026, 3, 8)),
        ("America/Los_Angeles", date(2025, 11, 2)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("Australia/Lord_Howe", date(2025, 10, 5)),
        ("America/Sao_Paulo", date(2018, 2, 18)),
        ("America/Sao_Paulo", date(2018, 11, 4)),
    ],
    ids=str,
)
def test_the_log_equals_pandas_across_a_change_of_clocks(
    database: Database, organization: Organize, shared_data: Path, zone: str, change: date
) -> None:
    tenant = organization()
    shift = change - date(2015, 5, 18)
    log = log_of(shared_data / "web_events_apache.log", shift, every=3)
    move_to(database, tenant, zone)
    ingest(database, tenant, log, seed=change.toordinal())
    agrees(database, tenant, log, zone)
    roll_up(database, tenant)
    agrees(database, tenant, log, zone)


def test_quarters_of_the_log_equal_pandas(
    database: Database, organization: Organize, shared_data: Path
) -> None:
    tenant = organization()
    log = log_of(shared_data / "web_events_apache.log")
    record(database, tenant, log.events[:5_000])
    roll_up(database, tenant)
    record(database, tenant, log.events[5_000:])
    frame = log.frame
    groups = frame.groupby([frame["moment"].dt.floor("15min"), "name"])
    expected = {
        (key[0].to_pydatetime(), key[1]): (int(row[0]), float(row[1]), int(row[2]))
        for key, *row in groups.agg(
            events=("name", "size"), value=("value", "sum"), visitors=("visitor", "nunique")
        ).itertuples()
    }
    with tenant_session(database, tenant.organization_id) as session:
        rows = quarter_totals(session, Span(date(2015, 5, 17), date(2015, 5, 20), "UTC"))
    got = {(row.period.astimezone(UTC), row.name): (row.events, row.value_sum, row.visitors) for row in rows}
    assert got == expected
