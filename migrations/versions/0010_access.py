"""Who may call: API keys and revoked tokens."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from migrations.online import hold_tables
from migrations.script import run_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    hold_tables()
    _create_api_keys()
    _create_revocations()
    for table in ("api_keys", "revocations"):
        _index(table)
    _create_stops()
    run_file("access.sql")


def downgrade() -> None:
    run_file("drop_access.sql")


def _key(table: str) -> tuple[sa.Column[UUID], sa.Column[UUID], sa.PrimaryKeyConstraint]:
    organization = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return (
        sa.Column("organization_id", sa.Uuid, organization, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{table}")),
    )


def _moment(name: str, *, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=default is None, server_default=server_default
    )


def _index(table: str) -> None:
    """Lists go by the moment of creation."""
    name = f"ix_{table}_organization_id_created_at_id"
    op.create_index(name, table, ["organization_id", "created_at", "id"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        *_key("api_keys"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary),
        _moment("previous_until"),
        _moment("rotated_at"),
        _moment("expires_at"),
        _moment("last_used_at"),
        _moment("revoked_at"),
        sa.Column("created_by", sa.Text, nullable=False),
        _moment("created_at", default="now()"),
        _moment("updated_at", default="now()"),
        sa.CheckConstraint("length(secret_hash) = 32", name=op.f("ck_api_keys_secret_hash")),
        sa.CheckConstraint(
            "(previous_hash IS NULL) = (previous_until IS NULL)", name=op.f("ck_api_keys_previous")
        ),
    )


def _create_revocations() -> None:
    op.create_table(
        "revocations",
        *_key("revocations"),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        _moment("issued_before"),
        _moment("expires_at"),
        sa.Column("reason", sa.Text),
        sa.Column("revoked_by", sa.Text, nullable=False),
        _moment("created_at", default="now()"),
        sa.CheckConstraint("target IN ('token', 'user', 'organization')", name=op.f("ck_revocations_target")),
        sa.CheckConstraint(
            "(target = 'token') = (issued_before IS NULL)", name=op.f("ck_revocations_moment")
        ),
        sa.CheckConstraint("(target = 'organization') = (subject = '')", name=op.f("ck_revocations_subject")),
        sa.UniqueConstraint(
            "organization_id", "target", "subject", name=op.f("uq_revocations_organization_id_target_subject")
        ),
    )


def _create_stops() -> None:
    organization = sa.ForeignKey(
        "organizations.organization_id", name=op.f("fk_organization_stops_organization_id")
    )
    op.create_table(
        "organization_stops",
        sa.Column("organization_id", sa.Uuid, organization, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_organization_stops")),
    )
