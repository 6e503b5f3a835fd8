"""People sign in to a running Flower by OAuth: the right ones, in their roles, and nobody else."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tornado.web import create_signed_value

from ops.flower.record import EVENT
from ops.stack import Stack
from tests.support.clone import clone
from tests.support.flower import Flower
from tests.support.identity_provider import KEY, SECRET, IdentityProvider
from tests.support.queue_store import QueueStore
from tests.support.serving import serve
from tests.support.wait import wait_until

ADA, BEN = "ada@example.com", "ben@example.com"
COOKIE_SECRET = "for cookies alone"
ORDER = "/api/task/revoke/none"
PLACES = ("/", "/tenants", "/tasks", "/api/tasks", "/api/workers", "/metrics")


@dataclass(frozen=True, slots=True)
class House:
    """A Flower, and who tells it who people are."""

    flower: Flower
    provider: IdentityProvider

    def visitor(self) -> httpx.Client:
        return self.flower.client()

    def come_back(self, visitor: httpx.Client, email: str, *, verified: bool = True) -> str:
        """Go to the provider, be signed in there, and return the address it sends the browser to."""
        self.provider.person = {"email": email, "email_verified": verified}
        to_sign_in = visitor.get("/tenants")
        assert to_sign_in.status_code == 302
        to_provider = visitor.get(to_sign_in.headers["location"])
        with httpx.Client() as elsewhere:
            return elsewhere.get(to_provider.headers["location"]).headers["location"]

    def sign_in(self, visitor: httpx.Client, email: str, *, verified: bool = True) -> httpx.Response:
        return visitor.get(self.come_back(visitor, email, verified=verified))


@pytest.fixture(scope="module")
def house(stack: Stack, template: str, queue_store: QueueStore, test_directory: Path) -> Iterator[House]:
    provider = IdentityProvider()
    with serve(provider.application()) as url, clone(stack, template) as urls:
        flower = Flower(
            test_directory / "house",
            {
                **os.environ,
                **stack.environment(),
                **urls.environment(),
                "GENIUS_REDIS_URL": queue_store.next_url(),
                "GENIUS_FLOWER_USERS": json.dumps({ADA: {"role": "operator"}}),
                "FLOWER_LOGGING": "error",
                "FLOWER_AUTH": ".*@example.com",
                "FLOWER_AUTH_PROVIDER": "flower.views.auth.OktaLoginHandler",
                "FLOWER_OAUTH2_OKTA_BASE_URL": url,
                "FLOWER_OAUTH2_KEY": KEY,
                "FLOWER_OAUTH2_SECRET": SECRET,
                "FLOWER_COOKIE_SECRET": COOKIE_SECRET,
            },
        )
        try:
            flower.start()
            yield House(flower, provider)
        finally:
            flower.process.kill()


def sees(visitor: httpx.Client) -> set[int]:
    return {visitor.get(place).status_code for place in PLACES}


def order(visitor: httpx.Client, **headers: str) -> int:
    token = {"X-XSRFToken": visitor.cookies.get("_xsrf") or ""}
    return visitor.post(ORDER, headers=token | headers).status_code


def endings(house: House, actor: str) -> list[str]:
    """Return how what somebody did ended, as it is written down."""
    lines = house.flower.process.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if f'"{EVENT}"' in line and line.endswith("}")]
    return [line["outcome"] for line in told if line["actor"] == actor]


def gets_nothing(visitor: httpx.Client) -> bool:
    """Tell whether all pages lead to the way to sign in, and the interface answers nothing."""
    answers = {place: visitor.get(place) for place in PLACES}
    assert {answer.text for answer in answers.values()} == {""}
    return order(visitor) == 401 and all(
        answer.status_code == 401 if "/api/" in place else answer.headers["location"].startswith("/login?")
        for place, answer in answers.items()
    )


def test_an_operator_signs_in_gives_an_order_and_signs_out(house: House) -> None:
    with house.visitor() as visitor:
        assert gets_nothing(visitor)
        assert house.sign_in(visitor, ADA).headers["location"] == "/"
        assert sees(visitor) == {200}
        assert ADA in visitor.get("/tenants").text
        assert (order(visitor), order(visitor, **{"X-XSRFToken": "made up"})) == (200, 403)
        wait_until(lambda: endings(house, f"operator:{ADA}") == ["begun", "done", "refused"])
        assert visitor.get("/logout").is_success
        assert gets_nothing(visitor)


def test_whoever_is_not_named_an_operator_reads_and_changes_nothing(house: House) -> None:
    with house.visitor() as visitor:
        house.sign_in(visitor, BEN)
        assert sees(visitor) == {200}
        assert "(reader)" in visitor.get("/tenants").text
        assert order(visitor) == 403
        wait_until(lambda: endings(house, f"operator:{BEN}") == ["refused"])


@pytest.mark.parametrize(
    ("email", "verified"),
    [("eve@example.org", True), ("eve@example.com.example.org", True), (ADA, False), ("", True)],
)
def test_strangers_whom_the_provider_knows_get_nothing(house: House, email: str, *, verified: bool) -> None:
    with house.visitor() as visitor:
        assert house.sign_in(visitor, email, verified=verified).status_code == 403
        assert gets_nothing(visitor)


def test_a_sign_in_that_another_browser_began_is_refused(house: House) -> None:
    """Otherwise a page elsewhere could have somebody work in another's name."""
    with house.visitor() as one, house.visitor() as other:
        back = house.come_back(one, ADA)
        assert other.get(back).status_code == 403
        house.come_back(other, ADA)  # has a state of its own now, and still not this one
        assert other.get(back).status_code == 403
        assert other.get(back.partition("&state=")[0]).status_code == 403
        assert gets_nothing(other)
        assert one.get(back).headers["location"] == "/"
        assert one.get(back).status_code == 403, "a state is good once"


def test_a_cookie_counts_that_flower_itself_signed(house: House) -> None:
    for secret, counts in ((COOKIE_SECRET, True), ("another's secret", False)):
        with house.visitor() as visitor:
            visitor.cookies.set("user", create_signed_value(secret, "user", ADA).decode())
            assert (sees(visitor) == {200}) is counts
            assert counts or gets_nothing(visitor)
