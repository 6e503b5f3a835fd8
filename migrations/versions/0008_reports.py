"""Tenant health, reports and alerts."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from migrations.script import run_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    _create_reports()
    _create_alerts()
    _create_receivers()
    _create_deliveries()
    run_file("reports.sql")


def downgrade() -> None:
    run_file("drop_reports.sql")


def _key(table: str) -> tuple[sa.Column[UUID], sa.Column[UUID], sa.PrimaryKeyConstraint]:
    organization = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return (
        sa.Column("organization_id", sa.Uuid, organization, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{table}")),
    )


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _moment(name: str, *, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=default is None, server_default=server_default
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(
        "organization_id", *columns, name=op.f(f"uq_{table}_organization_id_{'_'.join(columns)}")
    )


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{target}.organization_id", f"{target}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def _create_reports() -> None:
    op.create_table(
        "reports",
        *_key("reports"),
        *_texts("grain"),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        *_texts("time_zone"),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("shape_version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        *_texts("document", "csv", "html"),
        sa.Column("job_id", sa.Uuid),
        _moment("produced_at", default="clock_timestamp()"),
        _check("reports", "grain", "grain IN ('week', 'month')"),
        _check("reports", "period", "first_day <= last_day"),
        _check("reports", "revision", "revision >= 1"),
        _unique("reports", "grain", "first_day", "revision"),
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        *_key("alerts"),
        *_texts("condition", "subject"),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        *_texts("severity", "title"),
        sa.Column("evidence", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        _moment("raised_at", default="clock_timestamp()"),
        _moment("resolved_at"),
        sa.Column("recurrences", sa.Integer, server_default=sa.text("0"), nullable=False),
        _check("alerts", "condition", "condition IN ('quota', 'account', 'dead_letters', 'cadence')"),
        _check("alerts", "severity", "severity IN ('warning', 'critical')"),
        _unique("alerts", "condition", "subject", "period_start"),
    )
    op.create_index(
        "uq_alerts_organization_id_open",
        "alerts",
        ["organization_id", "condition", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def _receiver() -> list[sa.Column[Any]]:
    return [
        sa.Column("conditions", ARRAY(sa.Text), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("paused", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("paused_reason", sa.Text),
        _moment("created_at", default="now()"),
        _moment("updated_at", default="now()"),
        _moment("deleted_at"),
    ]


def _create_receivers() -> None:
    op.create_table(
        "webhook_endpoints",
        *_key("webhook_endpoints"),
        *_texts("url"),
        *_texts("description", nullable=True),
        sa.Column("secret_encrypted", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret_encrypted", sa.LargeBinary),
        _moment("previous_until"),
        *_receiver(),
    )
    op.create_table(
        "email_recipients",
        *_key("email_recipients"),
        *_texts("email", "email_norm"),
        *_texts("name", nullable=True),
        *_receiver(),
    )
    op.create_index(
        "uq_email_recipients_organization_id_email_norm",
        "email_recipients",
        ["organization_id", "email_norm"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "alert_deliveries",
        *_key("alert_deliveries"),
        *(sa.Column(name, sa.Uuid) for name in ("alert_id", "endpoint_id", "recipient_id")),
        *_texts("event", "body"),
        sa.Column("state", sa.Text, server_default="pending", nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        *_texts("error", nullable=True),
        _moment("ended_at"),
        _moment("created_at", default="now()"),
        _check("alert_deliveries", "event", "event IN ('alert.raised', 'alert.resolved', 'alert.test')"),
        _check("alert_deliveries", "state", "state IN ('pending', 'delivered', 'failed', 'cancelled')"),
        _check("alert_deliveries", "receiver", "num_nonnulls(endpoint_id, recipient_id) > 0"),
        _reference("alert_deliveries", "alert_id", "alerts"),
        _reference("alert_deliveries", "endpoint_id", "webhook_endpoints"),
        _reference("alert_deliveries", "recipient_id", "email_recipients"),
    )
    op.create_index(
        "ix_alert_deliveries_pending",
        "alert_deliveries",
        ["organization_id", "id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "delivery_attempts",
        *_key("delivery_attempts"),
        sa.Column("delivery_id", sa.Uuid, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        _moment("at", default="clock_timestamp()"),
        sa.Column("status", sa.Integer),
        *_texts("error", nullable=True),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        _reference("delivery_attempts", "delivery_id", "alert_deliveries"),
    )
    op.create_index(
        "ix_delivery_attempts_delivery", "delivery_attempts", ["organization_id", "delivery_id", "id"]
    )
