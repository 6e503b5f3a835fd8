"""The body of `system.export_data`: one archive of everything of an organization, or of one person."""

import mimetypes
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import orjson
from sqlalchemy import Table, Text, cast, false, literal, or_, select
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.orm import Session

from config.settings import get_settings
from models.audit import AuditEntry, alias_of, audit_entries
from models.content import ContentAsset
from models.privacy import PrivacyRequest, RequestState
from models.registry import load_tables
from tasks.catalog import EXPORT_DATA
from tasks.media_store import get_media_store
from tasks.payloads import PrivacyJob
from tasks.privacy.archive import Archive, archive_path, get_archives, remove_archive
from tasks.privacy.asset import mentions
from tasks.privacy.person import Person, Subject
from tasks.privacy.request import change_request, end_request, find_request, read_subject
from tasks.vault import get_vault
from worker.context import Completion, OutsideJob, PermanentJobError
from worker.job import runs

NOT_EXPORTED: Mapping[str, str] = MappingProxyType(
    {
        "audit_log": "in audit.jsonl, with names for pseudonyms",
        "audit_names": "in audit.jsonl",
        "audit_details": "in audit.jsonl",
        "audit_heads": "the last hash of the log, which is in audit.jsonl",
        "analytics_watermarks": "how far the platform has counted",
        "analytics_visitors": "hashes of visitors; the events they were counted from are exported",
        "job_leases": "which worker holds a running job",
        "outbox": "jobs that have no message yet",
        "worker_time_marks": "how far the platform has booked",
        "social_authorizations": "hashes of sign-ins that are under way",
    }
)
"""Table to the reason why it is in no export; every other table of tenants is in each."""

ROWS_AT_ONCE = 1_000


@runs(EXPORT_DATA)
def export(job: OutsideJob, payload: PrivacyJob) -> Completion:
    """Write the archive and say so; run again, it writes the same one anew."""
    organization_id = job.claim.organization_id
    with job.transaction() as session:
        request = find_request(session, payload.request_id)
        if request is None or request.state in (RequestState.SUCCEEDED, RequestState.EXPIRED):
            return Completion({"exported": False})
        change_request(session, payload.request_id, state=RequestState.RUNNING)
        person = _identified(session, request)
    path = archive_path(get_archives(), organization_id, payload.request_id)
    with Archive(path) as archive:
        with job.transaction() as session:
            media = _write_tables(session, archive, person)
        for name, key in media:
            archive.add_file(name, get_media_store().read(organization_id, key))
            job.check()
        written = archive.finish(
            {
                "organization_id": str(organization_id),
                "scope": request.scope,
                "made_at": datetime.now(UTC).isoformat(),
                "left_out": dict(NOT_EXPORTED),
            }
        )
    rows = {entry.name: entry.rows for entry in written.entries if entry.rows}
    with job.transaction() as session:
        request = find_request(session, payload.request_id, lock=True)
        if request is None or request.state != RequestState.RUNNING:  # an erasure began meanwhile
            remove_archive(get_archives(), organization_id, payload.request_id)
            raise PermanentJobError("an erasure began meanwhile: ask for the export again")
        end_request(
            session,
            payload.request_id,
            {"rows": rows, "files": len(written.entries)},
            byte_size=written.size,
            sha256=written.sha256,
            expires_at=datetime.now(UTC) + get_settings().export_kept,
        )
    return Completion({"exported": True, "bytes": written.size})


def _identified(session: Session, request: PrivacyRequest) -> Person | None:
    subject = read_subject(get_vault(), request)
    if request.scope == "person" and subject is None:
        raise PermanentJobError("nobody knows any more whom the request is about")
    return subject.identify(session) if isinstance(subject, Subject) else subject


def _write_tables(session: Session, archive: Archive, person: Person | None) -> list[tuple[str, str]]:
    """Write every table and return the media that go with them: name in the archive and key in the store."""
    # Reading everything may take longer than one statement of a request.
    session.execute(select(sql.set_config("statement_timeout", "30min", literal(value=True))))
    for table in exported_tables():
        archive.add_rows(f"data/{table.name}.jsonl", rows_of(session, table, person))
    archive.add_rows("data/audit.jsonl", _audit(session, person))
    return _media(session, person)


def exported_tables() -> list[Table]:
    """Return every table of tenants that an export holds."""
    return [table for name, table in sorted(load_tables().tables.items()) if name not in NOT_EXPORTED]


def rows_of(session: Session, table: Table, person: Person | None) -> Iterator[str]:
    """Read the rows of a table, those in which the person is found or all."""
    pattern = None if person is None else person.everywhere
    target = cast(literal(f"public.{table.name}"), REGCLASS)
    rows = select(cast(sql.app.rows_of(target, pattern), Text))
    yield from session.scalars(rows.execution_options(yield_per=ROWS_AT_ONCE))


def _audit(session: Session, person: Person | None) -> Iterator[str]:
    entries = audit_entries().order_by(AuditEntry.position)
    if person is not None:
        names = [alias_of(str(one)) for one in (*person.user_ids, *person.lead_ids, *person.words)]
        about = [column == name for name in names for column in (AuditEntry.actor, AuditEntry.subject)]
        entries = entries.where(or_(false(), *about))
    for entry in session.execute(entries.execution_options(yield_per=ROWS_AT_ONCE)).mappings():
        yield orjson.dumps(dict(entry) | {"hash": entry["hash"].hex()}, default=str).decode()


def _media(session: Session, person: Person | None) -> list[tuple[str, str]]:
    assets = select(ContentAsset).where(ContentAsset.storage_key.is_not(None))
    if person is not None:
        assets = assets.where(mentions(person.everywhere))
    found = session.scalars(assets.execution_options(include_deleted=True))
    return [(f"media/{asset.id}{_suffix(asset)}", asset.storage_key or "") for asset in found]


def _suffix(asset: ContentAsset) -> str:
    return mimetypes.guess_extension(asset.media_type or "") or ""
