"""The stand-in signs people in, publishes and refuses in the shapes of X, LinkedIn and Meta."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from uuid_utils.compat import uuid7

from models.social import PlatformName
from tasks.social_posting.registry import PLATFORMS
from tasks.social_posting.sign_in import OAuth, at_server
from tests.integration.families.stand_in import StandIn, run_stand_in

WITH_CODES = [name.value for name in PlatformName if name is not PlatformName.BLUESKY]
BACK = "https://genius.example/back"
VERIFIER = "v" * 43
LINKEDIN = {"LinkedIn-Version": "202605", "X-Restli-Protocol-Version": "2.0.0"}


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with run_stand_in() as server:
        yield server
        server.behave(processing_seconds=0)


class Person:
    """One account of this test's own, and calls with its token."""

    def __init__(self, server: StandIn, platform: str, **more: Any) -> None:
        self.server, self.platform, self.handle = server, platform, f"{uuid7().hex[-12:]}.test"
        new = {"platform": platform, "handle": self.handle, **more}
        granted: dict[str, Any] = server.http.post("/admin/accounts", json=new).raise_for_status().json()
        self.token, self.id = granted["access_token"], granted["identifier"]

    def call(self, method: str, path: str, **details: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | details.pop("headers", {})
        return self.server.http.request(method, f"/{self.platform}/{path}", headers=headers, **details)


def sign_in_at(server: StandIn, platform: str) -> OAuth:
    sign_in = at_server(PLATFORMS[PlatformName(platform)].sign_in, f"{server.url}/{platform}")
    assert isinstance(sign_in, OAuth)
    return sign_in


def authorize(server: StandIn, sign_in: OAuth, **more: str) -> dict[str, list[str]]:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": "us",
        "redirect_uri": BACK,
        "state": "s1",
        "scope": sign_in.scope_separator.join(sign_in.scopes),
    }
    query |= {"code_challenge": challenge, "code_challenge_method": "S256"} if sign_in.pkce else {}
    answer = server.http.get(sign_in.authorize_url, params=query | more)
    assert answer.status_code == 302
    return parse_qs(urlsplit(answer.headers["location"]).query)


