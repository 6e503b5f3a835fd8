"""The ground for all attacks on the database."""

from collections.abc import Iterator

import pytest

from ops.stack import Stack
from tests.attacks.ground import Ground, new_ground


@pytest.fixture(scope="session")
def ground(stack: Stack, template: str) -> Iterator[Ground]:
    with new_ground(stack, template) as ground:
        yield ground
