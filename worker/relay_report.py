"""What beats tell of themselves, of what they did and of how far they are behind, of all tenants together."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, text

from models.session import RelayDatabase, call_relay

ALIVE_WITHIN = timedelta(seconds=60)
"""A beat that has not passed for this long is not counted on."""

BEAT = f"{socket.gethostname()}:{{pid}}"
"""A beat's name."""

REPORT = text("SELECT * FROM app.relay_report()")


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the relay is behind; counts stop at a hundred thousand."""

    unpublished: int
    """Jobs that have no message yet; those of inactive organizations apart."""
    oldest_unpublished: timedelta
    lapsed: int
    """Running jobs whose holder's lease has lapsed."""
    oldest_lapsed: timedelta
    expired: int
    """Jobs past their expiry that nobody has looked at."""
    due_schedules: int
    """Schedules whose moment has come and that no beat has fired."""
    oldest_due_schedule: timedelta
    stale_holds: int
    """Quota held by jobs that have ended; `quota.account` gives it back."""
    missing: int
    """Waiting jobs that the queue did not have when all were offered to it the last time."""
    rebuilding: bool


@dataclass(frozen=True, slots=True)
class RelayReport:
    """What the beats wrote down last."""

    beats: Mapping[str, float]
    """Each beat (host:process) of the last hour, and the seconds since its last pass."""
    counts: Mapping[str, int]
    """What all beats have done since the beginning, by name."""
    lag: Mapping[str, float | bool]
    """`Lag` by field, ages in seconds; empty before the first measurement."""
    measured_ago: timedelta | None

    @property
    def alive(self) -> int:
        """How many beats have passed of late."""
        return sum(age <= ALIVE_WITHIN.total_seconds() for age in self.beats.values())

    @property
    def since_pass(self) -> float | None:
        """Return the seconds since the last pass of any beat; None: none in the last hour."""
        return min(self.beats.values(), default=None)


def relay_lag(database: RelayDatabase) -> Lag:
    """Measure how far the relay is behind now."""
    row = call_relay(database, "relay_lag")[0]
    ages = {name: age or timedelta(0) for name, age in row.items() if name.startswith("oldest")}
    return Lag(**row | ages)


def read_report(engine: Engine) -> RelayReport:
    """Return what the beats wrote down last; the application may read it too."""
    with engine.connect() as connection:
        return RelayReport(**connection.execute(REPORT).mappings().one())


def note_pass(database: RelayDatabase, done: Mapping[str, int]) -> None:
    """Write down that the beat of this process has done a pass, and what it has done since the one before."""
    call_relay(database, "note_pass", beat=BEAT.format(pid=os.getpid()), done=done)


def measure_lag(database: RelayDatabase) -> None:
    """Write down how far the relay is behind."""
    call_relay(database, "measure_lag")
