"""On whose behalf this task or thread changes things: the audit log names them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, and in which request."""

    actor: str = ""
    """A user as its token names it, or ``job:<id>``, ``operator:<name>``, ``system:<part>``."""
    request_id: str = ""


NOBODY = Acting()
_acting: ContextVar[Acting] = ContextVar("acting", default=NOBODY)


def acting() -> Acting:
    """Return who acts now."""
    return _acting.get()


def act_as(*, actor: str | None = None, request_id: str | None = None) -> None:
    """Say for the rest of this task who acts, or in which request; the other stays."""
    now = _acting.get()
    _acting.set(
        Acting(
            actor=now.actor if actor is None else actor,
            request_id=now.request_id if request_id is None else request_id,
        )
    )


@contextmanager
def acted_by(actor: str, request_id: str = "") -> Iterator[None]:
    """Say who acts within the block."""
    token = _acting.set(Acting(actor, request_id))
    try:
        yield
    finally:
        _acting.reset(token)
