"""Keyset pagination: a page begins after the last row of the one before, whatever was inserted meanwhile."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, TypeAdapter, ValidationError

from intake.problem import FieldError, InvalidRequestError

T = TypeVar("T")

LARGEST_PAGE = 200
LONGEST_CURSOR = 512

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many rows at most.")]
CursorParameter = Annotated[
    str | None,
    Query(
        max_length=LONGEST_CURSOR,
        description="`next_cursor` of the page before; its content means nothing to you.",
    ),
]


class Page(BaseModel, Generic[T]):
    """Some rows, and where the next ones begin."""

    items: list[T]
    next_cursor: str | None
    """Absent rows follow: None."""


class Cursor(Generic[T]):
    """Writes and reads the place in one listing.

    A cursor is not secret and grants nothing: row-level security confines the query whatever it says. It is
    validated so that an altered one is refused with 422 and never reaches the database.
    """

    def __init__(self, place: TypeAdapter[T]) -> None:
        self._place = place

    def write(self, place: T) -> str:
        return urlsafe_b64encode(self._place.dump_json(place)).rstrip(b"=").decode()

    def read(self, cursor: str | None) -> T | None:
        """Return the place, or None for the first page."""
        if cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
            return self._place.validate_json(raw, strict=True)
        except (ValidationError, ValueError):
            error = FieldError(field="cursor", message="is not one of ours; leave it out to begin again")
            raise InvalidRequestError([error]) from None

    def page(
        self, rows: Sequence[Any], limit: int, place: Callable[[Any], T]
    ) -> tuple[Sequence[Any], str | None]:
        """Return what to show of *rows*, which were read with ``limit + 1``, and the next cursor."""
        shown = rows[:limit]
        return shown, self.write(place(shown[-1])) if len(rows) > limit else None
