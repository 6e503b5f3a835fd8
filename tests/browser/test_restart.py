"""What Flower saw outlives it; a read-only one shows it to everybody and changes nothing."""

from collections.abc import Iterator

import httpx
import pytest

from tests.browser.conftest import Floor
from tests.support.flower import OPERATOR, Flower


@pytest.fixture
def successor(floor: Floor) -> Iterator[Flower]:
    """A read-only Flower that takes over what the other one kept."""
    flower = Flower(floor.flower.directory, floor.flower.environment, "--read_only=True")
    floor.flower.process.stop()
    try:
        flower.start()
        yield flower
    finally:
        flower.process.kill()
        floor.flower.start()


def tasks(client: httpx.Client) -> set[str]:
    return set(client.get("/api/tasks", params={"limit": 20, "sort_by": "received"}).json())


def test_what_it_saw_outlives_it_and_a_read_only_one_changes_nothing(
    floor: Floor, operator: httpx.Client, request: pytest.FixtureRequest
) -> None:
    seen = tasks(operator)
    assert seen
    successor: Flower = request.getfixturevalue("successor")
    with successor.client(OPERATOR) as client:
        assert tasks(client) & seen == seen
        tenant = floor.crowd.dying[0]
        client.get("/tenants")
        form = {"_xsrf": client.cookies["_xsrf"]}
        answer = client.post(f"/tenants/{tenant.organization_id}/pause", data=form)
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert "look and change nothing" in answer.text
