"""Posts over HTTP: written, warned of, scheduled by the tenant's clock, changed, cancelled, decided on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from models.job import Job
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import AccountStatus, PostState, SocialAccount, SocialPost
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
ACCOUNTS, POSTS = "/api/v1/social/accounts", "/api/v1/social/posts"
LATER = (datetime.now(UTC) + timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def account(client: httpx.Client, as_acme: Headers) -> Callable[..., str]:
    """Connect an account and return its id."""

    def connect(platform: str = "bluesky", handle: str = "shop.test") -> str:
        body = {"platform": platform, "handle": handle, "access_token": "secret-token"}
        answer = client.post(ACCOUNTS, json=body, headers=as_acme)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return connect


@pytest.fixture
def write(client: httpx.Client, as_acme: Headers, account: Callable[..., str]) -> Callable[..., Any]:
    """Write a post and return it."""
    known: list[str] = []

    def write(text: str = "Spring sale", **details: Any) -> Any:
        if not known:
            known.append(account())
        body = {"account_id": known[0], "text": text} | details
        answer = client.post(POSTS, json=body, headers=as_acme)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return write


def jobs(database: Database, tenant: Tenant) -> dict[UUID, str]:
    with tenant_session(database, tenant.organization_id) as session:
        return {job.id: job.state for job in session.scalars(select(Job))}


def put(database: Database, tenant: Tenant, post_id: str, **values: Any) -> None:
    """Make a post what a worker would have made it."""
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(update(SocialPost).where(SocialPost.id == UUID(post_id)).values(**values))


def test_what_the_platform_would_refuse_is_refused_before_it_is_accepted(
    client: httpx.Client, as_acme: Headers, account: Callable[..., str]
) -> None:
    body = {"account_id": account(), "text": "x" * 301, "media": []}
    document = refused(client.post(POSTS, json=body, headers=as_acme), 422)
    assert fields(document) == [(None, "text")]
    assert "shorten it by 1" in document["errors"][0]["message"]
    empty = refused(client.post(POSTS, json=body | {"text": " "}, headers=as_acme), 422)
    assert fields(empty) == [(None, "text")]
    assert client.get(POSTS, headers=as_acme).json()["items"] == []


def test_a_scheduled_post_is_queued_and_a_draft_is_not(
    write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    draft, queued = write(), write("Another text", scheduled_at=LATER.isoformat())
    assert (draft["state"], draft["job_id"]) == ("draft", None)
    assert queued["state"] == "queued"
    assert jobs(database, acme) == {UUID(queued["job_id"]): "scheduled"}


@pytest.mark.parametrize(
    ("local", "answer"),
    [
        ("07-01T09:30:00", "07-01T07:30:00+00:00"),
        ("01-15T09:30:00", "01-15T08:30:00+00:00"),
    ],
)
def test_a_time_without_an_offset_is_the_organizations(
    write: Callable[..., Any], local: str, answer: str
) -> None:
    year = datetime.now(UTC).year + 1
    post = write(scheduled_at=f"{year}-{local}", time_zone="Europe/Berlin")
    assert datetime.fromisoformat(post["scheduled_at"]) == datetime.fromisoformat(f"{year}-{answer}")


@pytest.mark.parametrize(
    ("local", "says"),
    [
        ("2027-03-28T02:30:00", "does not exist in Europe/Berlin"),
        ("2027-10-31T02:30:00", "comes twice in Europe/Berlin"),
    ],
)
def test_an_hour_that_is_skipped_or_comes_twice_is_told(
    client: httpx.Client, as_acme: Headers, account: Callable[..., str], local: str, says: str
) -> None:
    body = {"account_id": account(), "text": "hi", "scheduled_at": local, "time_zone": "Europe/Berlin"}
    document = refused(client.post(POSTS, json=body, headers=as_acme), 422)
    assert fields(document) == [(None, "scheduled_at")]
    assert says in document["error"]


def test_the_same_text_and_the_same_hour_are_warned_of(write: Callable[..., Any]) -> None:
    first = write("Big news", scheduled_at=LATER.isoformat())
    assert first["warnings"] == []
    again = write("Big  news ", scheduled_at=(LATER + timedelta(minutes=40)).isoformat())
    assert [(w["code"], w["post_id"]) for w in again["warnings"]] == [("duplicate", first["id"])]
    other = write("Other news", scheduled_at=(LATER + timedelta(hours=1, minutes=30)).isoformat())
    assert [(w["code"], w["post_id"]) for w in other["warnings"]] == [("same_hour", again["id"])]
    assert write("Far news", scheduled_at=(LATER + timedelta(days=2)).isoformat())["warnings"] == []


def test_a_repeated_request_writes_one_post(
    client: httpx.Client, as_acme: Headers, account: Callable[..., str], acme: Tenant, database: Database
) -> None:
    body = {"account_id": account(), "text": "once", "scheduled_at": LATER.isoformat()}
    headers = as_acme | {"Idempotency-Key": "monday"}
    answers = [client.post(POSTS, json=body, headers=headers).json() for _ in range(3)]
    assert len({(answer["id"], answer["job_id"]) for answer in answers}) == 1
    assert len(jobs(database, acme)) == 1
    refused(client.post(POSTS, json=body | {"text": "twice"}, headers=headers), 409)


def test_one_post_for_several_accounts_says_it_otherwise_where_needed(
    client: httpx.Client, as_acme: Headers, account: Callable[..., str]
) -> None:
    ids = [account("bluesky"), account("x", "shop"), account("mastodon", "shop@example.org")]
    body = {"account_ids": ids, "text": "long " * 58, "variants": {"x": {"text": "short"}}}
    answer = client.post(f"{POSTS}/several", json=body, headers=as_acme)
    assert answer.status_code == 201, answer.text
    written = answer.json()
    assert {item["platform"]: item["body"][:5] for item in written["items"]} == {
        "bluesky": "long ",
        "x": "short",
        "mastodon": "long ",
    }
    assert {item["group_id"] for item in written["items"]} == {written["group_id"]}
    too_long = body | {"text": "x" * 400}
    refused(client.post(f"{POSTS}/several", json=too_long, headers=as_acme), 422)
    assert len(client.get(POSTS, headers=as_acme).json()["items"]) == 3


def test_a_post_is_changed_until_publishing_begins(
    client: httpx.Client, as_acme: Headers, write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    post = write(scheduled_at=LATER.isoformat())
    moved = (LATER + timedelta(days=1)).isoformat()
    change = {"text": "Summer sale", "scheduled_at": moved}
    changed = client.patch(f"{POSTS}/{post['id']}", json=change, headers=as_acme).json()
    assert (changed["body"], changed["state"]) == ("Summer sale", "queued")
    assert datetime.fromisoformat(changed["scheduled_at"]) == LATER + timedelta(days=1)
    assert jobs(database, acme) == {UUID(post["job_id"]): "cancelled", UUID(changed["job_id"]): "scheduled"}

    draft = client.patch(f"{POSTS}/{post['id']}", json={"scheduled_at": None}, headers=as_acme).json()
    assert (draft["state"], draft["job_id"]) == ("draft", None)
    assert jobs(database, acme)[UUID(changed["job_id"])] == "cancelled"

    put(database, acme, post["id"], state=PostState.PUBLISHING)
    for verb, path, body in (("PATCH", "", change), ("POST", "/cancel", None), ("DELETE", "", None)):
        refused(client.request(verb, f"{POSTS}/{post['id']}{path}", json=body, headers=as_acme), 409)


def test_a_cancelled_post_has_no_job_and_can_be_published_again(
    client: httpx.Client, as_acme: Headers, write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    post = write(scheduled_at=LATER.isoformat())
    assert client.post(f"{POSTS}/{post['id']}/cancel", headers=as_acme).json()["state"] == "cancelled"
    assert set(jobs(database, acme).values()) == {"cancelled"}
    again = client.post(f"{POSTS}/{post['id']}/publish", headers=as_acme)
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert sorted(jobs(database, acme).values()) == ["cancelled", "queued"]


def test_a_person_decides_what_became_of_a_parked_post(
    client: httpx.Client, as_acme: Headers, write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    posts = [write(f"text {number}", scheduled_at=LATER.isoformat()) for number in range(3)]
    refused(decide(client, as_acme, posts[0], published=False), 409)
    for post in posts:
        put(database, acme, post["id"], state=PostState.PARKED_UNCONFIRMED, provider_key=post["id"])
    parked = client.get(POSTS, params={"state": "parked_unconfirmed"}, headers=as_acme).json()["items"]
    assert {post["id"] for post in parked} == {post["id"] for post in posts}

    refused(decide(client, as_acme, posts[0], published=True), 422)
    url = "https://example.org/shop/123"
    out = decide(client, as_acme, posts[0], published=True, url=url).json()
    assert (out["state"], out["remote_url"], out["remote_id"]) == ("published", url, "123")
    assert out["decided_by"]
    again = decide(client, as_acme, posts[1], published=False, post_again=True).json()
    assert again["state"] == "queued"
    assert again["job_id"] != posts[1]["job_id"]
    given_up = decide(client, as_acme, posts[2], published=False).json()
    assert given_up["state"] == "cancelled"


def decide(client: httpx.Client, headers: Headers, post: Any, **decision: Any) -> httpx.Response:
    return client.post(f"{POSTS}/{post['id']}/decision", json=decision, headers=headers)


def test_a_published_post_is_removed_by_a_job_and_a_draft_at_once(
    client: httpx.Client, as_acme: Headers, write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    draft, out = write("a draft"), write("is out")
    put(
        database,
        acme,
        out["id"],
        state=PostState.PUBLISHED,
        remote_id="at://x/y/z",
        remote_url="https://e.org",
    )
    assert client.delete(f"{POSTS}/{draft['id']}", headers=as_acme).json()["state"] == "removed"
    refused(client.get(f"{POSTS}/{draft['id']}", headers=as_acme), 404)
    removing = client.delete(f"{POSTS}/{out['id']}", params={"erase": True}, headers=as_acme)
    assert (removing.status_code, removing.json()["state"]) == (202, "removing")
    with tenant_session(database, acme.organization_id) as session:
        [job] = session.scalars(select(Job))
    assert (job.kind, job.payload) == ("social.delete_post", {"post_id": out["id"], "erase": True})


def test_a_post_is_changed_and_removed_only_as_it_was_seen(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database, write: Callable[..., Any]
) -> None:
    path = f"{POSTS}/{write()['id']}"
    tag = client.get(path, headers=as_acme).headers["etag"]
    assert client.get(path, headers=as_acme | {"If-None-Match": tag}).status_code == 304
    seen = as_acme | {"If-Match": tag}
    assert client.patch(path, json={"text": "Summer sale"}, headers=seen).json()["body"] == "Summer sale"
    for answer in (client.patch(path, json={"text": "x"}, headers=seen), client.delete(path, headers=seen)):
        assert fields(refused(answer, 412)) == [(None, "If-Match")]
    assert client.get(path, headers=as_acme).json()["body"] == "Summer sale"
    assert jobs(database, acme) == {}
    now = as_acme | {"If-Match": client.get(path, headers=as_acme).headers["etag"]}
    assert client.delete(path, headers=now).json()["state"] == "removed"


def test_posts_are_listed_by_what_they_belong_to(
    client: httpx.Client, as_acme: Headers, account: Callable[..., str], write: Callable[..., Any]
) -> None:
    campaign = client.post("/api/v1/campaigns", json={"name": "Spring"}, headers=as_acme).json()["id"]
    other = account("bluesky", "other.test")
    first, second = write("a", campaign_id=campaign), write("b", account_id=other)
    write("c", scheduled_at=LATER.isoformat())

    def listed(**asked: Any) -> list[str]:
        answer = client.get(POSTS, params=asked, headers=as_acme)
        assert answer.status_code == 200, answer.text
        return [each["body"] for each in answer.json()["items"]]

    assert listed(campaign_id=campaign) == [first["body"]]
    assert listed(account_id=other) == [second["body"]]
    assert listed(state="draft", sort="created_at") == ["a", "b"]
    assert listed() == ["c", "b", "a"]
    page = client.get(POSTS, params={"state": "draft", "limit": 1}, headers=as_acme).json()
    rest = {"state": "draft", "cursor": page["next_cursor"]}
    assert ([each["body"] for each in page["items"]], listed(**rest)) == (["b"], ["a"])
    assert fields(refused(client.get(POSTS, params={"stat": "draft"}, headers=as_acme), 422)) == [
        (None, "stat")
    ]


def test_another_tenants_posts_and_accounts_do_not_exist(
    client: httpx.Client, as_globex: Headers, write: Callable[..., Any]
) -> None:
    post = write(scheduled_at=LATER.isoformat())
    for verb, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"text": "mine"}),
        ("POST", "/publish", None),
        ("POST", "/cancel", None),
        ("POST", "/decision", {"published": False}),
        ("DELETE", "", None),
    ):
        refused(client.request(verb, f"{POSTS}/{post['id']}{path}", json=body, headers=as_globex), 404)
    body = {"account_id": post["account_id"], "text": "hi"}
    assert fields(refused(client.post(POSTS, json=body, headers=as_globex), 422)) == [(None, "account_id")]
    for verb, path in (("GET", ""), ("POST", "/resume"), ("POST", "/requeue"), ("DELETE", "")):
        refused(client.request(verb, f"{ACCOUNTS}/{post['account_id']}{path}", headers=as_globex), 404)


def test_an_account_that_is_not_active_says_what_to_do_and_its_blocked_posts_are_queued_again(
    client: httpx.Client, as_acme: Headers, write: Callable[..., Any], acme: Tenant, database: Database
) -> None:
    post = write(scheduled_at=LATER.isoformat())
    put(database, acme, post["id"], state=PostState.BLOCKED_REAUTH)
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(SocialAccount).values(status=AccountStatus.PAUSED, status_detail="taken down"))
    url = f"{ACCOUNTS}/{post['account_id']}"
    shown = client.get(url, headers=as_acme).json()
    assert (shown["status"], shown["status_detail"]) == ("paused", "taken down")
    assert f"{url}/resume" in shown["next_step"]
    assert write("more")["warnings"][0]["code"] == "account_not_active"
    refused(client.post(f"{url}/requeue", headers=as_acme), 409)
    assert client.post(f"{url}/resume", headers=as_acme).json()["next_step"] is None
    assert client.post(f"{url}/requeue", headers=as_acme).json() == {"queued": 1}
    assert client.get(f"{POSTS}/{post['id']}", headers=as_acme).json()["state"] == "queued"
