"""Attempts by cursors, tags, keys, links and files: each works on a broken copy first, and not on ours."""

import csv
import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select
from uuid_utils.compat import uuid7

import intake.paging
import intake.resource.cursor
import intake.routes.content
import intake.routes.jobs
import intake.views.lead_file
from models.job import JobState
from models.session import tenant_session
from models.social import SocialAuthorization
from models.user import Role
from ops.token import mint_token
from tasks import media_link
from tasks.media_store import MediaStore, key_of
from tasks.media_type import Seen
from tests.support.breach import breach
from tests.support.furnish import job_key, picture
from tests.support.two_tenants import Side, World
from worker.submit import SubmittedJob

API = "/api/v1"


def get(world: World, path: str, **headers: str) -> httpx.Response:
    """Read as the attacker."""
    return world.client.get(path, headers=world.mine.headers() | headers)


def leaks(world: World, answer: httpx.Response) -> bool:
    return any(world.theirs.marker in each for each in world.watch(world.theirs).found(answer))


def test_a_cursor_of_another_tenant_opens_nothing_of_its(world: World, patch: pytest.MonkeyPatch) -> None:
    def attempt() -> bool:
        page = world.client.get(f"{API}/social/posts?limit=1", headers=world.theirs.headers())
        cursor = page.json()["next_cursor"]
        return leaks(world, get(world, f"{API}/social/posts?cursor={cursor}&limit=200"))

    def sign_place_only(content: bytes, _: str, sign: Any = intake.resource.cursor._sign) -> Any:  # noqa: SLF001
        return sign(content, "")

    with breach(world):
        assert not attempt(), "the cursor is of their list"
    with breach(world), patch.context() as broken:
        broken.setattr(intake.resource.cursor, "_sign", sign_place_only)
        assert attempt()
    assert not attempt()


def test_an_altered_cursor_never_reaches_the_database(world: World, patch: pytest.MonkeyPatch) -> None:
    def attempt() -> bool:
        return get(world, f"{API}/jobs?cursor=JzsgRFJPUCBUQUJMRSBqb2JzOyAtLSI").status_code != 422

    with patch.context() as broken:
        broken.setattr(intake.paging.Cursor, "read", lambda _, cursor: cursor)
        assert attempt()
    assert not attempt()


def test_a_tag_does_not_tell_that_another_tenants_thing_exists(world: World) -> None:
    path = f"{API}/campaigns/{world.theirs.made['campaigns'][0]}"
    tag = world.client.get(path, headers=world.theirs.headers()).headers["etag"]

    def attempt() -> bool:
        return get(world, path, **{"If-None-Match": tag}).status_code != 404

    with breach(world):
        assert attempt()
    assert not attempt()


def test_a_tag_of_another_tenants_thing_changes_nothing(world: World) -> None:
    path = f"{API}/campaigns/{world.theirs.made['campaigns'][0]}"

    def attempt() -> bool:
        tag = world.client.get(path, headers=world.theirs.headers()).headers["etag"]
        headers = world.mine.headers() | {"If-Match": tag}
        world.client.patch(path, json={"objective": "stolen"}, headers=headers)
        shown = world.client.get(path, headers=world.theirs.headers()).json()
        return bool(shown["objective"] == "stolen")

    assert not attempt()
    with breach(world):
        assert attempt()


def test_an_idempotency_key_of_another_tenant_answers_no_job_of_its(
    world: World, patch: pytest.MonkeyPatch
) -> None:
    theirs = set(world.theirs.made["job_id"])
    body = {"kind": "analytics.rollup", "payload": {}, "priority": 0}

    def attempt() -> bool:
        headers = world.mine.headers() | {"Idempotency-Key": job_key(world.theirs, 0)}
        answer = world.client.post(f"{API}/jobs", json=body, headers=headers)
        assert answer.status_code == 202
        return answer.json()["id"] in theirs or answer.json()["replayed"]

    def global_keys(*_: Any, **__: Any) -> list[SubmittedJob]:
        with world.superuser() as connection:
            [row] = connection.execute(
                "SELECT job_id FROM idempotency_keys WHERE key = %s LIMIT 1", [job_key(world.theirs, 0)]
            ).fetchall()
        now = datetime.now(UTC)
        return [SubmittedJob(row["job_id"], "analytics.rollup", JobState.QUEUED, now, None, True)]

    with patch.context() as broken:
        broken.setattr(intake.routes.jobs, "submit", global_keys)
        assert attempt()
    assert not attempt()


