"""A real intake (uvicorn in a thread).

A module shares one database and one intake; its tests keep apart by making their own organizations.
"""

import io
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import func, select
from structlog.stdlib import ProcessorFormatter

from config.settings import Settings, get_settings
from intake.app import create_app
from models.job import IdempotencyKey, Job, JobEvent, OutboxRow
from models.organization import Tenant
from models.session import Database, open_database, tenant_session
from models.usage import QuotaReservation
from ops.stack import PostgresUrls, Stack, settings_from
from tests.support.clone import clone
from tests.support.queue_store import QueueStore
from tests.support.wait import wait_until

Headers = dict[str, str]

PATIENCE = timedelta(seconds=30)
"""An intake waits so long for Redis: on a busy machine one that is there would be taken for absent."""


@contextmanager
def serving(settings: Settings, app: FastAPI | None = None) -> Iterator[str]:
    """Serve the intake, or *app*, and yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app or create_app(settings), log_config=None, lifespan="on"))
    # Named TCP, so that asyncio turns off Nagle's delay of 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def database_urls(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    with clone(stack, template) as urls:
        yield urls


@pytest.fixture(scope="module")
def settings(stack: Stack, database_urls: PostgresUrls, queue_store: QueueStore) -> Iterator[Settings]:
    urls = database_urls.environment() | {"GENIUS_REDIS_URL": queue_store.next_url()}
    environment = stack.environment() | urls | {"GENIUS_BROKER_TIMEOUT": str(PATIENCE.total_seconds())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("intake.rate_limit.PATIENCE", PATIENCE)
        patch.setattr("intake.app.REDIS_PATIENCE_S", PATIENCE.total_seconds())
        for name, value in environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield settings_from(environment)
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings, pool_size=5)
    yield database
    database.engine.dispose()


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def sign(settings: Settings) -> Callable[..., Headers]:
    """Return the headers of a caller: ``sign(tenant, role="owner", **claims)``."""

    def headers(tenant: Tenant, **claims: Any) -> Headers:
        now = datetime.now(UTC)
        content = {
            "user_id": str(uuid4()),
            "organization_id": str(tenant.organization_id),
            "organization_name": tenant.name,
            "subscription_plan": tenant.plan,
            "role": "owner",
            "iat": now,
            "exp": now + timedelta(minutes=5),
        } | claims
        token = jwt.encode(content, settings.jwt_secret.get_secret_value(), algorithm="HS256")
        return {"Authorization": f"Bearer {token}"}

    return headers


@pytest.fixture
def log(client: httpx.Client) -> Iterator[io.StringIO]:
    """What the intake logs, as an operator reads it."""
    root, written = logging.getLogger(), io.StringIO()
    [formatter] = [h.formatter for h in root.handlers if isinstance(h.formatter, ProcessorFormatter)]
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


@pytest.fixture
def acme(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="professional", name="Acme")


@pytest.fixture
def globex(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise", name="Globex")


@pytest.fixture
def as_acme(sign: Callable[..., Headers], acme: Tenant) -> Headers:
    return sign(acme)


@pytest.fixture
def as_globex(sign: Callable[..., Headers], globex: Tenant) -> Headers:
    return sign(globex)


@pytest.fixture
def recorded(database: Database) -> Callable[[Tenant], dict[str, int]]:
    """Count what a submission writes, table by table."""

    def count(tenant: Tenant) -> dict[str, int]:
        tables = (Job, JobEvent, OutboxRow, IdempotencyKey, QuotaReservation)
        with tenant_session(database, tenant.organization_id) as session:
            counts = {
                table.__tablename__: session.scalars(select(func.count()).select_from(table)).one()
                for table in tables
            }
        return {name: number for name, number in counts.items() if number}

    return count
