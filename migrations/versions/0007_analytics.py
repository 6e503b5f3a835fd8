"""Analytics in full: channels and posts, marks of visitors, days in the organization's zone."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BIT

from migrations.script import run_file
from models.base import Xid8

revision = "0007"
down_revision = "0006"

NIL = "'00000000-0000-0000-0000-000000000000'"


def upgrade() -> None:
    op.add_column("analytics_events", sa.Column("channel", sa.Text))
    op.add_column("analytics_events", sa.Column("post_id", sa.Uuid))
    op.add_column("analytics_event_keys", sa.Column("event_id", sa.Uuid))
    op.add_column("analytics_event_keys", _moment("occurred_at", nullable=True))
    # Derived from raw events: the next pass counts everything again, since there is no watermark.
    _drop("analytics_buckets", "analytics_watermarks")
    _create_watermarks(
        sa.Column("time_zone", sa.Text, server_default="UTC", nullable=False),
        _moment("raw_from", nullable=True),
    )
    _create_buckets()
    _create_visitors()
    _create_days()
    run_file("analytics_rollup.sql")
    run_file("analytics_reading.sql")
    run_file("analytics_months.sql")


def downgrade() -> None:
    run_file("drop_analytics_rollup.sql")
    run_file("event_partitions.sql")
    _drop("analytics_days", "analytics_visitors", "analytics_buckets", "analytics_watermarks")
    _create_watermarks()
    op.create_table(
        "analytics_buckets",
        _organization("analytics_buckets"),
        _moment("starts_at"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("visitors", sa.BigInteger, nullable=False),
        sa.Column("value_sum", sa.Double, server_default="0", nullable=False),
        _moment("updated_at", default="now()"),
        _quarters_only(),
        sa.PrimaryKeyConstraint("organization_id", "starts_at", "name", name=op.f("pk_analytics_buckets")),
    )
    for table in ("analytics_watermarks", "analytics_buckets"):
        op.execute(f"SELECT app.protect('public.{table}')")
    op.execute("SELECT app.protect('public.analytics_event_keys', ARRAY['select', 'insert', 'delete'])")
    op.drop_column("analytics_event_keys", "occurred_at")
    op.drop_column("analytics_event_keys", "event_id")
    op.drop_column("analytics_events", "post_id")
    op.drop_column("analytics_events", "channel")


def _drop(*tables: str) -> None:
    for table in tables:
        op.drop_table(table)


def _organization(table: str) -> sa.Column[UUID]:
    key = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return sa.Column("organization_id", sa.Uuid, key, nullable=False)


def _moment(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=server_default)


def _quarters_only() -> sa.CheckConstraint:
    condition = "date_bin('15 minutes', starts_at, 'epoch') = starts_at"
    return sa.CheckConstraint(condition, name=op.f("ck_analytics_buckets_starts_at"))


def _create_watermarks(*columns: sa.Column[str] | sa.Column[datetime]) -> None:
    op.create_table(
        "analytics_watermarks",
        _organization("analytics_watermarks"),
        sa.Column("rollup", sa.Text, nullable=False),
        sa.Column("xid", Xid8(), server_default="0", nullable=False),
        *columns,
        _moment("updated_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", "rollup", name=op.f("pk_analytics_watermarks")),
    )


def _cell() -> list[sa.Column[str] | sa.Column[UUID]]:
    return [
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("campaign_id", sa.Uuid, server_default=sa.text(NIL), nullable=False),
        sa.Column("channel", sa.Text, server_default="", nullable=False),
        sa.Column("post_id", sa.Uuid, server_default=sa.text(NIL), nullable=False),
    ]


def _create_buckets() -> None:
    key = ("organization_id", "starts_at", "name", "campaign_id", "channel", "post_id")
    op.create_table(
        "analytics_buckets",
        _organization("analytics_buckets"),
        _moment("starts_at"),
        *_cell(),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("value_sum", sa.Double, server_default="0", nullable=False),
        _quarters_only(),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_analytics_buckets")),
    )


def _create_visitors() -> None:
    key = ("organization_id", "day", "visitor", "name", "campaign_id", "channel", "post_id")
    op.create_table(
        "analytics_visitors",
        # No foreign key: each insert would lock the organization, and the policy checks it anyway.
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("visitor", sa.BigInteger, autoincrement=False, nullable=False),
        *_cell(),
        sa.Column("quarters", BIT(96), nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_analytics_visitors")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("ix_analytics_visitors_visitor", "analytics_visitors", ["organization_id", "visitor"])


def _create_days() -> None:
    key = ("organization_id", "dimension", "day", "name", "member")
    op.create_table(
        "analytics_days",
        _organization("analytics_days"),
        sa.Column("dimension", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("value_sum", sa.Double, nullable=False),
        sa.Column("visitors", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("sketch", sa.LargeBinary),
        sa.CheckConstraint(
            "dimension IN ('total', 'campaign', 'channel', 'post')", name=op.f("ck_analytics_days_dimension")
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_analytics_days")),
        postgresql_with={"fillfactor": "80"},
    )
