"""The fair-share queue of one lane: one typed method per script."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson

from worker.fairshare.keys import LaneKeys
from worker.fairshare.script import Argument, ScriptClient, load
from worker.fairshare.units import from_us, moment_to_us, to_us
from worker.fairshare.view import Explanation, TenantStats, explanation_of, tenant_stats_of

CHUNK = 250
"""Jobs or leases in one call; bounds how long a script holds the server."""

TOKEN, JOB, TENANT, TRIES, MESSAGE = range(1, 6)
RESERVED_FIELDS = 6

EndRow = tuple[str, str, int, int]
"""How a lease ends, as ``finish.lua`` reads it: token, outcome, us used (-1 is all), moment due (us)."""

Clock = Callable[[], int]
"""Returns the moment in microseconds; tests inject one."""


class Placed(IntEnum):
    """What became of a job that was to be queued."""

    REFUSED = -1
    DUPLICATE = 0
    QUEUED = 1


class Outcome(StrEnum):
    """How a lease ends."""

    ACK = "ack"
    """The job is done."""
    DROP = "drop"
    """The job failed for good."""
    RETRY = "retry"
    """The job runs again, from its old place."""
    LOST = "lost"
    """Its holder vanished."""
    UNSTARTED = "unstarted"
    """It never began: nothing is charged."""


class Finished(IntEnum):
    """What ending a lease did."""

    STALE = 0
    """Somebody else ended it first; nothing changed."""
    DONE = 1
    DEAD = 2
    """The job was lost or retried too often and went to the dead letters."""


class Cancelled(IntEnum):
    """What cancelling a job did."""

    UNKNOWN = -1
    RUNNING = 0
    CANCELLED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """What a tenant may use of a lane. None leaves a setting as it is, False takes its limit away."""

    weight: float | None = None
    """Share of worker time relative to other tenants."""
    cap: int | bool | None = None
    """Jobs in flight at most while others wait."""
    soft_cap: int | bool | None = None
    """Jobs in flight at most when slots are idle."""
    max_backlog: int | bool | None = None
    """Jobs waiting at most; more are refused."""
    gap: timedelta | bool | None = None
    """Rate limit: time between two jobs."""
    tau: timedelta | bool | None = None
    """Rate limit: how far ahead of the even pace a burst may run."""
    paused: bool | None = None
    paused_kinds: frozenset[str] | None = None

    def to_json(self) -> str:
        """Spell the settings that are given as the scripts read them; '' if none is."""
        given = {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}
        return json.dumps(given, default=_plain) if given else ""


def _plain(value: object) -> object:
    return to_us(value) if isinstance(value, timedelta) else sorted(value)  # type: ignore[call-overload] # a frozenset


NO_SETTINGS = TenantSettings()


class Entry(NamedTuple):
    """A job on its way into the queue."""

    job: str
    """Stable identity: a second entry with it is a duplicate while the first waits or runs."""
    message: str | bytes
    tenant: str = "default"
    kind: str = ""
    """What is alike in duration; guesses are learned per tenant and kind."""
    due: datetime | None = None
    head_start: timedelta = timedelta(0)
    """Priority inside the tenant: the job counts as queued this much earlier."""
    must: bool = False
    """Queue it even if the tenant's backlog is full: a retry, or the next step of a job that was accepted."""
    settings: str = ""
    """``TenantSettings.to_json``, for a tenant that is not known yet."""

    def arguments(self) -> tuple[Argument, ...]:
        """Spell the entry as ``enqueue.lua`` reads it."""
        due = moment_to_us(self.due) if self.due else 0
        boost = to_us(self.head_start) if self.head_start else 0
        must = "1" if self.must else ""
        return (self.job, self.tenant, self.kind, due, boost, must, self.settings, self.message)


class Reserved(NamedTuple):
    """A job that is leased to us."""

    lane: str
    token: str
    job: str
    tenant: str
    tries: int
    """How often it was lost or retried before."""
    message: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """How one lease is to end."""

    token: str
    outcome: Outcome = Outcome.ACK
    used: timedelta | None = None
    """Worker time used; None counts since the lease began."""
    due: datetime | None = None

    def arguments(self) -> EndRow:
        """Spell the end as ``finish.lua`` reads it."""
        used = -1 if self.used is None else to_us(self.used)
        return (self.token, self.outcome.value, used, moment_to_us(self.due) if self.due else 0)


