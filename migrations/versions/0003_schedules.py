"""Recurring schedules and their runs, and what beats report."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.script import run_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create_schedules()
    _create_runs()
    run_file("schedules_policies.sql")
    run_file("schedules.sql")
    run_file("relay_report.sql")


def downgrade() -> None:
    run_file("drop_schedules.sql")


def _moment(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=server_default)


def _create_schedules() -> None:
    organization = sa.ForeignKey("organizations.organization_id", name=op.f("fk_schedules_organization_id"))
    op.create_table(
        "schedules",
        sa.Column("organization_id", sa.Uuid, organization, nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("platform", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("priority", sa.SmallInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("cron", sa.Text),
        sa.Column("interval_seconds", sa.Integer),
        sa.Column("time_zone", sa.Text, nullable=False),
        _moment("starts_at"),
        _moment("ends_at", nullable=True),
        sa.Column("jitter_seconds", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("overlap", sa.Text, server_default="skip", nullable=False),
        sa.Column("catch_up_seconds", sa.Integer, server_default=sa.text("3600"), nullable=False),
        sa.Column("paused", sa.Boolean, server_default=sa.text("false"), nullable=False),
        _moment("next_nominal", nullable=True),
        _moment("buffered_nominal", nullable=True),
        sa.Column("revision", sa.Integer, server_default=sa.text("1"), nullable=False),
        sa.Column("created_by", sa.Uuid),
        _moment("created_at", default="now()"),
        _moment("updated_at", default="now()"),
        _moment("deleted_at", nullable=True),
        sa.CheckConstraint(
            "overlap IN ('skip', 'buffer_one', 'allow_all')", name=op.f("ck_schedules_overlap")
        ),
        sa.CheckConstraint("num_nonnulls(cron, interval_seconds) = 1", name=op.f("ck_schedules_timing")),
        sa.CheckConstraint("interval_seconds >= 60", name=op.f("ck_schedules_interval_seconds")),
        sa.CheckConstraint("jitter_seconds >= 0", name=op.f("ck_schedules_jitter_seconds")),
        sa.CheckConstraint("catch_up_seconds >= 60", name=op.f("ck_schedules_catch_up_seconds")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_schedules_period")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_schedules")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_schedules_due", "schedules", ["next_nominal"], postgresql_where=sa.text("NOT paused"))
    op.create_index(
        "ix_schedules_buffered",
        "schedules",
        ["buffered_nominal"],
        postgresql_where=sa.text("buffered_nominal IS NOT NULL AND NOT paused"),
    )
    op.create_index(
        "uq_schedules_organization_id_platform",
        "schedules",
        ["organization_id", "platform"],
        unique=True,
        postgresql_where=sa.text("platform IS NOT NULL"),
    )


def _create_runs() -> None:
    op.create_table(
        "schedule_runs",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("schedule_id", sa.Uuid, nullable=False),
        _moment("nominal_time"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("job_id", sa.Uuid),
        sa.Column("open", sa.Boolean, server_default=sa.text("false"), nullable=False),
        _moment("recorded_at", default="clock_timestamp()"),
        sa.CheckConstraint(
            "state IN ('fired', 'buffered', 'skipped', 'missed')", name=op.f("ck_schedule_runs_state")
        ),
        sa.CheckConstraint(
            "trigger IN ('schedule', 'manual', 'backfill')", name=op.f("ck_schedule_runs_trigger")
        ),
        sa.CheckConstraint("(state = 'fired') = (job_id IS NOT NULL)", name=op.f("ck_schedule_runs_job_id")),
        sa.ForeignKeyConstraint(
            ["organization_id", "schedule_id"],
            ["schedules.organization_id", "schedules.id"],
            name=op.f("fk_schedule_runs_organization_id_schedule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "schedule_id", "nominal_time", name=op.f("pk_schedule_runs")
        ),
    )
    op.create_index(
        "ix_schedule_runs_open",
        "schedule_runs",
        ["organization_id", "schedule_id"],
        postgresql_where=sa.text("open"),
    )
