"""Hold the leases of the jobs that run in this process, and learn when one is lost or unwanted."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import groupby
from uuid import UUID

import structlog

from config.settings import get_settings
from models.session import DATABASE_ERRORS, Database, call, get_database
from worker.context import Claim, JobCancelledError, LeaseLostError
from worker.interrupt import insist

log = structlog.get_logger(__name__)

WORKER = f"{socket.gethostname()}:{os.getpid()}"


class Hold:
    """One job in the hands of this process."""

    def __init__(self, claim: Claim, lease: timedelta) -> None:
        self.claim = claim
        self.lost = False
        self.cancelled = False
        self.times_noticed = 0
        """How often it was found cancelled and went on."""
        self._lease_s = lease.total_seconds()
        self._ours_until = time.monotonic() + self._lease_s

    def renewed(self, asked_at: float) -> None:
        """Note that the lease was renewed by a question asked at *asked_at* (monotonic seconds)."""
        self._ours_until = asked_at + self._lease_s

    def check(self) -> None:
        """Raise when the job must not go on.

        By the process's own clock too: one that was stopped for longer than a lease wakes up without it.

        Raises:
            LeaseLostError: Another worker may hold it by now.
            JobCancelledError: The tenant does not want it any more.
        """
        if self.lost or time.monotonic() > self._ours_until:
            raise LeaseLostError(f"attempt {self.claim.attempt} is not ours any more")
        if self.cancelled:
            raise JobCancelledError("cancelled while running")


class LeaseKeeper:
    """Renews every lease of this process at a third of its length, from one thread."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._holds: set[Hold] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Hold]:
        """Keep the lease of *claim* while the block runs."""
        hold = Hold(claim, self._lease)
        with self._lock:
            self._holds.add(hold)
            self._start()
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.discard(hold)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._lease.total_seconds() / 3):
            try:
                self.renew()
            except DATABASE_ERRORS:
                # The leases still stand for two thirds of their length; the next round may reach Postgres.
                log.warning("leases not renewed", exc_info=True)

    def renew(self) -> None:
        """Renew every lease held now, one call per organization."""
        with self._lock:
            held = sorted(self._holds, key=_organization)
        for organization_id, group in groupby(held, key=_organization):
            self._renew_of(organization_id, list(group))

    def _renew_of(self, organization_id: UUID, holds: list[Hold]) -> None:
        asked_at = time.monotonic()
        renewed = call(
            self._database,
            organization_id,
            "renew_leases",
            job_ids=[hold.claim.job_id for hold in holds],
            attempts=[hold.claim.attempt for hold in holds],
            lease=self._lease,
        )
        cancelled = {row["job_id"]: row["cancel_requested"] for row in renewed}
        for hold in holds:
            hold.lost = hold.claim.job_id not in cancelled
            hold.cancelled = cancelled.get(hold.claim.job_id, False)
            if not hold.lost:
                hold.renewed(asked_at)
            if hold.cancelled:
                self._insist(hold)

    def _insist(self, hold: Hold) -> None:
        hold.times_noticed += 1
        with self._lock:  # so that it is not the next run which is interrupted
            if hold in self._holds:
                insist(hold.times_noticed)


def _organization(hold: Hold) -> UUID:
    return hold.claim.organization_id


@cache
def get_lease_keeper() -> LeaseKeeper:
    """Return the keeper of this process."""
    return LeaseKeeper(get_database(), get_settings().lease_time)


os.register_at_fork(after_in_child=get_lease_keeper.cache_clear)
