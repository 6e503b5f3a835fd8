"""Accounts of two servers of a federated platform may bear one id."""

import sqlalchemy as sa

from migrations.online import create_index, drop_index

revision = "0017"
down_revision = "0016"

TABLE = "social_accounts"
OF_A_SERVER = "uq_social_accounts_by_remote_id"
OF_A_PLATFORM = "uq_social_accounts_organization_id_platform_remote_id"
CONNECTED = sa.text("deleted_at IS NULL AND remote_id IS NOT NULL")


def upgrade() -> None:
    create_index(
        OF_A_SERVER,
        TABLE,
        ["organization_id", "platform", "server_url", "remote_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=CONNECTED,
    )
    drop_index(OF_A_PLATFORM, TABLE)


def downgrade() -> None:
    create_index(
        OF_A_PLATFORM,
        TABLE,
        ["organization_id", "platform", "remote_id"],
        unique=True,
        postgresql_where=CONNECTED,
    )
    drop_index(OF_A_SERVER, TABLE)
