"""Fixtures: one intake with two tenants that have everything, for a module's tests."""

from collections.abc import Iterator

import pytest

from ops.stack import Stack
from tests.support.queue_store import QueueStore
from tests.support.two_tenants import World
from tests.support.world_fixture import new_world


@pytest.fixture(scope="module")
def world(
    stack: Stack, template: str, queue_store: QueueStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with new_world(stack, template, queue_store, tmp_path_factory.mktemp("media")) as world:
        yield world
