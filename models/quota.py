"""What a tenant may use of its plan and has used: asked and recorded here, whoever asks."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, cast, func, null, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from config.plans import Limit
from models.meter import GAUGES, PERIODIC
from models.organization import Tenant
from models.usage import QuotaPeriod, ReservationState, billing_period

HELD_FOR = timedelta(minutes=15)
"""How long a hold lasts whose holder says nothing else; then the sweep gives it back."""


class SqlState(StrEnum):
    """Codes that the functions of quota raise."""

    USED_UP = "GQ001"
    MORE_THAN_HELD = "GQ002"


class QuotaError(Exception):
    """Nothing was taken; the transaction cannot go on."""


class LimitReachedError(QuotaError):
    """The plan's limit of a meter does not cover what is asked for."""

    def __init__(self, meter: str, limit: int | None, resets_at: datetime | None = None) -> None:
        super().__init__(f"Resource limit exceeded. Upgrade plan to increase {meter} limit")
        self.meter = meter
        self.limit = limit
        self.resets_at = resets_at
        """None: it never does, something has to go first."""


class HoldLapsedError(QuotaError):
    """Nothing is held any more: it was given back, or never taken."""

    def __init__(self, holder: UUID, meter: str) -> None:
        super().__init__(f"{holder} holds nothing of {meter}")
        self.holder = holder
        self.meter = meter


class MoreThanHeldError(QuotaError):
    """More was used than was held."""

    def __init__(self, meter: str, held: int) -> None:
        super().__init__(f"more was used of {meter} than the {held} that were held")
        self.meter = meter
        self.held = held


@dataclass(frozen=True, slots=True)
class Allowance:
    """How a tenant stands with one meter, in the meter's own unit."""

    meter: str
    limit: Limit | None
    """None is unlimited."""
    used: int
    reserved: int
    unit: int = 1
    """How many of what is counted make one of the limit."""
    resets_at: datetime | None = None
    """None: use does not end by itself."""

    @property
    def taken(self) -> int:
        return self.used + self.reserved

    @property
    def left(self) -> int | None:
        """What is left of the limit; a soft one can be passed."""
        return None if self.limit is None else max(self.limit.amount * self.unit - self.taken, 0)

    @property
    def flagged(self) -> bool:
        """A soft limit is passed."""
        return self.limit is not None and self.taken > self.limit.amount * self.unit

    def covers(self, more: int) -> bool:
        """Tell whether *more* may be taken."""
        return self.limit is None or self.taken + more <= self.limit.ceiling * self.unit


