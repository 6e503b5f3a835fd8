"""Quota accounting in full."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from migrations.script import run_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for column in ("carried", "drift"):
        op.add_column(
            "quota_periods", sa.Column(column, sa.BigInteger, server_default=sa.text("0"), nullable=False)
        )
    op.add_column("quota_reservations", sa.Column("expires_at", sa.DateTime(timezone=True)))
    _create_marks()
    _create_alerts()
    run_file("quota_accounting.sql")


def downgrade() -> None:
    run_file("drop_quota.sql")
    op.execute("SELECT app.protect_relay('public.quota_periods', '{}')")
    op.execute("DROP POLICY relay ON public.quota_periods")
    op.drop_column("quota_reservations", "expires_at")
    for column in ("drift", "carried"):
        op.drop_column("quota_periods", column)
    run_file("quota.sql")


def _organization(table: str) -> sa.Column[UUID]:
    key = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return sa.Column("organization_id", sa.Uuid, key, nullable=False)


def _moment(name: str, *, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=server_default, nullable=False)


def _create_marks() -> None:
    op.create_table(
        "worker_time_marks",
        _organization("worker_time_marks"),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("counted_us", sa.BigInteger, nullable=False),
        _moment("updated_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_worker_time_marks")),
    )


def _create_alerts() -> None:
    op.create_table(
        "usage_alerts",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        _moment("period_start"),
        _moment("period_end"),
        sa.Column("threshold", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        _moment("raised_at", default="clock_timestamp()"),
        sa.CheckConstraint("threshold IN (80, 100)", name=op.f("ck_usage_alerts_threshold")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_usage_alerts")),
        sa.UniqueConstraint(
            "organization_id",
            "meter",
            "period_start",
            "threshold",
            name=op.f("uq_usage_alerts_organization_id_meter_period_start_threshold"),
        ),
    )
