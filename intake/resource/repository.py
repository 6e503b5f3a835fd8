"""The one way to the rows of a resource: within a tenant's session, page by page or row by row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import TypeAdapter
from sqlalchemy import Row, Select, delete, func, insert, select, tuple_, update

from intake.allowance import make_room
from intake.auth import Caller
from intake.ingest.fields import Body
from intake.lock import one_at_a_time
from intake.problem import NotFoundError
from intake.resource.cursor import Place, read_cursor, write_cursor
from intake.resource.declaration import Resource, Values
from intake.resource.etag import require_match
from intake.resource.query import ListQuery
from intake.views.base import View
from models.session import TenantSession, tenant_session
from worker.refusal import FeatureNotInPlanError

EVERYTHING = {"include_deleted": True, "synchronize_session": False}


class Repository:
    """The rows of one resource of one tenant, for one transaction.

    There is none without a tenant: it takes a session that is bound to one, for ever. Locks are taken in one
    order, whatever is done: the turn, room in the plan, what the rules lock, then rows by id.
    """

    def __init__(self, session: TenantSession, caller: Caller, resource: Resource) -> None:
        self.session = session
        self.caller = caller
        self.has_written = False
        self._holds_all = False
        self._to_create = 1
        self._resource = resource
        self._columns = resource.columns_of(resource.view)

    def page(self, query: ListQuery) -> tuple[Sequence[View], str | None]:
        """Return a page and the cursor of the next."""
        view = self._resource.listed or self._resource.view
        column = self._resource.column(query.sorted_by)
        order = (column, self._resource.column("id"))
        listing = self._listing(query)
        found = self._select(*self._resource.columns_of(view), *order, deleted=query.deleted)
        found = found.where(*query.conditions(self._resource))
        if query.cursor is not None:
            adapter: TypeAdapter[Place] = TypeAdapter(tuple[column.type.python_type, UUID])  # type: ignore[name-defined]
            place = tuple_(*read_cursor(query.cursor, listing, adapter))
            found = found.where(tuple_(*order) < place if query.falling else tuple_(*order) > place)
        found = found.order_by(*(each.desc() if query.falling else each.asc() for each in order))
        rows = self.session.execute(found.limit(query.limit + 1)).all()
        shown = rows[: query.limit]
        following = write_cursor(shown[-1][-2:], listing) if len(rows) > query.limit else None
        return [view.model_validate(row) for row in shown], following

    def find(self, item_id: UUID) -> View:
        """Return what is shown of one.

        Raises:
            NotFoundError: There is none.
        """
        return self._one(self._select().where(self._resource.column("id") == item_id))

    def create(self, body: Body, beside: Values | None = None) -> View:
        """Make one, with the columns *beside* what was sent, which are ours."""
        self.take_turn(growing=True)
        self._allow(self._to_create)
        if self._to_create > 1:
            self._to_create = 0  # there was room for all that come
        return self._insert(self._resource.rules.made(self, body.model_dump() | (beside or {})))

    def change(self, item_id: UUID, body: Body, *, if_match: str | None = None) -> View:
        """Change one; a body without fields changes nothing."""
        self.take_turn([item_id])
        row = self.hold(item_id)
        require_match(if_match, row)
        values = body.model_dump(exclude_unset=True)
        if not values:
            return row
        return self.write(item_id, self._resource.rules.changed(self, row, values))

    def delete(self, item_id: UUID, *, if_match: str | None = None) -> None:
        """Remove one: hidden, where the table can."""
        self.take_turn([item_id])
        row = self.hold(item_id)
        require_match(if_match, row)
        values = self._resource.rules.removed(self, row)
        if self._resource.hides:
            self.write(item_id, values | {"deleted_at": func.clock_timestamp()})
        else:
            self.has_written = True
            table = self._resource.table
            self.session.execute(delete(table).where(self._resource.column("id") == item_id))

    def restore(self, item_id: UUID) -> View:
        """Bring back one that was removed; one that was not is answered as it is."""
        self.take_turn([item_id], growing=True)
        removed = self.session.execute(self._locked(item_id, deleted=True)).one_or_none()
        if removed is None:
            return self.find(item_id)
        self._allow(1)
        values = self._resource.rules.restored(self, self._show(removed))
        return self.write(item_id, values | {"deleted_at": None})

    def take_turn(self, item_ids: Sequence[UUID] = (), *, growing: bool = False) -> None:
        """Take the locks that come before those of rows."""
        if self._holds_all:
            return
        organization_id = self.caller.tenant.organization_id
        if self._resource.in_turn:
            one_at_a_time(self.session, organization_id, self._resource.path)
        if growing and self._resource.meter is not None:
            one_at_a_time(self.session, organization_id, self._resource.meter)
        if item_ids:
            self._resource.rules.before(self, item_ids)

    def take_all(self, item_ids: Sequence[UUID], *, growing: bool, together: int) -> None:
        """Take every lock of several changes at once: rows, removed ones too, in the order of their ids.

        Args:
            item_ids: The rows.
            growing: Some are made or restored.
            together: So many are made, all or none: the first sees that there is room for them.
        """
        self.take_turn(item_ids, growing=growing)
        self._holds_all = True
        self._to_create = max(together, 1)
        key = self._resource.column("id")
        query = select(key).where(key.in_(item_ids)).order_by(key).with_for_update(key_share=True)
        self.session.execute(query, execution_options=EVERYTHING)

    def hold(self, item_id: UUID) -> View:
        """Lock one until the transaction ends and return what is shown of it."""
        return self._one(self._locked(item_id))

    def write(self, item_id: UUID, values: Values) -> View:
        """Write columns of one that is held; no rule is asked."""
        self.has_written = True
        table = self._resource.table
        if hasattr(table, "updated_at"):
            values |= {"updated_at": func.clock_timestamp()}
        statement = update(table).where(self._resource.column("id") == item_id).values(**values)
        row = self.session.execute(statement.returning(*self._columns), execution_options=EVERYTHING).one()
        return self._show(row)

    def _allow(self, more: int) -> None:
        feature, tenant = self._resource.feature, self.caller.tenant
        if feature is not None and not tenant.terms.offers(feature):
            raise FeatureNotInPlanError(feature, tenant.plan)
        if self._resource.meter is not None and more:
            make_room(self.session, self.caller, self._resource.meter, more)

    def _insert(self, values: Values) -> View:
        self.has_written = True
        values |= {"organization_id": self.caller.tenant.organization_id}
        statement = insert(self._resource.table).values(**values).returning(*self._columns)
        return self._show(self.session.execute(statement).one())

    def _locked(self, item_id: UUID, *, deleted: bool = False) -> Select[Any]:
        query = self._select(deleted=deleted).where(self._resource.column("id") == item_id)
        return query.with_for_update(key_share=True)

    def _one(self, query: Select[Any]) -> View:
        row = self.session.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(self._resource.name)
        return self._show(row)

    def _select(self, *columns: Any, deleted: bool = False) -> Select[Any]:
        query = select(*(columns or self._columns)).where(*self._resource.only)
        if not deleted:
            return query
        gone = self._resource.column("deleted_at").is_not(None)
        return query.where(gone).execution_options(include_deleted=True)

    def _show(self, row: Row[Any]) -> View:
        return self._resource.view.model_validate(row)

    def _listing(self, query: ListQuery) -> str:
        """Name the list: a cursor of another tenant, order or filter is of another list."""
        organization_id = str(self.caller.tenant.organization_id)
        asked = query.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_none=True)
        return orjson.dumps(
            [organization_id, self._resource.path, asked], option=orjson.OPT_SORT_KEYS
        ).decode()


@contextmanager
def open_repository(request: Request, caller: Caller, resource: Resource) -> Iterator[Repository]:
    """Open one transaction on the caller's rows of *resource*; the audit log names the caller."""
    organization_id, state = caller.tenant.organization_id, request.app.state
    with tenant_session(state.database, organization_id, actor=caller.user_id) as session:
        repository = Repository(session, caller, resource)
        yield repository
    if resource.remembered and repository.has_written:
        state.publisher.announce(organization_id)
