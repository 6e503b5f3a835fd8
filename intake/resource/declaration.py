"""What a resource is: a table, what is shown of it, what may be sent, and who may."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, any_, literal
from sqlalchemy.orm import QueryableAttribute

from intake.ingest.fields import Body, Day
from intake.views.base import View
from models.base import SoftDeleteMixin, TenantMixin
from models.user import Permission
from tasks.payloads import Text

if TYPE_CHECKING:
    from intake.resource.repository import Repository

Values = dict[str, Any]

Asked = Annotated[Text, Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter, the type it must have, and what it asks of a row."""

    type: Any
    condition: Callable[[Any], ColumnElement[bool]]
    description: str = ""


def equals(column: QueryableAttribute[Any], type_: Any = Asked) -> Filter:
    """Keep rows whose *column* is the value asked for."""
    return Filter(type_, lambda value: column == (value.value if isinstance(value, StrEnum) else value))


def since(column: QueryableAttribute[datetime] | QueryableAttribute[datetime | None]) -> Filter:
    """Keep rows whose *column* is at the moment asked for, or later."""
    return Filter(Day, lambda moment: column >= moment)


def before(column: QueryableAttribute[datetime] | QueryableAttribute[datetime | None]) -> Filter:
    """Keep rows whose *column* is before the moment asked for."""
    return Filter(Day, lambda moment: column < moment)


def holds(column: QueryableAttribute[list[str]], type_: Any = Asked) -> Filter:
    """Keep rows whose list *column* has the value asked for in it."""
    return Filter(type_, lambda value: literal(value) == any_(column))


class Rules:
    """What a resource asks beside its schemas. Each runs in the transaction of the write, before it.

    `repository` has the tenant's session and the caller; a row is what is shown of it, locked.
    """

    def before(self, repository: "Repository", item_ids: Sequence[UUID]) -> None:
        """Refuse, or lock what other code locks before such rows, so that nobody waits for each other."""

    def made(self, repository: "Repository", values: Values) -> Values:  # noqa: ARG002 - for those who override
        """Return the columns of a new row."""
        return values

    def changed(self, repository: "Repository", row: Any, values: Values) -> Values:  # noqa: ARG002 - as above
        """Return the columns to change."""
        return values

    def removed(self, repository: "Repository", row: Any) -> Values:  # noqa: ARG002 - as above
        """Return columns to change beside `deleted_at`."""
        return {}

    def restored(self, repository: "Repository", row: Any) -> Values:  # noqa: ARG002 - as above
        """Return columns to change beside `deleted_at`."""
        return {}


class UnindexedSortError(Exception):
    """A list could be sorted by a column without an index for it; carries table and column."""

    def __init__(self, table: str, column: str) -> None:
        super().__init__(
            f"{table} needs an index on (organization_id, {column}, id) to be sorted by {column}"
        )
        self.table = table
        self.column = column


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Declares a resource; `intake.resource.router.routes_of` serves it."""

    name: str
    """What refusals call one of them."""
    path: str
    """Below /api/v1, in the plural."""
    table: type[TenantMixin]
    view: type[View]
    """What is shown; each field is a column."""
    listed: type[View] | None = None
    """What a list shows of each; None: the same."""
    create: type[Body] | None = None
    """What is sent to make one; None: it is made elsewhere."""
    change: type[Body] | None = None
    """What may be changed; None: nothing."""
    manage: Permission | None
    """None: it depends on the row, and the rules ask before it is locked."""
    read: Permission | None = None
    """None: every caller of the organization may."""
    removable: bool = True
    bulk: bool = False
    filters: Mapping[str, Filter] = field(default_factory=dict)
    sorts: tuple[str, ...] = ("created_at",)
    """Columns that are never null and have an index; by the first, falling, unless the caller says else.

    None: it has no list, or one of its own.
    """
    only: tuple[ColumnElement[bool], ...] = ()
    """Which rows of the table are of this resource."""
    meter: str | None = None
    """What a plan limits them by."""
    feature: str | None = None
    """Plan feature that making one needs."""
    in_turn: bool = False
    """Writes of one organization come one after another, so that rules may look at other rows."""
    remembered: bool = False
    """Every intake remembers something of them for a moment, and is told when one changes."""
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        """Refuse a declaration whose lists would be slow.

        Raises:
            UnindexedSortError: They would.
        """
        for name in self.sorts:
            if not _is_indexed(self.table, name):
                raise UnindexedSortError(self.table.__name__, name)

    @property
    def recovers(self) -> bool:
        """Tell whether what is removed can be restored: then its view shows when it was removed."""
        return self.removable and "deleted_at" in self.view.model_fields

    @property
    def hides(self) -> bool:
        """Tell whether what is removed stays in its table, hidden."""
        return issubclass(self.table, SoftDeleteMixin)

    def column(self, name: str) -> QueryableAttribute[Any]:
        """Return a column of the table."""
        attribute: QueryableAttribute[Any] = getattr(self.table, name)
        return attribute

    def columns_of(self, view: type[View]) -> list[QueryableAttribute[Any]]:
        """Return the columns that *view* shows."""
        return [self.column(name) for name in view.model_fields]


def _is_indexed(table: Any, column: str) -> bool:
    wanted = ["organization_id", column, "id"]
    return any([one.name for one in index.columns] == wanted for index in table.__table__.indexes)
