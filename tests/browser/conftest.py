"""One Flower with tenants at work, and one browser, for all tests here; `screens.py` shows more of them."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
from playwright.sync_api import Browser, Page, expect

from config.settings import Settings
from models.session import Database, RelayDatabase, open_database, open_relay_database
from ops.stack import Stack, settings_from
from tests.browser.chromium import PATIENCE_MS, find_chromium, launched, visiting
from tests.support.clone import clone
from tests.support.crowd import DEAD_EACH, Crowd, gather, make_noise
from tests.support.flower import OPERATOR, USERS, Flower
from tests.support.kinds import INCLUDE
from tests.support.queue_store import QueueStore
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.publish import Publisher

TENANTS = 40
NOISE = 300


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything that runs."""

    settings: Settings
    database: Database
    relay: RelayDatabase
    publisher: Publisher
    crowd: Crowd
    flower: Flower


@pytest.fixture(scope="package")
def floor(stack: Stack, template: str, queue_store: QueueStore, test_directory: Path) -> Iterator[Floor]:
    """Start Flower and a worker, and give them something to do."""
    directory = test_directory / "floor"
    with clone(stack, template) as urls, ExitStack() as exits:
        environment = {
            **stack.environment(),
            **urls.environment(),
            "GENIUS_REDIS_URL": queue_store.next_url(),
            "GENIUS_FLOWER_USERS": USERS,
        }
        settings = settings_from(environment)
        services = Services(directory, environment, exits)
        flower = Flower(directory, {**os.environ, **environment})
        exits.callback(flower.process.kill)
        flower.start()
        database, relay = open_database(settings, pool_size=2), open_relay_database(settings)
        exits.callback(database.engine.dispose)
        exits.callback(relay.engine.dispose)
        publisher = Publisher(settings)
        crowd = _crowd(database, publisher)
        services.worker(pool="threads", concurrency=4, options=INCLUDE)
        floor = Floor(settings, database, relay, publisher, crowd, flower)
        wait_until(lambda: _is_busy(floor), 60)
        yield floor


def _crowd(database: Database, publisher: Publisher) -> Crowd:
    with _quietly():
        return gather(database, publisher, tenants=TENANTS, noise=NOISE, progress=lambda _: None)


@contextmanager
def _quietly() -> Iterator[None]:
    """Log no line for each job submitted."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        structlog.configure(**before)


def _is_busy(floor: Floor) -> bool:
    """Tell whether Flower has seen tasks, and the dying have died."""
    with floor.flower.client(OPERATOR) as client:
        seen = client.get("/api/tasks", params={"limit": 1}).json()
        dead = client.get("/deadletters").text
    return bool(seen) and dead.count(f"<strong>{DEAD_EACH}</strong>") == len(floor.crowd.dying)


def known_worker(floor: Floor, start: str = "") -> str:
    """Return a worker that has told Flower all about itself; none before one has."""
    with floor.flower.client(OPERATOR) as client:
        known = client.get("/api/workers", params={"refresh": 1}).json()
    told = (name for name, said in known.items() if {"stats", "registered", "active_queues"} <= said.keys())
    return next((name for name in told if name.startswith(start)), "")


@pytest.fixture
def noise(floor: Floor, browser: Browser) -> None:
    """Make it once the browser is there, which may take longer than the noise lasts."""
    with _quietly():
        make_noise(floor.database, floor.publisher, floor.crowd)


@pytest.fixture
def operator(floor: Floor) -> Iterator[httpx.Client]:
    """Somebody who may change things."""
    with floor.flower.client(OPERATOR) as client:
        yield client


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(floor: Floor, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open Flower's first page as somebody."""
    with ExitStack() as exits:

        def open_page(credentials: tuple[str, str] | None = OPERATOR) -> Page:
            page = exits.enter_context(visiting(browser, floor.flower.url, credentials))
            page.goto("/")
            return page

        yield open_page
