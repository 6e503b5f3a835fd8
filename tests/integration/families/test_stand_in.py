"""The stand-in answers in the shapes, and with the limits and errors, of the platforms it stands for."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.families.stand_in import StandIn, run_stand_in

POST = "app.bsky.feed.post"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with run_stand_in() as server:
        yield server


@pytest.fixture
def bluesky(server: StandIn) -> dict[str, Any]:
    session: dict[str, Any] = grant(server, "bluesky")
    return session


def grant(server: StandIn, platform: str, **more: Any) -> dict[str, Any]:
    answer = server.http.post("/admin/accounts", json={"platform": platform, "handle": "shop.test", **more})
    granted: dict[str, Any] = answer.raise_for_status().json()
    return granted


def put(
    server: StandIn, session: dict[str, Any], key: str, text: str = "hello", **more: Any
) -> httpx.Response:
    record = {"$type": POST, "text": text, "createdAt": "2026-05-17T12:00:00Z"}
    body = {"repo": session["identifier"], "collection": POST, "rkey": key, "record": record, **more}
    return server.http.post(
        "/bluesky/xrpc/com.atproto.repo.putRecord",
        json=body,
        headers={"Authorization": f"Bearer {session['access_token']}"},
    )


def test_a_record_written_again_as_it_is_stays_one(server: StandIn, bluesky: dict[str, Any]) -> None:
    first, second = put(server, bluesky, "3kaaaaaaaaaaa"), put(server, bluesky, "3kaaaaaaaaaaa")
    assert first.json() == second.json()
    assert server.texts("bluesky", "shop.test") == ["hello"]


def test_swap_record_null_refuses_a_key_that_is_taken(server: StandIn, bluesky: dict[str, Any]) -> None:
    assert put(server, bluesky, "3kaaaaaaaaaaa", swapRecord=None).status_code == 200
    again = put(server, bluesky, "3kaaaaaaaaaaa", "edited", swapRecord=None)
    assert (again.status_code, again.json()["error"]) == (400, "InvalidSwap")
    assert server.texts("bluesky", "shop.test") == ["hello"]


def test_records_are_listed_newest_first_in_pages(server: StandIn, bluesky: dict[str, Any]) -> None:
    for number in range(5):
        put(server, bluesky, f"3kaaaaaaaaaa{number}", f"post {number}")
    texts: list[str] = []
    query = {"repo": bluesky["identifier"], "collection": POST, "limit": "2"}
    while True:
        page = server.http.get("/bluesky/xrpc/com.atproto.repo.listRecords", params=query).json()
        texts += [record["value"]["text"] for record in page["records"]]
        if "cursor" not in page:
            break
        query["cursor"] = page["cursor"]
    assert texts == [f"post {number}" for number in reversed(range(5))]


def test_bad_tokens_are_answered_with_400_and_a_name(server: StandIn, bluesky: dict[str, Any]) -> None:
    forged = put(server, bluesky | {"access_token": "forged"}, "k")
    server.change("bluesky", "shop.test", expire_tokens=True)
    expired = put(server, bluesky, "k")
    assert [(a.status_code, a.json()["error"]) for a in (forged, expired)] == [
        (400, "InvalidToken"),
        (400, "ExpiredToken"),
    ]


def test_a_refresh_token_is_good_for_one_use(server: StandIn, bluesky: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {bluesky['refresh_token']}"}
    url = "/bluesky/xrpc/com.atproto.server.refreshSession"
    fresh = server.http.post(url, headers=headers).json()
    assert put(server, bluesky | {"access_token": fresh["accessJwt"]}, "k").status_code == 200
    again = server.http.post(url, headers=headers)
    assert (again.status_code, again.json()["error"]) == (400, "ExpiredToken")


def test_a_login_needs_the_password(server: StandIn, bluesky: dict[str, Any]) -> None:
    url = "/bluesky/xrpc/com.atproto.server.createSession"
    wrong = server.http.post(url, json={"identifier": "shop.test", "password": "guess"})
    right = server.http.post(url, json={"identifier": "shop.test", "password": "stand-in-password"})
    assert (wrong.status_code, right.status_code) == (401, 200)
    assert right.json()["did"] == bluesky["identifier"]


def test_limits_count_down_in_the_headers(server: StandIn, bluesky: dict[str, Any]) -> None:
    server.change("bluesky", "shop.test", points=7, window_seconds=60)
    remaining = [put(server, bluesky, f"k{n}").headers["ratelimit-remaining"] for n in range(3)]
    assert remaining == ["4", "1", "1"]
    assert put(server, bluesky, "k9").status_code == 429


def test_mastodon_answers_a_repeated_key_with_the_first_status(server: StandIn) -> None:
    token = grant(server, "mastodon")["access_token"]

    def post(key: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        status: dict[str, Any] = server.http.post(
            "/mastodon/api/v1/statuses", json={"status": "hello"}, headers=headers
        ).json()
        return status

    assert post("a")["id"] == post("a")["id"] != post("b")["id"]


def test_a_dropped_answer_has_no_byte(server: StandIn, bluesky: dict[str, Any]) -> None:
    server.plant("bluesky", "drop_after")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        put(server, bluesky, "k")
    assert server.texts("bluesky", "shop.test") == ["hello"]


def test_it_listens_on_loopback_only(server: StandIn) -> None:
    assert server.url.startswith("http://127.0.0.1:")
