"""What a tenant administers: the orders of its lists, and domains of its own."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index, hold_tables
from migrations.script import run_file

revision = "0009"
down_revision = "0008"

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
SORTED = {
    "campaigns": ("created_at", "updated_at", "name"),
    "content_assets": ("created_at", "updated_at"),
    "users": ("created_at",),
}


def upgrade() -> None:
    for table, column in _orders():
        create_index(f"ix_{table}_by_{column}", table, ["organization_id", column, "id"])
    hold_tables()
    op.create_table(
        "custom_domains",
        sa.Column(
            "organization_id",
            sa.Uuid,
            sa.ForeignKey("organizations.organization_id", name=op.f("fk_custom_domains_organization_id")),
            nullable=False,
        ),
        sa.Column("id", sa.Uuid, server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("verified_at", MOMENT),
        sa.Column("checked_at", MOMENT),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_custom_domains")),
        sa.UniqueConstraint(
            "organization_id", "domain", name=op.f("uq_custom_domains_organization_id_domain")
        ),
    )
    op.create_index(
        "ix_custom_domains_by_created_at", "custom_domains", ["organization_id", "created_at", "id"]
    )
    run_file("resources.sql")


def downgrade() -> None:
    op.drop_table("custom_domains")
    for table, column in _orders():
        op.drop_index(f"ix_{table}_by_{column}", table)


def _orders() -> Iterator[tuple[str, str]]:
    return ((table, column) for table, columns in SORTED.items() for column in columns)
