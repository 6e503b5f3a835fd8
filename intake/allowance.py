"""How many things of a kind a plan allows an organization to have at once."""

from sqlalchemy.orm import Session

from intake.auth import Caller
from models.quota import Quota


def make_room(session: Session, caller: Caller, meter: str) -> None:
    """Refuse one more of what *meter* counts when the plan's limit is reached.

    Raises:
        LimitReachedError: It is.
    """
    Quota(session, caller.tenant).make_room(meter)