SECRET = b"s" * 32


def depart(world: World, side: Side, user_id: UUID) -> str:
    """Send *side*'s user to a platform, and return the state by which they come back."""
    authorization_id = uuid7()
    values = {
        "organization_id": side.organization_id,
        "id": authorization_id,
        "user_id": str(user_id),
        "platform": "bluesky",
        "state_hash": sha256(SECRET).digest(),
        "redirect_url": "https://app.example.org/back",
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }
    with tenant_session(world.app.state.database, side.organization_id) as session:
        session.execute(insert(SocialAuthorization).values(**values))
    return urlsafe_b64encode(authorization_id.bytes + SECRET).decode().rstrip("=")


def away(world: World, side: Side, user_id: UUID) -> int:
    with tenant_session(world.app.state.database, side.organization_id) as session:
        found = select(SocialAuthorization.id).where(SocialAuthorization.user_id == str(user_id))
        return len(session.scalars(found).all())


def test_an_oauth_state_of_another_tenant_is_not_taken(world: World) -> None:
    def attempt() -> bool:
        user_id = uuid7()
        state = depart(world, world.theirs, user_id)
        token = mint_token(world.settings, world.mine.tenant, role=Role.OWNER, user_id=user_id)
        headers = {"Authorization": f"Bearer {token}"}
        body = {"state": state, "code": "c"}
        world.client.post(f"{API}/social/accounts/complete", json=body, headers=headers)
        return away(world, world.theirs, user_id) == 0

    with breach(world):
        assert attempt()
    assert not attempt()


def upload(world: World, side: Side, content: bytes, **query: str) -> httpx.Response:
    return world.client.post(f"{API}/content/media", content=content, params=query, headers=side.headers())


def medium(world: World, side: Side) -> str:
    answer = upload(world, side, picture(3, side.marker), title=f"{side.marker}.title")
    return str(answer.json()["id"])


def test_a_signed_link_opens_no_other_tenants_medium(world: World, patch: pytest.MonkeyPatch) -> None:
    mine, theirs = medium(world, world.mine), medium(world, world.theirs)
    until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    signature = media_link.sign(world.mine.organization_id, UUID(mine), until)

    def attempt() -> bool:
        path = f"/media/{world.theirs.organization_id}/{theirs}/{until}/{signature}"
        return world.theirs.marker in world.client.get(path).text

    with patch.context() as broken:
        broken.setattr(intake.routes.content, "is_good", lambda *_: True)
        assert attempt()
    assert not attempt()


def test_a_signed_link_lasts_no_longer_than_was_signed(world: World, patch: pytest.MonkeyPatch) -> None:
    mine, until = medium(world, world.mine), int(datetime.now(UTC).timestamp()) - 10
    signature = media_link.sign(world.mine.organization_id, UUID(mine), until)

    def attempt() -> bool:
        place = f"/media/{world.mine.organization_id}/{mine}"
        longer = world.client.get(f"{place}/{until + 3_600}/{signature}")
        return longer.is_success or world.client.get(f"{place}/{until}/{signature}").is_success

    with patch.context() as broken:
        broken.setattr(intake.routes.content, "is_good", lambda *given: given[-1] == signature)
        assert attempt()
    assert not attempt()


def test_a_signature_of_strange_letters_is_a_wrong_one(world: World, patch: pytest.MonkeyPatch) -> None:
    def attempt() -> bool:
        path = f"/media/{world.mine.organization_id}/{uuid7()}/4102444800/%C3%A9"
        return world.client.get(path).status_code != 404

    with patch.context() as broken:
        broken.setattr(
            intake.routes.content, "is_good", lambda *given: hmac.compare_digest("signature", given[-1])
        )
        assert attempt()
    assert not attempt()


def point_at(world: World, medium_id: str, key: str) -> None:
    """Let a medium's row lead elsewhere, as an injected statement would."""
    with world.superuser() as connection:
        connection.execute("UPDATE content_assets SET storage_key = %s WHERE id = %s", [key, medium_id])


