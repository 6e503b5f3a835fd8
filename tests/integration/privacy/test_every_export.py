"""Every table of tenants is in the export and in the audit log, or stands on a list with its reason."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from models.content import ContentAsset
from models.organization import Tenant, load_tenant
from models.session import Database, tenant_session
from ops.stack import PostgresUrls
from tasks.media_store import get_media_store, key_of
from tasks.privacy.archive import archive_path, get_archives
from tasks.privacy.export import NOT_EXPORTED
from tasks.privacy.person import Subject
from tests.support.rows import attackable_tables, fill

Export = Callable[[Tenant, Subject | None], UUID]

NOT_AUDITED = {
    "alerts": "raised by the platform, not by people; itself a record",
    "alert_deliveries": "a log of its own",
    "delivery_attempts": "a log of its own, append-only",
    "analytics_buckets": "counted from events",
    "analytics_days": "counted from events",
    "analytics_event_keys": "came with events",
    "analytics_events": "a log of what visitors did; erasures of it are audited",
    "analytics_visitors": "counted from events",
    "analytics_watermarks": "how far the platform has counted",
    "audit_details": "the log itself",
    "audit_heads": "the log itself",
    "audit_log": "the log itself",
    "audit_names": "the log itself",
    "dead_letters": "written by the engine; job_events tells the story",
    "idempotency_keys": "written by the engine",
    "job_events": "a log of its own, append-only",
    "job_expiries": "written by the engine",
    "job_history": "written by the engine; job_events tells the story",
    "job_leases": "written by the engine",
    "job_waits": "written by the engine",
    "jobs": "written by the engine; job_events tells the story",
    "lead_changes": "which leads are to be scored",
    "lead_events": "a log of what leads did, append-only",
    "organization_stops": "a brake for a moment; the change of the organization is audited",
    "outbox": "written by the engine",
    "privacy_requests": "each is audited as privacy.export or privacy.erasure, and its proof",
    "quota_periods": "counted from the ledger",
    "quota_reservations": "written by the engine",
    "reports": "snapshots that nobody changes",
    "schedule_runs": "a log of its own",
    "social_authorizations": "sign-ins under way; what comes of one is an audited account",
    "usage_alerts": "raised by the platform",
    "usage_ledger": "a log of its own, append-only",
    "worker_time_marks": "how far the platform has booked",
}
"""Table to the reason why its changes are not in the audit log."""


@pytest.fixture
def acme(database: Database) -> Tenant:
    """An organization with a row in every table."""
    organization_id = uuid7()
    with tenant_session(database, organization_id, actor="ann") as session:
        fill(session, organization_id)
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def opened(tenant: Tenant, request_id: UUID) -> zipfile.ZipFile:
    path = archive_path(get_archives(), tenant.organization_id, request_id)
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


def lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


def test_every_table_is_exported_or_excused(acme: Tenant, exported: Export) -> None:
    archive = opened(acme, exported(acme, None))
    names = set(archive.namelist())
    for table in attackable_tables():
        file = f"data/{table.name}.jsonl"
        if table.name in NOT_EXPORTED:
            assert file not in names
        else:
            assert len(lines(archive, file)) >= 1, f"{table.name}: export it, or say in NOT_EXPORTED why not"
    assert {table.name for table in attackable_tables()} >= set(NOT_EXPORTED), "a table that there is not"
    actions = [entry["action"] for entry in lines(archive, "data/audit.jsonl")]
    assert "leads.insert" in actions


def test_every_table_is_audited_or_excused(acme: Tenant, database_urls: PostgresUrls) -> None:
    assert acme
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        rows = connection.execute(
            "SELECT tgrelid::regclass::text, array_agg(tgname::text ORDER BY tgname) FROM pg_trigger"
            " WHERE tgname LIKE 'audited\\_%' AND tgenabled <> 'D' GROUP BY 1"
        ).fetchall()
    audited: dict[str, list[str]] = dict(rows)
    wanted = {table.name for table in attackable_tables()} - set(NOT_AUDITED)
    assert set(audited) == wanted, "call app.audited in the revision, or say in NOT_AUDITED why not"
    assert all(len(triggers) == 3 for triggers in audited.values())


def test_every_column_of_an_audited_table_is_in_its_triggers_or_holds_bytes(
    acme: Tenant, database_urls: PostgresUrls
) -> None:
    assert acme
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        rows = connection.execute(
            "SELECT tgrelid::regclass::text, tgargs FROM pg_trigger WHERE tgname = 'audited_update'"
        ).fetchall()
    arguments = {table: args.decode().split("\x00")[:4] for table, args in rows}
    secret = [
        (table, column)
        for table, (_, plain, beside, _) in arguments.items()
        for column in [*plain.split(","), *beside.split(",")]
        if any(word in column for word in ("encrypted", "hash", "secret", "token"))
    ]
    assert secret == [], "no secret goes into the log"


def test_an_export_says_what_each_file_is_and_holds_media(
    acme: Tenant, database: Database, exported: Export, folders: object
) -> None:
    assert folders
    key = key_of(acme.organization_id, uuid7())
    path = get_media_store().path(acme.organization_id, key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a picture")
    with tenant_session(database, acme.organization_id) as session:
        picture = {"kind": "image", "title": "of Lea", "media_type": "image/png", "storage_key": key}
        session.add(ContentAsset(organization_id=acme.organization_id, **picture))

    archive = opened(acme, exported(acme, None))

    manifest = json.loads(archive.read("manifest.json"))
    assert {file["name"] for file in manifest["files"]} == set(archive.namelist()) - {"manifest.json"}
    for file in manifest["files"]:
        assert hashlib.sha256(archive.read(file["name"])).hexdigest() == file["sha256"], file["name"]
    assert manifest["left_out"] == dict(NOT_EXPORTED)
    [medium] = [name for name in archive.namelist() if name.startswith("media/")]
    assert medium.endswith(".png")
    assert archive.read(medium) == b"a picture"


def test_the_export_of_a_person_has_what_is_known_of_them_and_of_nobody_else(
    acme: Tenant, database: Database, exported: Export
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        session.execute(
            text(
                "INSERT INTO leads (organization_id, email, email_norm) VALUES"
                " (app.sealed_tenant(), 'bo@b.example', 'bo@b.example')"
            )
        )
    archive = opened(acme, exported(acme, Subject(email="Lea@example.org")))
    assert [lead["email"] for lead in lines(archive, "data/leads.jsonl")] == ["lea@example.org"]
    assert len(lines(archive, "data/lead_events.jsonl")) == 1, "found by the lead's id"
    assert lines(archive, "data/users.jsonl") == []
    assert [entry["action"] for entry in lines(archive, "data/audit.jsonl")] == ["leads.insert"]
    assert b"bo@b.example" not in b"".join(archive.read(name) for name in archive.namelist())


def test_no_secret_is_in_an_export(acme: Tenant, exported: Export) -> None:
    archive = opened(acme, exported(acme, None))
    keys = {
        key
        for name in archive.namelist()
        if name.endswith(".jsonl")
        for row in lines(archive, name)
        for key in row
    }
    assert not [key for key in keys if "encrypted" in key or key.endswith("_hash")]
