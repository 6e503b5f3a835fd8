"""How many things of a kind a plan allows an organization to have at once."""

from sqlalchemy.orm import Session

from intake.auth import Caller
from intake.lock import one_at_a_time
from models.quota import Quota, bound_tenant


def make_room(session: Session, caller: Caller, meter: str, more: int = 1) -> None:
    """Refuse more of what *meter* counts when the plan's limit is reached.

    The plan is read once it is our turn: what the caller came in with may be older than a change of plan
    that counted before us.

    Raises:
        LimitReachedError: It is.
    """
    one_at_a_time(session, caller.tenant.organization_id, meter)
    Quota(session, bound_tenant(session)).make_room(meter, more)