class Quota:
    """The quota of one tenant within one transaction.

    Gauges (campaigns, users, ...) count rows: `make_room` before inserting one. Periodic meters are booked:
    `record_usage` where use is done at once; `reserve`, then `commit` or `release`, where it takes a while.
    """

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant
        self.period = billing_period(tenant.billing_anchor, time_zone=tenant.time_zone, at=datetime.now(UTC))

    def check_limit(self, meter: str) -> Allowance:
        """Tell how the tenant stands; another transaction may change it before this one ends."""
        limit = self._limit(meter)
        gauge = GAUGES.get(meter)
        if gauge is not None:
            return Allowance(meter, limit, gauge.read(self._session), 0, gauge.unit)
        used, reserved = self.booked().get(meter, (0, 0))
        return Allowance(meter, limit, used, reserved, resets_at=self.period.end)

    def make_room(self, meter: str, more: int = 1) -> None:
        """See that there is room for *more* of a gauge until the transaction ends.

        Of two who insert at once the second waits for the first's end, then counts its rows.

        Raises:
            LimitReachedError: There is none.
        """
        limit = self._limit(meter)
        if limit is None:
            return
        key = func.hashtextextended(f"{self._tenant.organization_id}/{meter}", 0)
        self._session.execute(select(func.pg_advisory_xact_lock(key)))
        if not self.check_limit(meter).covers(more):
            raise LimitReachedError(meter, limit.amount)

    def record_usage(self, meter: str, quantity: int, *, source: UUID, enforced: bool = True) -> bool:
        """Book use that has happened; False: *source* has booked this meter before, and nothing changes.

        Raises:
            LimitReachedError: The limit does not cover it, and it is *enforced*.
        """
        function = func.app.record_usage(
            self._tenant.organization_id, source, meter, *self._terms(meter, quantity), enforced
        )
        return bool(self._run(function))

    def reserve(self, meter: str, quantity: int, *, holder: UUID, lasts: timedelta = HELD_FOR) -> bool:
        """Hold *quantity* until it is committed, released or lapses; False: *holder* holds some already.

        Jobs do not call this: they hold what they may use from their submission to their end.

        Raises:
            LimitReachedError: The limit does not cover it.
        """
        until = func.clock_timestamp() + lasts
        function = func.app.hold_quota(
            self._tenant.organization_id, holder, meter, *self._terms(meter, quantity), until
        )
        return bool(self._run(function))

    def commit(self, meter: str, *, holder: UUID, quantity: int | None = None) -> bool:
        """Turn what is held into use, *quantity* of it or all; False: it was before, and counts once.

        Raises:
            HoldLapsedError: It was released or has lapsed; `record_usage` tells whether there is room now.
            MoreThanHeldError: *quantity* passes what is held.
        """
        really = None if quantity is None else _amount(quantity)
        found = self._run(
            func.app.commit_hold(self._tenant.organization_id, holder, meter, cast(really, BigInteger))
        )
        if found not in {ReservationState.HELD, ReservationState.COMMITTED}:
            raise HoldLapsedError(holder, meter)
        return bool(found == ReservationState.HELD)

    def release(self, holder: UUID) -> None:
        """Give back whatever *holder* holds; nothing, a second time."""
        self._run(func.app.release_quota(self._tenant.organization_id, holder))

    def booked(self) -> dict[str, tuple[int, int]]:
        """Return what is used and what is reserved of each periodic meter in the period of now."""
        query = select(QuotaPeriod).where(
            QuotaPeriod.period_start < self.period.end, QuotaPeriod.period_end > self.period.start
        )
        booked = dict.fromkeys(PERIODIC, (0, 0))
        own = []
        for period in self._session.scalars(query.execution_options(populate_existing=True)):
            if period.period_start == self.period.start:
                own.append(period)
            else:  # cut short: what it leaves is carried over once something is booked
                used, reserved = booked[period.meter]
                booked[period.meter] = (used + period.used - period.carried + period.reserved, reserved)
        return booked | {period.meter: (period.used, period.reserved) for period in own}

    def _limit(self, meter: str) -> Limit | None:
        return self._tenant.terms.limits.get(meter)

    def _terms(self, meter: str, quantity: int) -> tuple[Any, ...]:
        limit = self._limit(meter)
        return (
            cast(_amount(quantity), BigInteger),
            self.period.start,
            self.period.end,
            cast(None if limit is None else limit.amount, BigInteger),
            cast(None if limit is None else limit.ceiling, BigInteger),
        )

    def _run(self, function: FunctionElement[Any]) -> Any:
        try:
            return self._session.execute(select(function)).scalar_one()
        except DBAPIError as error:
            raise _translated(error) from error


def bound_tenant(session: Session) -> Tenant:
    """Return the tenant to which the transaction of *session* is bound."""
    columns = func.app.find_tenant(null()).table_valued(*Tenant.__dataclass_fields__)
    return Tenant(**session.execute(select(columns)).mappings().one())


def _amount(quantity: int) -> int:
    if quantity < 0:
        raise ValueError(f"{quantity} is no amount of use")
    return quantity


def _translated(error: DBAPIError) -> Exception:
    """Return the quota error that a database function raised, or *error* itself."""
    if not isinstance(error.orig, psycopg.Error):
        return error
    if error.orig.sqlstate not in set(SqlState):
        return error
    detail = json.loads(error.orig.diag.message_detail or "{}")
    if error.orig.sqlstate == SqlState.MORE_THAN_HELD:
        return MoreThanHeldError(detail["meter"], detail["held"])
    return LimitReachedError(detail["meter"], detail["limit"], datetime.fromisoformat(detail["resets_at"]))
