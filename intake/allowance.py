"""How many things of a kind a plan allows an organization to have at once."""

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from intake.auth import Caller
from intake.errors import limit_exceeded
from intake.lock import one_at_a_time
from models.base import SoftDeleteMixin


def make_room(
    session: Session, caller: Caller, meter: str, table: type[SoftDeleteMixin], *only: ColumnElement[bool]
) -> None:
    """Refuse one more row of *table* (counting *only* some) when the plan's limit of *meter* is reached.

    Takes a lock that ends with the transaction: of two who create at once the second counts the first's row.

    Raises:
        ForbiddenError: The limit is reached.
    """
    limit = caller.tenant.terms.limits.get(meter)
    if limit is None:
        return
    one_at_a_time(session, caller.tenant.organization_id, meter)
    if count(session, table, *only) >= limit.ceiling:
        raise limit_exceeded(meter, limit.amount)


def count(session: Session, table: type[Any], *only: ColumnElement[bool]) -> int:
    """Return how many live rows the tenant has."""
    return session.scalars(select(func.count()).select_from(table).where(*only)).one()
