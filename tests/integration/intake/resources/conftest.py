"""What tests of resources share: campaigns made quickly, requests sent at once, people with roles."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import httpx
import psycopg
import pytest
from sqlalchemy import insert
from uuid_utils.compat import uuid7

from models.organization import Tenant
from models.session import Database, tenant_session
from models.user import Role, User, UserStatus
from ops.stack import PostgresUrls
from tests.support.wait import wait_until

T = TypeVar("T")
Headers = dict[str, str]
Act = Callable[[], httpx.Response]

CAMPAIGNS = "/api/v1/campaigns"


def at_once(acts: Sequence[Act]) -> list[httpx.Response]:
    """Send all requests in the same moment."""
    gate = Barrier(len(acts))

    def send(act: Act) -> httpx.Response:
        gate.wait(timeout=60)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(send, acts))


@pytest.fixture
def waiting(database_urls: PostgresUrls) -> Iterator[Callable[[int], None]]:
    """Wait until so many connections wait for a lock."""
    assert database_urls.superuser_url is not None
    blocked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(database_urls.superuser_url, autocommit=True) as connection:
        yield lambda expected: wait_until(lambda: connection.execute(blocked).fetchone() == (expected,))


@pytest.fixture
def made(client: httpx.Client, as_acme: Headers) -> Callable[..., dict[str, Any]]:
    """Make a campaign of Acme's and return what is answered, with its tag."""

    def make(name: str = "Spring", **fields: Any) -> dict[str, Any]:
        answer = client.post(CAMPAIGNS, json={"name": name} | fields, headers=as_acme)
        assert answer.status_code == 201, answer.text
        campaign: dict[str, Any] = answer.json()
        return campaign | {"etag": answer.headers["etag"], "path": answer.headers["location"]}

    return make


@pytest.fixture
def person(database: Database) -> Callable[..., str]:
    """Put a person into an organization and return their id."""

    def put(tenant: Tenant, role: Role, status: UserStatus = UserStatus.ACTIVE) -> str:
        user_id = uuid7()
        address = f"{user_id}@example.org"
        row = {"id": user_id, "email": address, "email_norm": address, "role": role, "status": status}
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(insert(User).values(organization_id=tenant.organization_id, **row))
        return str(user_id)

    return put
