"""What a beat needs to fire."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from config.settings import Settings, get_settings
from models.organization import Tenant
from models.session import Database, RelayDatabase
from tests.integration.schedules.steps import Tick
from worker.app import app
from worker.fire import fire_due
from worker.publish import Publisher
from worker.scheduler import RelayScheduler


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    """A publisher that leaves nothing to the relay because Redis is slow for a moment."""
    return Publisher(settings.model_copy(update={"broker_timeout": timedelta(seconds=30)}))


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise")


@pytest.fixture
def tick(relay_database: RelayDatabase, database: Database, publisher: Publisher) -> Tick:
    """Do what a beat does at a moment."""
    return lambda now: fire_due(relay_database, database, publisher, now=now)


@pytest.fixture
def scheduler(
    settings: Settings,
    database: Database,
    relay_database: RelayDatabase,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> RelayScheduler:
    """Beat, whose second pass no test lives to see."""
    monkeypatch.setenv("GENIUS_RELAY_INTERVAL", "3600")
    get_settings.cache_clear()
    monkeypatch.setattr("worker.scheduler.get_database", lambda: database)
    monkeypatch.setattr("worker.scheduler.open_relay_database", lambda _: relay_database)
    monkeypatch.setattr("worker.scheduler.get_publisher", lambda: publisher)
    return RelayScheduler(app)