def trade(server: StandIn, sign_in: OAuth, code: str, **more: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": "us"}
    form |= {"code_verifier": VERIFIER} if sign_in.pkce else {}
    basic = httpx.BasicAuth("us", "secret") if sign_in.client_auth == "basic" else httpx.USE_CLIENT_DEFAULT
    return server.http.post(sign_in.token_url, data=form | more, auth=basic)


@pytest.mark.parametrize("platform", WITH_CODES)
def test_a_code_becomes_a_token_as_the_sign_in_says_and_only_once(server: StandIn, platform: str) -> None:
    person, sign_in = Person(server, platform), sign_in_at(server, platform)
    came_back = authorize(server, sign_in)
    assert came_back["state"] == ["s1"]
    answer = trade(server, sign_in, came_back["code"][0])
    token = answer.raise_for_status().json()["access_token"]
    if sign_in.exchange is not None:
        query = {
            "grant_type": sign_in.exchange.grant_type,
            sign_in.exchange.token_parameter: token,
            "client_id": "us",
            "client_secret": "secret",
        }
        longer = server.http.get(sign_in.exchange.url, params=query).raise_for_status().json()
        assert longer["expires_in"] > 5_000_000
        token = longer["access_token"]
    state = server.state(platform, person.handle)
    assert state["identifier"] == person.id
    assert trade(server, sign_in, came_back["code"][0]).status_code == 400


@pytest.mark.parametrize("platform", ["x", "mastodon"])
def test_a_code_is_no_use_without_its_verifier(server: StandIn, platform: str) -> None:
    Person(server, platform)
    sign_in = sign_in_at(server, platform)
    code = authorize(server, sign_in)["code"][0]
    assert trade(server, sign_in, code, code_verifier="guessed").json()["error"] == "invalid_grant"


def test_who_refuses_comes_back_without_a_code(server: StandIn) -> None:
    Person(server, "linkedin")
    came_back = authorize(server, sign_in_at(server, "linkedin"), deny="1")
    assert came_back == {"state": ["s1"], "error": ["access_denied"]}


def test_x_refuses_an_identical_text_and_shortens_links(server: StandIn) -> None:
    person, text = Person(server, "x"), "a & b https://example.org/long"
    first = person.call("POST", "2/tweets", json={"text": text})
    assert first.status_code == 201
    assert first.headers["x-user-limit-24hour-remaining"] == "99"
    again = person.call("POST", "2/tweets", json={"text": text})
    assert (again.status_code, again.json()["type"]) == (403, "about:blank")
    assert "duplicate content" in again.json()["detail"]
    (shown,) = person.call("GET", f"2/users/{person.id}/tweets").json()["data"]
    assert shown["text"].startswith("a &amp; b https://t.co/")
    assert shown["entities"]["urls"][0]["expanded_url"] == "https://example.org/long"


def test_linkedin_wants_a_living_version_and_names_the_post_in_a_header(server: StandIn) -> None:
    person = Person(server, "linkedin")
    body = {"author": person.id, "commentary": r"hello \(all\)", "lifecycleState": "PUBLISHED"}
    assert person.call("POST", "rest/posts", json=body).json()["code"] == "VERSION_MISSING"
    old = person.call("POST", "rest/posts", json=body, headers=LINKEDIN | {"LinkedIn-Version": "202401"})
    assert (old.status_code, old.json()["code"]) == (426, "NONEXISTENT_VERSION")
    made = person.call("POST", "rest/posts", json=body, headers=LINKEDIN)
    assert (made.status_code, made.content) == (201, b"")
    assert made.headers["x-restli-id"].startswith("urn:li:share:")
    again = person.call("POST", "rest/posts", json=body, headers=LINKEDIN)
    assert (again.status_code, again.json()["errorDetails"]["inputErrors"][0]["code"]) == (
        422,
        "DUPLICATE_POST",
    )
    assert server.texts("linkedin", person.handle) == ["hello (all)"]


def test_linkedin_shows_nobody_the_posts_of_a_person(server: StandIn) -> None:
    person = Person(server, "linkedin", sort="person")
    answer = person.call("GET", f"rest/posts?q=author&author={person.id}", headers=LINKEDIN)
    assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED")


@pytest.mark.parametrize(
    ("platform", "version", "create", "publish"),
    [("instagram", "v25.0", "media", "media_publish"), ("threads", "v1.0", "threads", "threads_publish")],
)
def test_a_container_is_published_once_and_only_when_it_is_ready(
    server: StandIn, platform: str, version: str, create: str, publish: str
) -> None:
    person = Person(server, platform)
    form = {"image_url": "https://media.example/1.jpg", "media_type": "IMAGE"}
    server.behave(processing_seconds=3_600)
    early = person.call("POST", f"{version}/{person.id}/{create}", data=form).json()["id"]
    refused = person.call("POST", f"{version}/{person.id}/{publish}", data={"creation_id": early})
    assert refused.json()["error"]["error_subcode"] == 2207027
    server.behave(processing_seconds=0)
    ready = person.call("POST", f"{version}/{person.id}/{create}", data=form).json()["id"]
    assert (
        person.call("POST", f"{version}/{person.id}/{publish}", data={"creation_id": ready}).status_code
        == 200
    )
    assert (
        person.call("POST", f"{version}/{person.id}/{publish}", data={"creation_id": ready}).status_code
        == 400
    )
    assert len(server.texts(platform, person.handle)) == 1


def test_facebook_refuses_the_same_words_twice_in_a_row_and_tells_its_usage(server: StandIn) -> None:
    person = Person(server, "facebook")
    path = f"v25.0/{person.id}/feed"
    first = person.call("POST", path, data={"message": "hello"})
    assert "estimated_time_to_regain_access" in first.headers["x-business-use-case-usage"]
    again = person.call("POST", path, data={"message": "hello"})
    assert (again.status_code, again.json()["error"]["code"]) == (400, 506)


@pytest.mark.parametrize("platform", ["x", "linkedin", "facebook", "instagram", "threads"])
def test_a_token_that_was_never_granted_is_refused(server: StandIn, platform: str) -> None:
    person = Person(server, platform)
    person.token = "made-up"
    path = {
        "x": "2/users/me",
        "linkedin": "v2/userinfo",
        "facebook": "v25.0/me/accounts",
        "instagram": "v25.0/me",
        "threads": "v1.0/me",
    }[platform]
    answer = person.call("GET", path)
    assert answer.status_code in (400, 401)
    assert "error" in answer.text or "Unauthorized" in answer.text or "INVALID_ACCESS_TOKEN" in answer.text
