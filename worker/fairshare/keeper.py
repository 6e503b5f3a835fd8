"""Keep the leases of this process: renew them, end them, give back what never began."""

import atexit
import contextlib
import gc
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from worker.fairshare.queue import EndRow, FairQueue, Outcome, Policy, Renewal, Reserved

logger = logging.getLogger(__name__)

TICK = 0.02
"""Seconds between two looks at the leases while there are any."""
LEAST_USED = 0.0001
"""Seconds charged at least for a job that began: what handling it costs the worker."""
RENEWALS_PER_LEASE = 3
RETRY_AFTER = 0.5
"""Seconds after which a server that could not be reached is tried again."""
FIRST_COLLECTION, LAST_COLLECTION = 0.5, 60.0
"""Seconds between two collections of memory while there are messages that only their jobs know."""


@dataclass(slots=True)
class Held:
    """One lease of this process."""

    lane: str
    token: str
    since: float
    began: float = 0.0
    """When the job was handed to the pool; 0 if it was not."""
    message: weakref.ref[Any] | None = None
    """Set once nobody but the job itself knows the message."""


End = tuple[str, EndRow]
"""A lane, and how one of its leases ends."""


class Keeper:
    """The leases of this process on one broker.

    It outlives channels: a job that runs while the connection is replaced keeps its lease and can still be
    acknowledged. Its thread and connection are its own, since a worker's event loop rests during shutdown.
    """

    def __init__(self, client: Redis, *, prefix: str, policy: Policy, patience: timedelta) -> None:
        self._client = client
        self._prefix = prefix
        self._policy = policy
        self._patience = patience.total_seconds()
        self._reset()

    def _reset(self) -> None:
        """Begin with no leases; a forked child must not touch those of its parent."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._ends: list[End] = []
        self._ends_since = 0.0
        self._thread: threading.Thread | None = None
        self._busy = threading.Event()
        self._closed = threading.Event()
        self._renewed = monotonic()
        self._gone: deque[str] = deque()
        self._collected = self._renewed
        self._collect_every = FIRST_COLLECTION

    def take(self, jobs: Iterable[Reserved]) -> list[str]:
        """Hold the leases of *jobs* and return their delivery tags."""
        now = monotonic()
        with self._lock:
            tags = []
            for job in jobs:
                tag = f"{job.token}@{job.lane}"
                self._held[tag] = Held(job.lane, job.token, now)
                tags.append(tag)
        self._wake()
        return tags

    def begin(self, tag: str) -> bool:
        """Note that a job is handed to the pool; False if its lease was given back meanwhile."""
        with self._lock:
            held = self._held.get(tag)
            if held is not None:
                held.began = monotonic()
        return held is not None

    def end(self, tag: str, outcome: Outcome) -> float:
        """End a lease, in the next batch, and return the seconds its job used.

        A lease that ended already, or was lost, is left alone.
        """
        with self._lock:
            held = self._held.pop(tag, None)
            if held is None:
                return 0.0
            used = monotonic() - held.began if held.began else 0.0
            self._add_end(held, outcome, max(used, LEAST_USED) if held.began else 0.0)
        self._wake()
        return used

    def orphan(self, tag: str, message: object) -> None:
        """Give the lease back once nobody can acknowledge *message* any more."""
        with self._lock:
            held = self._held.get(tag)
            if held is not None:
                # The callback may run wherever memory is collected, so it must not take a lock.
                held.message = weakref.ref(message, lambda _: self._gone.append(tag))
                self._collected, self._collect_every = monotonic(), FIRST_COLLECTION

    def take_ends(self) -> list[End]:
        """Take what is to be told to the server, to carry it along with something else."""
        with self._lock:
            ends, self._ends = self._ends, []
        return ends

    def put_back(self, ends: Sequence[End]) -> None:
        """Return ends that may not have reached the server; telling it twice does no harm."""
        with self._lock:
            self._ends[:0] = ends
        self._wake()

    @property
    def has_ends(self) -> bool:
        """Whether something is to be told to the server."""
        return bool(self._ends)

    def flush(self) -> None:
        """Tell the server now which leases ended."""
        ends = self.take_ends()
        if not ends:
            return
        try:
            for lane, rows in by_lane(ends).items():
                self._queue(lane).finish_rows(rows)
        except (RedisError, OSError):
            self.put_back(ends)
            raise

    def close(self) -> None:
        """Give every lease back; the process ends."""
        if self._pid != os.getpid():
            return
        self._closed.set()
        self._busy.set()
        for tag, held in list(self._held.items()):
            self.end(tag, Outcome.RETRY if held.began else Outcome.UNSTARTED)
        with contextlib.suppress(RedisError, OSError):
            self.flush()

    def _add_end(self, held: Held, outcome: Outcome, used: float) -> None:
        if not self._ends:
            self._ends_since = monotonic()
        self._ends.append((held.lane, (held.token, outcome.value, round(used * 1_000_000), 0)))

    def _queue(self, lane: str) -> FairQueue:
        return FairQueue(self._client, lane, self._prefix, self._policy)

    def _wake(self) -> None:
        if self._busy.is_set():
            return
        with self._lock:
            self._busy.set()
            if self._thread is None and not self._closed.is_set():
                self._renewed = monotonic()
                self._thread = threading.Thread(target=self._run, name="fairshare-keeper", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._busy.wait()
            self._closed.wait(TICK)
            try:
                self._tend()
            except (RedisError, OSError) as error:
                logger.warning("the leases could not be tended, trying again: %s", error)
                self._closed.wait(RETRY_AFTER)
            except Exception:  # without this thread every lease would lapse
                logger.exception("the leases could not be tended, trying again")
                self._closed.wait(RETRY_AFTER)
            with self._lock:
                if not self._held and not self._ends and not self._closed.is_set():
                    self._busy.clear()

    def _tend(self) -> None:
        now = monotonic()
        self._give_back_orphans(now)
        self._give_back_idle(now)
        if self._ends and now - self._ends_since >= TICK:
            self.flush()
        if now - self._renewed >= self._policy.lease.total_seconds() / RENEWALS_PER_LEASE:
            self._renew(now)
            self._renewed = now

    def _give_back_orphans(self, now: float) -> None:
        """Give back what nobody can acknowledge any more; cycles are looked for ever more rarely."""
        if now - self._collected >= self._collect_every:
            self._collected = now
            self._collect_every = min(2 * self._collect_every, LAST_COLLECTION)
            if any(held.message is not None for held in list(self._held.values())):
                gc.collect()
        while self._gone:
            self.end(self._gone.popleft(), Outcome.UNSTARTED)

    def _give_back_idle(self, now: float) -> None:
        """Give back what was fetched ahead and has waited too long: its tenant's turn may be elsewhere."""
        with self._lock:
            idle = [
                tag
                for tag, held in self._held.items()
                if not held.began and now - held.since > self._patience
            ]
        for tag in idle:
            self._end_if_not_begun(tag)

    def _end_if_not_begun(self, tag: str) -> None:
        with self._lock:
            held = self._held.get(tag)
            if held is not None and not held.began:
                del self._held[tag]
                self._add_end(held, Outcome.UNSTARTED, 0.0)

    def _renew(self, now: float) -> None:
        longest = self._policy.longest_run.total_seconds()
        with self._lock:
            held = [(tag, lease) for tag, lease in self._held.items() if now - lease.since < longest]
        lanes: dict[str, list[tuple[str, Renewal]]] = {}
        for tag, lease in held:
            used = timedelta(seconds=now - lease.began) if lease.began else timedelta(0)
            lanes.setdefault(lease.lane, []).append((tag, Renewal(lease.token, used)))
        for lane, rows in lanes.items():
            kept = self._queue(lane).renew([renewal for _, renewal in rows])
            for (tag, _), was_kept in zip(rows, kept, strict=True):
                if not was_kept:
                    self._lose(tag)

    def _lose(self, tag: str) -> None:
        with self._lock:
            held = self._held.pop(tag, None)
        if held is not None:
            logger.warning("a lease was lost, its job may run a second time elsewhere: lane %s", held.lane)


