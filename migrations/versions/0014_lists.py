"""The orders of the lists of alerts, their receivers, schedules and accounts."""

from alembic import op

from migrations.online import create_index

revision = "0014"
down_revision = "0013"

SORTED = {
    "alerts": "raised_at",
    "alert_deliveries": "created_at",
    "webhook_endpoints": "created_at",
    "email_recipients": "created_at",
    "schedules": "created_at",
    "social_accounts": "created_at",
}


def upgrade() -> None:
    for table, column in SORTED.items():
        create_index(f"ix_{table}_by_{column}", table, ["organization_id", column, "id"])


def downgrade() -> None:
    for table, column in SORTED.items():
        op.drop_index(f"ix_{table}_by_{column}", table)