@dataclass(frozen=True, slots=True)
class Renewal:
    """One lease to keep."""

    token: str
    used: timedelta | None = None
    """Worker time used so far; None counts since the lease began."""

    def arguments(self) -> tuple[Argument, ...]:
        """Spell the renewal as ``renew.lua`` reads it."""
        return (self.token, -1 if self.used is None else to_us(self.used))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How leases are given."""

    lease: timedelta = timedelta(seconds=60)
    """A job not renewed for this long is given to another worker."""
    guess: timedelta = timedelta(milliseconds=100)
    """Worker time charged ahead for a kind that never ran."""
    max_tries: int = 20
    """A job lost or retried this often goes to the dead letters."""
    longest_run: timedelta = timedelta(hours=6)
    """A lease is not renewed beyond this."""
    step: int = 32
    """Tenants placed and leases restored at most before the first job of a call."""


DEFAULT_POLICY = Policy()


@dataclass(frozen=True)
class FairQueue:
    """The queue of one lane.

    Args:
        client: Plain ``redis.Redis`` (not decoding, not prefixing).
        prefix: Put before every key, to share a database.
        clock: Replaces the server's clock, for tests.
    """

    client: ScriptClient
    lane: str
    prefix: str = ""
    policy: Policy = DEFAULT_POLICY
    clock: Clock | None = None
    keys: LaneKeys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", LaneKeys(self.lane, self.prefix))

    def enqueue(self, entries: Iterable[Entry]) -> list[Placed]:
        """Queue jobs, each once: a job that waits or runs already is a duplicate.

        A batch beyond 250 takes several calls, so a crash can leave its first part queued: send it again.
        """
        return [Placed(code) for code in self._in_chunks("enqueue", (), map(Entry.arguments, entries))]

    def reserve(self, count: int = 1, ends: Sequence[Finish] = ()) -> list[Reserved]:
        """End leases, then lease up to *count* jobs, each of the tenant that is furthest behind its share."""
        return reserve([self], count, {self.lane: [end.arguments() for end in ends]})[0]

    def finish(self, ends: Sequence[Finish]) -> list[Finished]:
        """End leases and correct what was charged to the time really used."""
        return [Finished(code) for code in self.finish_rows([end.arguments() for end in ends])]

    def finish_rows(self, rows: Sequence[EndRow]) -> list[int]:
        """End leases spelled as ``finish.lua`` reads them."""
        codes: list[int] = []
        for at in range(0, len(rows), CHUNK):
            codes += self._run("finish", self.policy.max_tries, orjson.dumps(rows[at : at + CHUNK]))
        return codes

    def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Keep leases and charge what their jobs used so far; False is a lease that was lost."""
        rows = [renewal.arguments() for renewal in renewals]
        return [code == 1 for code in self._in_chunks("renew", (to_us(self.policy.lease),), rows)]

    def restore(self, limit: int = CHUNK) -> int:
        """Give up to *limit* expired leases back; workers do it whenever they reserve."""
        return int(self._run("restore", limit, self.policy.max_tries))

    def configure(self, tenant: str, settings: TenantSettings) -> None:
        """Change a tenant's settings, live, on the backlog it has."""
        aside = int(self._run("configure", tenant, CHUNK, settings.to_json() or "{}"))
        if settings.paused_kinds:
            return  # what is put aside stays there
        for _ in range(0, aside, CHUNK):
            self._run("configure", tenant, CHUNK, "{}")

    def cancel(self, jobs: Sequence[str]) -> list[Cancelled]:
        """Take jobs that wait out of the queue."""
        return [Cancelled(code) for code in self._in_chunks("cancel", (), [(job,) for job in jobs])]

    def explain(self, job: str) -> Explanation | None:
        """Say why *job* has not run yet; None if it is not here."""
        row = self._run("explain", job)
        return explanation_of(row) if row else None

    def stats(self, page: int = 100) -> Iterator[TenantStats]:
        """Yield what each tenant has and got; one that changes meanwhile may come twice or as it was."""
        cursor = b"0"
        while True:
            cursor, _, *values = self._run("stats", cursor, page)
            for at in range(0, len(values), 10):
                yield tenant_stats_of(values[at : at + 10])
            if cursor == b"0":
                return

    def audit(self, *, repair: bool = False, page: int = 100) -> int:
        """Count tenants that stand where they do not belong; 0 unless something else wrote the keys."""
        return self._scan("audit", page, "1" if repair else "")

    def purge(self, page: int = CHUNK) -> int:
        """Drop every job that waits, and return how many; jobs in flight stay."""
        return self._scan("purge", page)

    def destroy(self) -> None:
        """Delete the lane with everything in it."""
        while not self._run("destroy", CHUNK):
            pass

    def _scan(self, verb: str, page: int, *arguments: Argument) -> int:
        cursor, total = b"0", 0
        while True:
            count: int
            cursor, count = self._run(verb, cursor, page, *arguments)
            total += count
            if cursor == b"0":
                return total

    def _in_chunks(
        self, verb: str, shared: tuple[Argument, ...], rows: Iterable[tuple[Argument, ...]]
    ) -> Iterable[int]:
        rest = iter(rows)
        first = list(islice(rest, CHUNK))
        if len(first) < CHUNK:
            return self._run(verb, *shared, *flat(first)) if first else ()
        chunks = chain([first], iter(lambda: list(islice(rest, CHUNK)), []))
        batches = ((now(self.clock), *shared, *flat(chunk)) for chunk in chunks)
        return flat(load(verb).run_each(self.client, [self.keys.base], batches))

    def _run(self, verb: str, *arguments: Argument) -> Any:
        return load(verb).run(self.client, [self.keys.base], [now(self.clock), *arguments])


