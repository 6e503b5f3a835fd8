"""Makes the intake with two tenants for the tests of a module or a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.settings import Settings, get_settings
from models.session import open_database
from ops.stack import Stack, settings_from
from tests.support.clone import clone
from tests.support.queue_store import QueueStore
from tests.support.two_tenants import World, two_tenants


@contextmanager
def new_world(stack: Stack, template: str, queue_store: QueueStore, folder: Path) -> Iterator[World]:
    """Serve it on a database and a Redis of its own; *folder* takes its media."""
    with clone(stack, template) as urls, pytest.MonkeyPatch.context() as patch:
        environment = stack.environment() | urls.environment()
        environment |= {"GENIUS_REDIS_URL": queue_store.next_url(), "GENIUS_MEDIA_DIRECTORY": str(folder)}
        for name, value in environment.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        urls_back = {"social_redirect_urls": ("https://app.example.org/back",)}
        settings: Settings = settings_from(environment).model_copy(update=urls_back)
        database = open_database(settings, pool_size=2)
        with two_tenants(settings, database, urls) as world:
            yield world
        database.engine.dispose()
    get_settings.cache_clear()
