"""Jobs, the narrow tables beside them, and plan quota."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.script import run_file

revision = "0002"
down_revision = "0001"

SCRIPTS = ("history", "jobs_policies", "quota", "jobs_submit", "jobs_run", "jobs_brief", "jobs_end", "relay")


def upgrade() -> None:
    _create_jobs()
    _create_side_tables()
    _create_waits()
    _create_quota()
    for script in SCRIPTS:
        run_file(f"{script}.sql")


def downgrade() -> None:
    run_file("drop_jobs.sql")


def _moment(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[datetime]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=server_default)


def _job_key() -> list[sa.Column[UUID]]:
    return [sa.Column(name, sa.Uuid, nullable=False) for name in ("organization_id", "job_id")]


def _job_columns() -> list[sa.Column[Any]]:
    """Return the columns of a job, alive or in the history: one is copied to the other in their order."""
    return [
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("attempts_per_life", sa.Integer, nullable=False),
        _moment("run_at", nullable=True),
        _moment("created_at", default="now()"),
        _moment("started_at", nullable=True),
        _moment("finished_at", nullable=True),
        sa.Column("cancel_requested", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("meter", sa.Text),
        sa.Column("result", JSONB),
        sa.Column("error", JSONB),
        sa.Column("requested_by", sa.Uuid),
        sa.Column("request_id", sa.Text),
        _moment("expires_at", nullable=True),
        sa.Column("after_id", sa.Uuid),
    ]


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        *_job_columns(),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_jobs"),
        sa.CheckConstraint(
            "state IN ('scheduled', 'queued', 'running', 'succeeded', 'dead', 'cancelled')",
            name="ck_jobs_state",
        ),
        sa.CheckConstraint("attempt BETWEEN 0 AND max_attempts", name="ck_jobs_attempt"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "job_history",
        *_job_columns(),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_job_history"),
        sa.CheckConstraint("state IN ('succeeded', 'dead', 'cancelled')", name="ck_job_history_state"),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_job_history_state", "job_history", ["organization_id", "state", "id"])
    op.create_index("ix_job_history_kind", "job_history", ["organization_id", "kind", "id"])


def _create_side_tables() -> None:
    op.create_table(
        "job_events",
        *_job_key(),
        sa.Column("id", sa.Uuid, nullable=False),
        _moment("at", default="clock_timestamp()"),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("detail", JSONB),
        sa.PrimaryKeyConstraint("organization_id", "job_id", "id", name="pk_job_events"),
        postgresql_partition_by="RANGE (job_id)",
    )
    op.create_table(
        "job_leases",
        *_job_key(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        _moment("leased_until"),
        sa.PrimaryKeyConstraint("organization_id", "job_id", name="pk_job_leases"),
    )
    op.create_table(
        "outbox",
        *_job_key(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        _moment("due_at", nullable=True),
        _moment("created_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", "job_id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"])
    op.create_table(
        "dead_letters",
        *_job_key(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", JSONB),
        _moment("died_at", default="now()"),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "job_id", name="pk_dead_letters"),
    )
    op.create_index(
        "ix_dead_letters_fingerprint", "dead_letters", ["organization_id", "fingerprint", "job_id"]
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        _moment("created_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", "key", name="pk_idempotency_keys"),
    )


def _create_waits() -> None:
    op.create_table(
        "job_waits",
        *_job_key(),
        sa.Column("after_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "job_id", name="pk_job_waits"),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                ["jobs.organization_id", "jobs.id"],
                name=op.f(f"fk_job_waits_organization_id_{column}"),
            )
            for column in ("job_id", "after_id")
        ),
    )
    op.create_index("ix_job_waits_after_id", "job_waits", ["organization_id", "after_id"])
    op.create_table(
        "job_expiries",
        *_job_key(),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("organization_id", "job_id", name="pk_job_expiries"),
    )
    op.create_index("ix_job_expiries_expires_at", "job_expiries", ["expires_at"])


def _create_quota() -> None:
    op.create_table(
        "quota_periods",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        _moment("period_start"),
        _moment("period_end"),
        sa.Column("amount", sa.BigInteger),
        sa.Column("ceiling", sa.BigInteger),
        sa.Column("used", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("reserved", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("alerted_percent", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "meter", "period_start", name="pk_quota_periods"),
        sa.CheckConstraint("used >= 0 AND reserved >= 0", name="ck_quota_periods_counts"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "quota_reservations",
        *_job_key(),
        sa.Column("meter", sa.Text, nullable=False),
        _moment("period_start"),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        _moment("created_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", "job_id", "meter", name="pk_quota_reservations"),
        sa.CheckConstraint(
            "state IN ('held', 'committed', 'released', 'expired')", name="ck_quota_reservations_state"
        ),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "usage_ledger",
        *_job_key(),
        sa.Column("meter", sa.Text, nullable=False),
        _moment("period_start"),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        _moment("recorded_at", default="now()"),
        sa.PrimaryKeyConstraint("organization_id", "job_id", "meter", name="pk_usage_ledger"),
    )
    op.create_index("ix_usage_ledger_recorded_at", "usage_ledger", ["organization_id", "recorded_at"])
