"""A whole system that runs: intake, worker and beat as processes, watched with all there is to watch with.

The folder shares one; its tests keep apart by making their own organizations.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.session import Database, open_database
from ops.stack import PostgresUrls, Stack, settings_from
from tests.integration.observability.collector import Collector, collecting
from tests.integration.observability.system import System
from tests.support.clone import clone
from tests.support.queue_store import QueueStore
from tests.support.service import Services

TOKEN = "shown-by-prometheus-and-by-nobody-else"


@pytest.fixture(scope="package")
def database_urls(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    with clone(stack, template) as urls:
        yield urls


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="package")
def environment(
    stack: Stack, database_urls: PostgresUrls, queue_store: QueueStore, collector: Collector
) -> dict[str, str]:
    return {
        **stack.environment(),
        **database_urls.environment(),
        "GENIUS_REDIS_URL": queue_store.next_url(),
        "GENIUS_RELAY_INTERVAL": "0.3",
        "GENIUS_METRICS_PORT": "0",
        "GENIUS_METRICS_TOKEN": TOKEN,
        "GENIUS_TRACES_URL": collector.url,
        "GENIUS_PLATFORM_SCHEDULES": "false",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


@pytest.fixture(scope="package")
def settings(environment: dict[str, str]) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            if name != "GENIUS_TRACES_URL":  # this process traces nothing
                patch.setenv(name, value)
        get_settings.cache_clear()
        yield settings_from(environment)
    get_settings.cache_clear()


@pytest.fixture(scope="package")
def database(settings: Settings) -> Iterator[Database]:
    database = open_database(settings, pool_size=5)
    yield database
    database.engine.dispose()


@pytest.fixture(scope="package")
def system(
    test_directory: Path, environment: dict[str, str], settings: Settings, database: Database
) -> Iterator[System]:
    with ExitStack() as exits:
        services = Services(test_directory / f"services-{uuid7()}", environment, exits)
        yield System(services, settings, database)
