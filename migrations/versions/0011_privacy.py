"""What the law asks for: an audit log that can forget, export, erasure, residency."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.online import hold_tables
from migrations.script import run_file, run_file_again

revision = "0011"
down_revision = "0010"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    hold_tables()
    op.add_column("organizations", sa.Column("region", sa.Text, server_default="default", nullable=False))
    op.add_column("audit_log", sa.Column("digest", sa.LargeBinary))
    _create_audit()
    _create_requests()
    run_file("privacy_audit.sql")
    run_file("privacy_erasure.sql")
    run_file("privacy_region.sql")
    run_file("privacy_tables.sql")


def downgrade() -> None:
    run_file("drop_privacy.sql")
    op.drop_column("audit_log", "digest")
    op.drop_column("organizations", "region")
    run_file_again("audit.sql")


def _create_audit() -> None:
    op.create_table(
        "audit_names",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_audit_names")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_audit_names_organization_id_name")),
    )
    op.create_table(
        "audit_details",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_audit_details")),
    )
    op.create_index("ix_audit_details_request_id", "audit_details", ["organization_id", "request_id"])


def _create_requests() -> None:
    table = "privacy_requests"
    op.create_table(
        table,
        *_key(table),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "scope")),
        sa.Column("state", sa.Text, server_default="queued", nullable=False),
        sa.Column("subject_encrypted", sa.LargeBinary),
        sa.Column("job_id", sa.Uuid),
        sa.Column("progress", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("outcome", JSONB),
        sa.Column("byte_size", sa.BigInteger),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("finished_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        _one_of(table, "kind", "export", "erasure"),
        _one_of(table, "scope", "person", "organization"),
        _one_of(table, "state", "queued", "running", "succeeded", "failed", "expired"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{table}")),
    )
    op.create_index(f"ix_{table}_kind", table, ["organization_id", "kind", "id"])


def _key(table: str) -> tuple[sa.Column[UUID], sa.Column[Any]]:
    owner = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return (
        sa.Column("organization_id", sa.Uuid, owner, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
    )


def _one_of(table: str, column: str, *members: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{member}'" for member in members)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=op.f(f"ck_{table}_{column}"))
