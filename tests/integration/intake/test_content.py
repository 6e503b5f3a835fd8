"""The media library over HTTP: types found by looking, sizes counted, nobody else's files reached."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from sqlalchemy import select, update

from config.settings import Settings, get_settings
from models.content import ContentAsset
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from tasks.media_link import public_link
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
MEDIA = "/api/v1/content/media"


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Keep media in a folder of this module's own."""
    folder = tmp_path_factory.mktemp("media")
    return settings.model_copy(update={"media_directory": folder, "max_media_bytes": 200_000})


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "green").save(file, kind)
    return file.getvalue()


@pytest.fixture
def upload(client: httpx.Client, as_acme: Headers) -> Callable[..., Any]:
    def upload(content: bytes, headers: Headers = as_acme, **query: str) -> httpx.Response:
        return client.post(MEDIA, content=content, headers=headers, params=query)

    return upload


def stored(settings: Settings) -> list[Path]:
    return [path for path in settings.media_directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_is_known_by_its_bytes_and_read_back(
    client: httpx.Client,
    as_acme: Headers,
    acme: Tenant,
    upload: Callable[..., Any],
    settings: Settings,
    kind: str,
) -> None:
    content = picture(kind)
    answer = upload(content, title="a script.js", alt_text="all green")
    assert answer.status_code == 201, answer.text
    medium = answer.json()
    assert (medium["media_type"], medium["byte_size"]) == (f"image/{kind.lower()}", len(content))
    assert (medium["width"], medium["height"], medium["alt_text"]) == (40, 30, "all green")
    assert client.get(f"{MEDIA}/{medium['id']}", headers=as_acme).json() == medium
    file = client.get(f"{MEDIA}/{medium['id']}/file", headers=as_acme)
    assert (file.content, file.headers["content-type"]) == (content, f"image/{kind.lower()}")
    assert file.headers["x-content-type-options"] == "nosniff"
    folder = settings.media_directory / str(acme.organization_id)
    assert any(path.read_bytes() == content for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg onload='alert(1)'/>",
        b"<html>",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 50,
        b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 40,
    ],
    ids=["nothing", "svg", "html", "broken png", "broken film"],
)
def test_what_is_no_picture_or_film_is_refused_and_not_kept(
    upload: Callable[..., Any], settings: Settings, content: bytes
) -> None:
    before = stored(settings)
    assert fields(refused(upload(content), 422)) == [(None, "body")]
    assert stored(settings) == before


def test_a_file_over_the_limit_is_refused_and_not_kept(
    upload: Callable[..., Any], settings: Settings
) -> None:
    before = stored(settings)
    refused(upload(picture("PNG") + b"\x00" * 200_000), 413)
    assert stored(settings) == before


def test_the_plans_storage_is_not_passed(
    client: httpx.Client, sign: Callable[..., Headers], database: Database, settings: Settings, acme: Tenant
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        limits = {"limits": {"storage_gb": {"amount": 0}}}
        session.execute(update(Organization).values(plan_overrides=limits))
    tenant = load_tenant(database, acme.organization_id)
    assert tenant is not None
    before = stored(settings)
    answer = client.post(MEDIA, content=picture(), headers=sign(tenant))
    assert "storage_gb" in refused(answer, 403)["error"]
    assert stored(settings) == before


def test_another_tenants_media_do_not_exist(
    client: httpx.Client, as_globex: Headers, upload: Callable[..., Any]
) -> None:
    medium = upload(picture()).json()
    for verb, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
        refused(client.request(verb, f"{MEDIA}/{medium['id']}{path}", headers=as_globex), 404)
    assert client.get(MEDIA, headers=as_globex).json()["items"] == []
    account = client.post(
        "/api/v1/social/accounts",
        json={"platform": "bluesky", "handle": "globex.test", "access_token": "t"},
        headers=as_globex,
    ).json()
    body = {"account_id": account["id"], "text": "mine", "media": [{"asset_id": medium["id"]}]}
    document = refused(client.post("/api/v1/social/posts", json=body, headers=as_globex), 422)
    assert fields(document) == [(None, "media[0].asset_id")]


@pytest.mark.parametrize("way", ["another tenant's key", "a way up", "a link out", "a linked folder"])
def test_no_stored_key_leads_out_of_the_tenants_own_folder(
    client: httpx.Client,
    as_acme: Headers,
    as_globex: Headers,
    acme: Tenant,
    globex: Tenant,
    upload: Callable[..., Any],
    database: Database,
    settings: Settings,
    way: str,
) -> None:
    """Even a key that got into the row by some other defect is not followed."""
    mine, theirs = upload(picture()).json()["id"], upload(picture("GIF"), as_globex).json()["id"]
    with tenant_session(database, globex.organization_id) as session:
        their_key = session.scalars(
            select(ContentAsset.storage_key).where(ContentAsset.id == UUID(theirs))
        ).one()
    assert their_key is not None
    key, folder = their_key, settings.media_directory
    if way == "a way up":
        key = f"{acme.organization_id}/../{their_key}"
    elif way == "a link out":
        name = uuid4()
        key = f"{acme.organization_id}/ab/{name}"
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).symlink_to(folder / their_key)
    elif way == "a linked folder":
        _, letters, name = their_key.split("/")
        link = folder / str(acme.organization_id) / letters
        if not link.exists():
            link.symlink_to((folder / their_key).parent)
        key = f"{acme.organization_id}/{letters}/{name}"
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(ContentAsset).where(ContentAsset.id == UUID(mine)).values(storage_key=key))
    refused(client.get(f"{MEDIA}/{mine}/file", headers=as_acme), 404)


def test_a_platform_fetches_by_a_signed_address_and_nothing_else(
    client: httpx.Client,
    acme: Tenant,
    globex: Tenant,
    upload: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    medium = UUID(upload(picture()).json()["id"])
    assert public_link(acme.organization_id, medium) is None
    monkeypatch.setenv("GENIUS_PUBLIC_URL", "https://media.example.org")
    get_settings.cache_clear()
    link = public_link(acme.organization_id, medium)
    assert link is not None
    path = link.removeprefix("https://media.example.org")
    assert client.get(path).content == picture()
    for other in (
        path.replace(str(acme.organization_id), str(globex.organization_id)),
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        path.replace(path.split("/")[4], str(int(path.split("/")[4]) + 1)),
    ):
        refused(client.get(other), 404)
    get_settings.cache_clear()


def test_a_removed_medium_is_gone_from_the_disk_and_from_the_meter(
    client: httpx.Client, as_acme: Headers, upload: Callable[..., Any], settings: Settings
) -> None:
    medium = upload(picture(size=(50, 50))).json()
    before = len(stored(settings))
    assert client.delete(f"{MEDIA}/{medium['id']}", headers=as_acme).status_code == 204
    refused(client.get(f"{MEDIA}/{medium['id']}", headers=as_acme), 404)
    assert len(stored(settings)) == before - 1