def impatient(pool: Any, lease: timedelta) -> Any:
    """Let a silent network be noticed on *pool* while leases can still be renewed on a new connection."""
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not pool.connection_kwargs.get(name):
            pool.connection_kwargs[name] = lease.total_seconds() / RENEWALS_PER_LEASE / 2
    return pool


def by_lane(ends: Iterable[End]) -> dict[str, list[EndRow]]:
    """Sort ends by their lanes."""
    lanes: dict[str, list[EndRow]] = {}
    for lane, row in ends:
        lanes.setdefault(lane, []).append(row)
    return lanes


_keepers: dict[tuple[object, ...], Keeper] = {}
_keepers_lock = threading.Lock()


def keeper_of(identity: tuple[object, ...], make: Callable[[], Keeper]) -> Keeper:
    """Return this process's keeper for a broker, making it at first use."""
    with _keepers_lock:
        if identity not in _keepers:
            _keepers[identity] = make()
        return _keepers[identity]


def _close_all() -> None:
    for keeper in _keepers.values():
        keeper.close()


def _reset_all() -> None:
    global _keepers_lock  # noqa: PLW0603 - a lock held by another thread at the fork is never released in the child
    _keepers_lock = threading.Lock()
    for keeper in _keepers.values():
        keeper._reset()  # noqa: SLF001 - same module


atexit.register(_close_all)
os.register_at_fork(after_in_child=_reset_all)
