"""An organization with limits of its own, and what Postgres says of its quota.

A module shares one database; its tests keep apart by making their own organizations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select, update

from config.settings import Settings, get_settings
from models.organization import Organization, Tenant, load_tenant
from models.quota import Quota
from models.session import Database, open_database, tenant_session
from models.usage import QuotaPeriod, QuotaReservation, UsageAlert, UsageRecord
from ops.stack import Stack, settings_from
from tests.support.clone import clone
from tests.support.queue_store import QueueStore
from worker.publish import get_publisher

METER = "posts_month"


@dataclass(frozen=True, slots=True)
class Books:
    """What is written of one meter, all periods together."""

    used: int
    reserved: int
    ledger: int
    held: int


class Ledgers:
    """Opens quota transactions of a tenant and reads its books."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def quota(self, tenant: Tenant) -> Iterator[Quota]:
        """One transaction that commits at its end."""
        with tenant_session(self.database, tenant.organization_id) as session:
            yield Quota(session, tenant)

    def read(self, tenant: Tenant, meter: str = METER) -> Books:
        period = select(func.coalesce(func.sum(QuotaPeriod.used - QuotaPeriod.carried), 0))
        reserved = select(func.coalesce(func.sum(QuotaPeriod.reserved), 0)).where(QuotaPeriod.meter == meter)
        ledger = select(func.coalesce(func.sum(UsageRecord.quantity), 0)).where(UsageRecord.meter == meter)
        held = select(func.coalesce(func.sum(QuotaReservation.quantity), 0))
        held = held.where(QuotaReservation.meter == meter, QuotaReservation.state == "held")
        queries = (period.where(QuotaPeriod.meter == meter), reserved, ledger, held)
        with tenant_session(self.database, tenant.organization_id) as session:
            return Books(*(int(session.execute(query).scalar_one()) for query in queries))

    def alerts(self, tenant: Tenant, meter: str = METER) -> list[int]:
        query = select(UsageAlert.threshold).where(UsageAlert.meter == meter).order_by(UsageAlert.id)
        with tenant_session(self.database, tenant.organization_id) as session:
            return list(session.scalars(query))


@pytest.fixture(scope="module")
def environment(stack: Stack, template: str, queue_store: QueueStore) -> Iterator[dict[str, str]]:
    with clone(stack, template) as urls:
        yield stack.environment() | urls.environment() | {"GENIUS_REDIS_URL": queue_store.next_url()}


@pytest.fixture(scope="module")
def settings(environment: dict[str, str]) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        get_publisher.cache_clear()
        yield settings_from(environment)
    get_settings.cache_clear()
    get_publisher.cache_clear()


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings, pool_size=20)
    yield database
    database.engine.dispose()


@pytest.fixture
def ledgers(database: Database) -> Ledgers:
    return Ledgers(database)


@pytest.fixture
def limited(database: Database, organization: Callable[..., Tenant]) -> Callable[..., Tenant]:
    """Make an organization: ``limited(posts_month=1_000, soft=("posts_month",), time_zone="UTC")``."""

    def make(*, soft: tuple[str, ...] = (), time_zone: str = "UTC", **limits: int) -> Tenant:
        return change(database, organization(), soft=soft, time_zone=time_zone, **limits)

    return make


def change(database: Database, tenant: Tenant, *, soft: tuple[str, ...] = (), **terms: Any) -> Tenant:
    """Give an organization other limits, or another zone, as an operator does."""
    zone = terms.pop("time_zone", tenant.time_zone)
    limits = {meter: {"amount": amount, "hard": meter not in soft} for meter, amount in terms.items()}
    values = {"plan_overrides": {"limits": limits}, "time_zone": zone}
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(Organization).values(**values))
    changed = load_tenant(database, tenant.organization_id)
    assert changed is not None
    return changed
