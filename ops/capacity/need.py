"""The arithmetic: from jobs a second to slots, cores, servers and bytes.

Source: docs/capacity.md says why; docs/performance.md where the figures were measured.
"""

from dataclasses import dataclass
from math import ceil

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried at its peak."""

    tenants: int
    jobs_per_second: float
    job_seconds: float
    """How long a body holds its slot, waiting for others included."""
    cpu_seconds: float
    """Processor time of a body, of which the rest of its time is waiting."""
    brief: bool = False
    """Bodies of milliseconds that share transactions (`JobKind(brief=True)`)."""
    backlog_seconds: float = 3_600
    """Jobs of so long may pile up at worst, such as while workers are away."""
    days_kept: int = 90


@dataclass(frozen=True, slots=True)
class Costs:
    """What one job costs beside its body, in seconds of one core, and in bytes."""

    worker: float
    postgres: float
    redis: float = 75e-6
    """48 us to enqueue, 26 to reserve and end."""
    redis_bytes: int = 1_220
    history_bytes: int = 1_500
    """Job, events and ledger, with their indexes."""


BRIEF = Costs(worker=140e-6, postgres=75e-6)
"""7,500 jobs/s on two cores that everything shared, in groups of 64."""

ORDINARY = Costs(worker=1.2e-3, postgres=1e-3)
"""850 jobs/s on the same cores, on 16 threads a process."""


@dataclass(frozen=True, slots=True)
class Room:
    """How full each part may be at the peak, so that bursts and lost machines find room."""

    slots: float = 0.7
    worker_cores: float = 0.7
    redis: float = 0.5
    """It runs scripts on one core, one at a time."""
    postgres: float = 0.6


SLOTS_A_PROCESS = 16
CONNECTIONS_A_PROCESS = 18
MOST_CONNECTIONS = 300
"""Without a pooler before Postgres."""

MOST_POSTGRES_CORES = 64
"""Beyond one primary of this size, whole installations share the organizations."""


@dataclass(frozen=True, slots=True)
class Need:
    """What carries the load."""

    busy_slots: float
    slots: int
    worker_cores: int
    redis_servers: int
    redis_bytes: int
    """Of all servers together, twice the backlog: a copy while the file is written."""
    postgres_cores: int
    connections: int
    pooler: bool
    history_bytes: int
    cells: int
    """Installations, each with a part of the organizations and of everything above."""
    beats: int = 2


def need(load: Load, *, costs: Costs | None = None, room: Room | None = None) -> Need:
    """Return what carries *load*.

    Busy slots are Little's law: what is in a system is what comes in, times how long it stays.
    """
    each, free = costs or (BRIEF if load.brief else ORDINARY), room or Room()
    busy = load.jobs_per_second * load.job_seconds
    slots = ceil(busy / free.slots)
    postgres = ceil(load.jobs_per_second * each.postgres / free.postgres)
    connections = ceil(slots / SLOTS_A_PROCESS) * CONNECTIONS_A_PROCESS
    return Need(
        busy_slots=busy,
        slots=slots,
        worker_cores=ceil(load.jobs_per_second * (each.worker + load.cpu_seconds) / free.worker_cores),
        redis_servers=ceil(load.jobs_per_second * each.redis / free.redis),
        redis_bytes=ceil(2 * load.jobs_per_second * load.backlog_seconds * each.redis_bytes),
        postgres_cores=postgres,
        connections=connections,
        pooler=connections > MOST_CONNECTIONS,
        history_bytes=ceil(load.jobs_per_second * each.history_bytes * load.days_kept * SECONDS_A_DAY),
        cells=ceil(postgres / MOST_POSTGRES_CORES),
    )