flat = chain.from_iterable


def now(clock: Clock | None) -> Argument:
    """Spell the moment for a script; '' is the server's clock."""
    return clock() if clock else ""


def reserve_command(
    queues: Sequence[FairQueue], count: int, ends: Mapping[str, Sequence[EndRow]]
) -> tuple[list[str], list[Argument]]:
    """Spell the keys and arguments of ``reserve.lua``; *ends* are leases to end first, by their lanes."""
    first = queues[0]
    policy = first.policy
    asked = [queue.lane for queue in queues]
    lanes = [*asked, *(lane for lane in ends if lane not in asked)]
    by_index = orjson.dumps({str(lanes.index(lane) + 1): rows for lane, rows in ends.items()})
    keys = [LaneKeys(lane, first.prefix).base for lane in lanes]
    spans = (to_us(policy.lease), to_us(policy.guess))
    return keys, [now(first.clock), count, *spans, policy.step, policy.max_tries, len(asked), by_index]


def read_reserved(reply: list[Any], lanes: Sequence[str]) -> tuple[list[Reserved], timedelta | None]:
    """Read what ``reserve.lua`` answers: the jobs, and after which time to look again without a bell."""
    jobs = [
        Reserved(
            lanes[reply[at] - 1],
            reply[at + TOKEN].decode(),
            reply[at + JOB].decode(),
            reply[at + TENANT].decode(),
            reply[at + TRIES],
            reply[at + MESSAGE],
        )
        for at in range(1, len(reply), RESERVED_FIELDS)
    ]
    return jobs, from_us(reply[0]) if reply[0] >= 0 else None


def reserve(
    queues: Sequence[FairQueue], count: int, ends: Mapping[str, Sequence[EndRow]] | None = None
) -> tuple[list[Reserved], timedelta | None]:
    """Lease up to *count* jobs of several lanes, one of each in turn, so that none starves another.

    The queues share one client, policy and clock; the first is asked first.

    Returns: the jobs, and after which time to look again if the bell does not ring before.
    """
    keys, arguments = reserve_command(queues, count, ends or {})
    reply = load("reserve").run(queues[0].client, keys, arguments)
    return read_reserved(reply, [queue.lane for queue in queues])
