"""Lead scoring in full: versions of rules and models, and marks of leads that changed."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.script import run_file

revision = "0006"
down_revision = "0005"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("leads", sa.Column("model_version", sa.BigInteger))
    _create_rule_sets()
    _create_models()
    _create_changes()
    run_file("leads.sql")


def downgrade() -> None:
    run_file("drop_leads.sql")


def _organization(table: str) -> sa.Column[UUID]:
    key = sa.ForeignKey("organizations.organization_id", name=op.f(f"fk_{table}_organization_id"))
    return sa.Column("organization_id", sa.Uuid, key, nullable=False)


def _versioned(table: str) -> list[sa.schema.SchemaItem]:
    return [
        _organization(table),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        _now("created_at"),
        sa.CheckConstraint("version > 0", name=op.f(f"ck_{table}_version")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("organization_id", "version", name=op.f(f"uq_{table}_organization_id_version")),
    ]


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, MOMENT, server_default=sa.text("now()"), nullable=False)


def _create_rule_sets() -> None:
    op.create_table(
        "lead_rule_sets",
        *_versioned("lead_rule_sets"),
        sa.Column("rules", JSONB, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("created_by", sa.Text),
    )


def _create_models() -> None:
    op.create_table(
        "lead_models",
        *_versioned("lead_models"),
        sa.Column("model", JSONB, nullable=False),
        sa.Column("retired_at", MOMENT),
    )


def _create_changes() -> None:
    op.create_table(
        "lead_changes",
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("lead_id", sa.Uuid, nullable=False),
        _now("changed_at"),
        sa.ForeignKeyConstraint(
            ["organization_id", "lead_id"],
            ["leads.organization_id", "leads.id"],
            name=op.f("fk_lead_changes_organization_id_lead_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "lead_id", name=op.f("pk_lead_changes")),
    )
