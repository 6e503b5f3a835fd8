"""Every order of every resource is read from its index, within the tenant, from the cursor on."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from intake.auth import Caller
from intake.resource.cursor import write_cursor
from intake.resource.declaration import Resource
from intake.resource.query import query_of
from intake.resource.repository import Repository
from intake.routes.alerts import ALERTS, DELIVERIES
from intake.routes.branding import DOMAINS
from intake.routes.campaigns import CAMPAIGNS
from intake.routes.content import MEDIUM, TEXT
from intake.routes.social import POSTS
from intake.routes.users import USERS
from intake.routes.webhooks import ENDPOINTS, RECIPIENTS
from intake.social_account import ACCOUNTS
from models.organization import Tenant
from models.session import Database, TenantBinding, TenantSession

ALL = (ACCOUNTS, POSTS, CAMPAIGNS, TEXT, MEDIUM, USERS, DOMAINS, ALERTS, DELIVERIES, ENDPOINTS, RECIPIENTS)


@pytest.fixture
def session(database: Database, acme: Tenant) -> Iterator[TenantSession]:
    with TenantSession(TenantBinding(database, acme.organization_id, "")) as session, session.begin():
        # Over few rows anything is as good: what the planner may use at all is what is asked.
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_bitmapscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        yield session
        session.rollback()


def plan_of(repository: Repository, query: Any) -> str:
    """Return the plan of the last statement that reading a page runs."""
    session, ran = repository.session, []

    def note(_c: Any, _u: Any, statement: str, parameters: Any, *_: Any) -> None:
        ran.append((statement, parameters))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    try:
        repository.page(query)
    finally:
        event.remove(connection, "before_cursor_execute", note)
    statement, parameters = ran[-1]
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))


@pytest.mark.parametrize(
    ("resource", "sort"),
    [(resource, sign + name) for resource in ALL for name in resource.sorts for sign in ("", "-")],
    ids=lambda value: value.path if isinstance(value, Resource) else value,
)
def test_a_page_is_read_from_the_index_of_its_order(
    session: TenantSession, acme: Tenant, resource: Resource, sort: str
) -> None:
    caller = Caller(tenant=acme, user_id="ann", permissions=frozenset())
    repository = Repository(session, caller, resource)
    table = resource.table.__tablename__  # type: ignore[attr-defined]
    first = query_of(resource)(sort=sort)
    place = ("m" if sort.endswith("name") else datetime(2026, 1, 31, tzinfo=UTC), UUID(int=7))
    cursor = write_cursor(place, repository._listing(first))  # noqa: SLF001 (there need not be a page before)
    for query in (first, first.model_copy(update={"cursor": cursor})):
        plan = plan_of(repository, query)
        assert f"using ix_{table}_by_{sort.removeprefix('-')}" in plan, plan
        assert "Sort" not in plan, plan
        condition, *_ = re.findall(r"Index Cond: (.*)", plan)  # those of a computed column come after
        assert "organization_id" in condition
        assert ("ROW(" in condition) == (query.cursor is not None), plan
