"""The core tables, their policies, and the functions they stand on."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from migrations.script import run_file
from models.base import Xid8

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
NEW_ID = sa.text("app.uuid7()")


def organization(table: str) -> sa.Column[UUID]:
    key = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return sa.Column("organization_id", sa.Uuid, key, nullable=False)


def tenant_key(table: str) -> tuple[sa.Column[UUID], sa.Column[UUID]]:
    return organization(table), sa.Column("id", sa.Uuid, server_default=NEW_ID, nullable=False)


def reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{target}.organization_id", f"{target}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def stamp(name: str) -> sa.Column[datetime]:
    return sa.Column(name, MOMENT, server_default=NOW, nullable=False)


def optional_texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def json_object(name: str) -> sa.Column[dict[str, Any]]:
    return sa.Column(name, JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False)


def unique_index(name: str, table: str, columns: list[str], *, where: str) -> None:
    op.create_index(name, table, columns, unique=True, postgresql_where=sa.text(where))


def upgrade() -> None:
    run_file("foundation.sql")
    run_file("seal.sql")
    run_file("protect.sql")
    _create_organizations()
    _create_campaigns()
    _create_leads()
    _create_social()
    _create_analytics()
    _create_audit()
    run_file("audit.sql")
    run_file("event_partitions.sql")
    run_file("analytics.sql")
    run_file("core.sql")
    run_file("tenant.sql")


def downgrade() -> None:
    run_file("drop_core.sql")


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("organization_id", sa.Uuid, server_default=NEW_ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, server_default="active", nullable=False),
        sa.Column("plan", sa.Text, server_default="starter", nullable=False),
        json_object("plan_overrides"),
        sa.Column("time_zone", sa.Text, server_default="UTC", nullable=False),
        sa.Column("pools_training_data", sa.Boolean, server_default="false", nullable=False),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check("organizations_plan", "plan IN ('starter', 'professional', 'enterprise')"),
        check("organizations_status", "status IN ('active', 'inactive', 'suspended')"),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "users",
        *tenant_key("users"),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_norm", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("role", sa.Text, server_default="member", nullable=False),
        sa.Column("status", sa.Text, server_default="active", nullable=False),
        sa.Column("last_seen_at", MOMENT),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check("users_role", "role IN ('owner', 'admin', 'member', 'viewer')"),
        check("users_status", "status IN ('invited', 'active', 'disabled')"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_users")),
    )
    unique_index(
        "uq_users_organization_id_email_norm",
        "users",
        ["organization_id", "email_norm"],
        where="deleted_at IS NULL",
    )
    op.create_table(
        "subscriptions",
        *tenant_key("subscriptions"),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("status", sa.Text, server_default="active", nullable=False),
        sa.Column("anchor_date", sa.Date, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT),
        sa.Column("cancelled_at", MOMENT),
        sa.Column("billing_reference", sa.Text),
        stamp("created_at"),
        stamp("updated_at"),
        check("subscriptions_plan", "plan IN ('starter', 'professional', 'enterprise')"),
        check("subscriptions_status", "status IN ('trialing', 'active', 'past_due', 'cancelled')"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_subscriptions")),
    )
    unique_index(
        "uq_subscriptions_organization_id_current",
        "subscriptions",
        ["organization_id"],
        where="status <> 'cancelled'",
    )
    op.create_table(
        "settings",
        organization("settings"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", JSONB, nullable=False),
        sa.Column("updated_by", sa.Uuid),
        stamp("created_at"),
        stamp("updated_at"),
        reference("settings", "updated_by", "users"),
        sa.PrimaryKeyConstraint("organization_id", "key", name=op.f("pk_settings")),
    )


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        *tenant_key("campaigns"),
        sa.Column("name", sa.Text, nullable=False),
        *optional_texts("description", "objective"),
        sa.Column("status", sa.Text, server_default="draft", nullable=False),
        sa.Column("budget_cents", sa.BigInteger),
        sa.Column("currency", sa.Text),
        sa.Column("starts_at", MOMENT),
        sa.Column("ends_at", MOMENT),
        json_object("attributes"),
        sa.Column("created_by", sa.Uuid),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check(
            "campaigns_status",
            "status IN ('draft', 'scheduled', 'active', 'paused', 'completed', 'archived')",
        ),
        check("campaigns_budget_cents", "budget_cents >= 0"),
        check("campaigns_period", "starts_at < ends_at"),
        reference("campaigns", "created_by", "users"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        "ix_campaigns_active",
        "campaigns",
        ["organization_id", sa.text("created_at DESC")],
        postgresql_where=sa.text("status = 'active' AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_campaigns_status", "campaigns", ["organization_id", "status", sa.text("created_at DESC")]
    )
    op.create_table(
        "content_assets",
        *tenant_key("content_assets"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, server_default="draft", nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        *optional_texts("body", "media_url", "media_type"),
        sa.Column("byte_size", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("tags", ARRAY(sa.Text), server_default=sa.text("'{}'::text[]"), nullable=False),
        json_object("attributes"),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("created_by", sa.Uuid),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check("content_assets_kind", "kind IN ('text', 'image', 'video', 'template')"),
        check("content_assets_status", "status IN ('draft', 'approved', 'archived')"),
        check("content_assets_byte_size", "byte_size >= 0"),
        reference("content_assets", "campaign_id", "campaigns"),
        reference("content_assets", "created_by", "users"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_content_assets")),
    )
    op.create_index(
        "ix_content_assets_created_at",
        "content_assets",
        ["organization_id", "kind", sa.text("created_at DESC")],
    )


def _create_leads() -> None:
    op.create_table(
        "leads",
        *tenant_key("leads"),
        sa.Column("external_id", sa.Text),
        sa.Column("campaign_id", sa.Uuid),
        *optional_texts(
            "email", "email_norm", "first_name", "last_name", "company", "job_title", "phone", "source"
        ),
        sa.Column("status", sa.Text, server_default="new", nullable=False),
        json_object("attributes"),
        sa.Column("score", sa.Double, server_default="0", nullable=False),
        *optional_texts("grade", "bucket"),
        sa.Column("reasons", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("fit", sa.Double, server_default="0", nullable=False),
        sa.Column("engagement", sa.Double, server_default="0", nullable=False),
        sa.Column("engagement_at", MOMENT),
        sa.Column("rules_version", sa.BigInteger),
        sa.Column("last_scored_at", MOMENT),
        sa.Column("converted", sa.Boolean, server_default="false", nullable=False),
        sa.Column("converted_at", MOMENT),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check("leads_status", "status IN ('new', 'contacted', 'qualified', 'converted', 'lost')"),
        check("leads_score", "score BETWEEN 0 AND 100"),
        reference("leads", "campaign_id", "campaigns"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_leads")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_leads_email_norm", "leads", ["organization_id", "email_norm"])
    op.create_index(
        "ix_leads_score", "leads", ["organization_id", sa.text("score DESC"), sa.text("created_at DESC")]
    )
    unique_index(
        "uq_leads_organization_id_external_id",
        "leads",
        ["organization_id", "external_id"],
        where="external_id IS NOT NULL",
    )
    op.create_table(
        "lead_events",
        *tenant_key("lead_events"),
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("points", sa.Double),
        sa.Column("external_id", sa.Text),
        json_object("attributes"),
        stamp("created_at"),
        sa.ForeignKeyConstraint(
            ["organization_id", "lead_id"],
            ["leads.organization_id", "leads.id"],
            name=op.f("fk_lead_events_organization_id_lead_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_lead_events")),
    )
    op.create_index("ix_lead_events_lead", "lead_events", ["organization_id", "lead_id", "occurred_at"])
    unique_index(
        "uq_lead_events_organization_id_external_id",
        "lead_events",
        ["organization_id", "external_id"],
        where="external_id IS NOT NULL",
    )


def _create_social() -> None:
    op.create_table(
        "social_accounts",
        *tenant_key("social_accounts"),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("handle", sa.Text, nullable=False),
        *optional_texts("remote_id", "server_url"),
        sa.Column("status", sa.Text, server_default="active", nullable=False),
        sa.Column("status_detail", sa.Text),
        sa.Column("access_token_encrypted", sa.LargeBinary),
        sa.Column("refresh_token_encrypted", sa.LargeBinary),
        sa.Column("expires_at", MOMENT),
        sa.Column("token_version", sa.BigInteger, server_default="0", nullable=False),
        json_object("attributes"),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check(
            "social_accounts_platform",
            "platform IN ('bluesky', 'mastodon', 'x', 'linkedin', 'facebook', 'instagram', 'threads')",
        ),
        check("social_accounts_status", "status IN ('active', 'needs_reauth', 'paused')"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_social_accounts")),
    )
    unique_index(
        "uq_social_accounts_organization_id_platform_handle",
        "social_accounts",
        ["organization_id", "platform", "handle"],
        where="deleted_at IS NULL",
    )
    op.create_table(
        "social_posts",
        *tenant_key("social_posts"),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default="draft", nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("media", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("scheduled_at", MOMENT),
        sa.Column("job_id", sa.Uuid),
        sa.Column("frozen_body", JSONB),
        sa.Column("provider_key", sa.Text),
        sa.Column("publishing_at", MOMENT),
        sa.Column("published_at", MOMENT),
        *optional_texts("remote_id", "remote_url", "error_class", "error_detail"),
        sa.Column("created_by", sa.Uuid),
        stamp("created_at"),
        stamp("updated_at"),
        sa.Column("deleted_at", MOMENT),
        check(
            "social_posts_platform",
            "platform IN ('bluesky', 'mastodon', 'x', 'linkedin', 'facebook', 'instagram', 'threads')",
        ),
        sa.CheckConstraint(
            "state IN ('draft', 'queued', 'publishing', 'published', 'unknown', 'parked_unconfirmed', "
            "'failed_permanent', 'blocked_reauth', 'cancelled')",
            name=op.f("ck_social_posts_state"),
        ),
        reference("social_posts", "account_id", "social_accounts"),
        reference("social_posts", "campaign_id", "campaigns"),
        reference("social_posts", "created_by", "users"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_social_posts")),
    )
    op.create_index(
        "ix_social_posts_account", "social_posts", ["organization_id", "account_id", "scheduled_at"]
    )
    op.create_index(
        "ix_social_posts_scheduled_at", "social_posts", ["organization_id", "platform", "scheduled_at"]
    )
    unique_index(
        "uq_social_posts_organization_id_account_id_provider_key",
        "social_posts",
        ["organization_id", "account_id", "provider_key"],
        where="provider_key IS NOT NULL",
    )


def _create_analytics() -> None:
    op.create_table(
        "analytics_events",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, server_default=NEW_ID, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("visitor", sa.Text),
        sa.Column("value", sa.Double),
        sa.Column("campaign_id", sa.Uuid),
        json_object("attributes"),
        stamp("received_at"),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", "occurred_at", name=op.f("pk_analytics_events")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index("ix_analytics_events_occurred_at", "analytics_events", ["organization_id", "occurred_at"])
    op.create_index("ix_analytics_events_xid", "analytics_events", ["organization_id", "xid"])
    op.create_table(
        "analytics_event_keys",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        stamp("received_at"),
        sa.PrimaryKeyConstraint("organization_id", "key", name=op.f("pk_analytics_event_keys")),
    )
    op.create_table(
        "analytics_watermarks",
        organization("analytics_watermarks"),
        sa.Column("rollup", sa.Text, nullable=False),
        sa.Column("xid", Xid8(), server_default="0", nullable=False),
        stamp("updated_at"),
        sa.PrimaryKeyConstraint("organization_id", "rollup", name=op.f("pk_analytics_watermarks")),
    )
    op.create_table(
        "analytics_buckets",
        organization("analytics_buckets"),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("visitors", sa.BigInteger, nullable=False),
        sa.Column("value_sum", sa.Double, server_default="0", nullable=False),
        stamp("updated_at"),
        check("analytics_buckets_starts_at", "date_bin('15 minutes', starts_at, 'epoch') = starts_at"),
        sa.PrimaryKeyConstraint("organization_id", "starts_at", "name", name=op.f("pk_analytics_buckets")),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_log",
        *tenant_key("audit_log"),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        json_object("detail"),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        check("audit_log_origin", "origin IN ('database', 'application')"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint(
            "organization_id", "position", name=op.f("uq_audit_log_organization_id_position")
        ),
    )
    op.create_table(
        "audit_heads",
        organization("audit_heads"),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_audit_heads")),
    )
