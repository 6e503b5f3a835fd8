"""The code of docs/tutorial.md, in the order in which it stands there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models.organization import Tenant
from models.session import Database
from tests.support.manual import DOCS, blocks
from worker.app import app
from worker.context import Completion
from worker.job import KINDS

NAMES: dict[str, Any] = {"__name__": "tutorial"}


@pytest.fixture(scope="module")
def code() -> Iterator[dict[str, Any]]:
    for block in blocks(DOCS / "tutorial.md", "python"):
        exec(block, NAMES)  # noqa: S102 - our own text
    yield NAMES
    name = NAMES["GREET_LEAD"].name
    KINDS.pop(name)
    app.tasks.pop(name, None)


@pytest.mark.parametrize(
    "test", ["test_a_lead_is_greeted", "test_a_lead_of_another_organization_does_not_exist"]
)
def test_what_the_tutorial_tells_to_write_works(
    code: dict[str, Any],
    test: str,
    database: Database,
    organization: Callable[..., Tenant],
    run: Callable[..., Completion],
) -> None:
    code[test](database, organization, run)
