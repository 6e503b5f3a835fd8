"""Hold the leases of the jobs that run in this process, and learn when one is lost or may not go on."""

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
from worker.context import Claim, JobCancelledError, LeaseLostError, PermanentJobError
from worker.interrupt import insist, may_interrupt
from worker.suspend import (
    LOOK_EVERY,
    TAKE_BACK_AT,
    OrganizationSuspendedError,
    find_stopped,
    take_back,
)

log = structlog.get_logger(__name__)

WORKER = f"{socket.gethostname()}:{os.getpid()}"


class Hold:
    """One job in the hands of this process."""

    def __init__(self, claim: Claim, lease: timedelta, *, fenced: bool = True) -> None:
        self.claim = claim
        self.fenced = fenced
        """What it does counts for nothing once the job was taken from it."""
        self.lost = False
        self.cancelled = False
        self.times_noticed = 0
        """How often it was found cancelled and went on."""
        self.times_suspended = 0
        """How often its organization was found not to be active."""
        self._lease_s = lease.total_seconds()
        self._begun_at = time.monotonic()
        self._ours_until = self._begun_at + self._lease_s

    @property
    def age(self) -> timedelta:
        """How long it has been running."""
        return timedelta(seconds=time.monotonic() - self._begun_at)

    def renewed(self, asked_at: float) -> None:
        """Note that the lease was renewed by a question asked at *asked_at* (monotonic seconds)."""
        self._ours_until = asked_at + self._lease_s

    def check(self) -> None:
        """Raise when the job must not go on.

        By the process's own clock too: one that was stopped for longer than a lease wakes up without it.

        Raises:
            LeaseLostError: Another worker may hold it by now.
            JobCancelledError: The tenant does not want it any more.
            OrganizationSuspendedError: Nothing of the organization may run now.
        """
        if self.lost or time.monotonic() > self._ours_until:
            raise LeaseLostError(f"attempt {self.claim.attempt} is not ours any more")
        if self.cancelled:
            raise JobCancelledError("cancelled while running")
        if self.times_suspended:
            raise OrganizationSuspendedError

    def reason_of(self, error: Exception) -> Exception:
        """Return why the attempt failed, given what it raised: an interrupted run is not to blame."""
        if self.times_suspended and not isinstance(error, PermanentJobError | JobCancelledError):
            return OrganizationSuspendedError()
        return error


class LeaseKeeper:
    """Renews every lease of this process at a third of its length, from one thread.

    In between it looks after runs of organizations that were suspended.
    """

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._holds: set[Hold] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim, *, fenced: bool = True) -> Iterator[Hold]:
        """Keep the lease of *claim* while the block runs.

        *fenced* says that its effects commit with its completion or not at all.
        """
        hold = Hold(claim, self._lease, fenced=fenced)
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
        pause, third = threading.Event(), self._lease / 3
        renewed_at = time.monotonic()
        while not pause.wait(min(third, LOOK_EVERY).total_seconds()):
            try:
                if time.monotonic() - renewed_at >= third.total_seconds():
                    renewed_at = time.monotonic()
                    self.renew()
                self.look_after_suspended()
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
                hold.times_noticed += 1
                self._insist(hold, hold.times_noticed)

    def look_after_suspended(self) -> None:
        """Stop runs of organizations that are not active; one round trip for all that run for a while."""
        with self._lock:
            held = [hold for hold in self._holds if hold.age > LOOK_EVERY]
        if not held:
            return
        stopped = find_stopped(self._database, {hold.claim.organization_id for hold in held})
        for hold in held:
            if hold.claim.organization_id in stopped:
                self._stop(hold)
            else:
                hold.times_suspended = 0

    def _stop(self, hold: Hold) -> None:
        hold.times_suspended += 1
        if hold.times_suspended == TAKE_BACK_AT and (hold.fenced or may_interrupt()):
            take_back(self._database, hold.claim)
            hold.lost = True
        self._insist(hold, hold.times_suspended)

    def _insist(self, hold: Hold, times_noticed: int) -> None:
        with self._lock:  # so that it is not the next run which is interrupted
            if hold in self._holds:
                insist(times_noticed)


def _organization(hold: Hold) -> UUID:
    return hold.claim.organization_id


@cache
def get_lease_keeper() -> LeaseKeeper:
    """Return the keeper of this process."""
    return LeaseKeeper(get_database(), get_settings().lease_time)


os.register_at_fork(after_in_child=get_lease_keeper.cache_clear)