def anywhere(store: MediaStore, _organization_id: UUID, key: str) -> Path:
    return store.folder / key


@pytest.mark.parametrize("key", ["../" * 40 + "etc/passwd", "/etc/passwd"], ids=["climbing", "absolute"])
def test_a_path_leads_out_of_the_folder_of_media_nowhere(
    world: World, patch: pytest.MonkeyPatch, key: str
) -> None:
    path = medium(world, world.mine)
    point_at(world, path, key)

    def attempt() -> bool:
        return "root:" in get(world, f"{API}/content/media/{path}/file").text

    with patch.context() as broken:
        broken.setattr(MediaStore, "path", anywhere)
        assert attempt()
    assert not attempt()


def test_a_file_of_another_tenant_is_not_read_by_a_row_of_ones_own(
    world: World, patch: pytest.MonkeyPatch
) -> None:
    mine, theirs = medium(world, world.mine), medium(world, world.theirs)
    point_at(world, mine, key_of(world.theirs.organization_id, UUID(theirs)))

    def attempt() -> bool:
        return world.theirs.marker in get(world, f"{API}/content/media/{mine}/file").text

    with patch.context() as broken:
        broken.setattr(MediaStore, "path", anywhere)
        assert attempt()
    assert not attempt()


@pytest.mark.parametrize("name", ["../../evil", "..\\evil", "/etc/evil", "evil\r\nX-Evil: 1", "con.png"])
def test_an_uploaded_files_name_is_no_path_and_no_header(
    world: World, patch: pytest.MonkeyPatch, name: str
) -> None:
    folder = Path(world.app.state.settings.media_directory).resolve()

    def attempt() -> bool:
        before = set(folder.parent.rglob("*evil*"))
        answer = upload(world, world.mine, picture(4), title=name)
        if not answer.is_success:
            return False
        shown = get(world, f"{API}/content/media/{answer.json()['id']}/file")
        return set(folder.parent.rglob("*evil*")) > before or "evil" in str(shown.headers)

    async def by_name(store: MediaStore, key: str, chunks: Any, *, most: int) -> Any:
        path = folder / Path(name).name.partition("\r")[0].replace("con", "evil").replace("\\", "")
        path.write_bytes(b"".join([chunk async for chunk in chunks]))
        raise FileNotFoundError(key)

    with patch.context() as broken:
        broken.setattr(MediaStore, "write", by_name)
        before = set(folder.parent.rglob("*evil*"))
        attempt()
        assert set(folder.parent.rglob("*evil*")) > before
        for each in folder.parent.rglob("*evil*"):
            each.unlink()
    assert not attempt()


def test_a_page_is_no_picture(world: World, patch: pytest.MonkeyPatch) -> None:
    page = b"<!DOCTYPE html><script>alert(document.domain)</script>"

    def attempt() -> bool:
        answer = upload(world, world.mine, page, title="picture.png")
        if not answer.is_success:
            return False
        shown = get(world, f"{API}/content/media/{answer.json()['id']}/file")
        return shown.headers["content-type"].startswith("text/html")

    def trusting(_: Path) -> Seen:
        return Seen("text/html", None, None, None)

    with patch.context() as broken:
        broken.setattr(intake.routes.content, "look", trusting)
        assert attempt()
    assert not attempt()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", "\uff1d"])
def test_no_cell_of_an_export_is_a_formula(world: World, patch: pytest.MonkeyPatch, begin: str) -> None:
    formula = f"{begin}HYPERLINK(A1)"
    lead = {"external_id": f"formula {begin!r}", "company": formula, "attributes": {"note": formula}}
    world.client.post(f"{API}/leads/import", json={"leads": [lead]}, headers=world.mine.headers())

    def attempt() -> bool:
        lines = list(csv.reader(get(world, f"{API}/leads/export.csv?attribute=note").text.splitlines(True)))
        return any(each.lstrip().startswith(formula.lstrip()) for line in lines for each in line)

    with patch.context() as broken:
        broken.setattr(intake.views.lead_file, "cell", lambda value: "" if value is None else str(value))
        assert attempt()
    assert not attempt()
