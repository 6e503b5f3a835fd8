"""Social accounts and posts in full."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.script import run_file

revision = "0004"
down_revision = "0003"

PLATFORMS = "platform IN ('bluesky', 'mastodon', 'x', 'linkedin', 'facebook', 'instagram', 'threads')"
STATES = (
    "draft",
    "queued",
    "publishing",
    "published",
    "unknown",
    "parked_unconfirmed",
    "failed_permanent",
    "blocked_reauth",
    "cancelled",
)
BY_HANDLE = "uq_social_accounts_organization_id_platform_handle"
BY_REMOTE_ID = "uq_social_accounts_organization_id_platform_remote_id"
NEW_STATES = ("failed", "removing", "removed")


def upgrade() -> None:
    op.add_column("social_accounts", _moment("rate_limited_until"))
    op.drop_index(BY_HANDLE, "social_accounts")
    _unique_account(BY_HANDLE, "handle", where="deleted_at IS NULL AND remote_id IS NULL")
    _unique_account(BY_REMOTE_ID, "remote_id", where="deleted_at IS NULL AND remote_id IS NOT NULL")
    for column in _post_columns():
        op.add_column("social_posts", column)
    for column in _asset_columns():
        op.add_column("content_assets", column)
    op.create_index(
        "uq_social_posts_organization_id_request_key",
        "social_posts",
        ["organization_id", "request_key", "account_id"],
        unique=True,
        postgresql_where=sa.text("request_key IS NOT NULL"),
    )
    _allow_states(*STATES, *NEW_STATES)
    _create_authorizations()
    _create_clients()
    run_file("social.sql")


def downgrade() -> None:
    op.drop_table("social_clients")
    op.drop_table("social_authorizations")
    _allow_states(*STATES)
    op.drop_index("uq_social_posts_organization_id_request_key", "social_posts")
    for column in _asset_columns():
        op.drop_column("content_assets", column.name)
    for column in _post_columns():
        op.drop_column("social_posts", column.name)
    op.drop_column("social_accounts", "rate_limited_until")
    for name in (BY_REMOTE_ID, BY_HANDLE):
        op.drop_index(name, "social_accounts")
    _unique_account(BY_HANDLE, "handle", where="deleted_at IS NULL")


def _unique_account(name: str, column: str, *, where: str) -> None:
    op.create_index(
        name,
        "social_accounts",
        ["organization_id", "platform", column],
        unique=True,
        postgresql_where=sa.text(where),
    )


def _moment(name: str, *, nullable: bool = True) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _created_at(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _post_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("group_id", sa.Uuid),
        sa.Column("revision", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("uploads", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("request_key", sa.Text),
        sa.Column("request_fingerprint", sa.Text),
        sa.Column("metrics", JSONB),
        _moment("metrics_at"),
        sa.Column("decided_by", sa.Text),
        _moment("decided_at"),
    ]


def _asset_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("storage_key", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("alt_text", sa.Text),
    ]


def _allow_states(*states: str) -> None:
    """Rows in states that an older version does not know keep it from coming back: that is meant."""
    op.drop_constraint(op.f("ck_social_posts_state"), "social_posts")
    listed = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint(op.f("ck_social_posts_state"), "social_posts", f"state IN ({listed})")


def _tenant_key(table: str) -> tuple[sa.Column[UUID], sa.Column[UUID]]:
    organization = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return (
        sa.Column("organization_id", sa.Uuid, organization, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
    )


def _create_authorizations() -> None:
    op.create_table(
        "social_authorizations",
        *_tenant_key("social_authorizations"),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("server_url", sa.Text),
        sa.Column("account_id", sa.Uuid),
        sa.Column("state_hash", sa.LargeBinary, nullable=False),
        sa.Column("verifier_encrypted", sa.LargeBinary),
        sa.Column("redirect_url", sa.Text, nullable=False),
        _moment("expires_at", nullable=False),
        _created_at("created_at"),
        sa.CheckConstraint(PLATFORMS, name=op.f("ck_social_authorizations_platform")),
        sa.ForeignKeyConstraint(
            ["organization_id", "account_id"],
            ["social_accounts.organization_id", "social_accounts.id"],
            name=op.f("fk_social_authorizations_organization_id_account_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_social_authorizations")),
    )
    op.create_index(
        "ix_social_authorizations_expires_at", "social_authorizations", ["organization_id", "expires_at"]
    )


def _create_clients() -> None:
    op.create_table(
        "social_clients",
        *_tenant_key("social_clients"),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("server_url", sa.Text, nullable=False),
        sa.Column("redirect_url", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("client_secret_encrypted", sa.LargeBinary, nullable=False),
        _created_at("created_at"),
        _created_at("updated_at"),
        sa.CheckConstraint(PLATFORMS, name=op.f("ck_social_clients_platform")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_social_clients")),
        sa.UniqueConstraint(
            "organization_id",
            "platform",
            "server_url",
            "redirect_url",
            name=op.f("uq_social_clients_organization_id_platform_server_url_redirect_url"),
        ),
    )
