"""The relay forgets what it has published without waiting for claims that forget it too."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    # It never writes the column: Postgres lets only who may change a row lock it.
    op.execute("GRANT UPDATE (priority) ON public.outbox TO genius_relay")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (priority) ON public.outbox FROM genius_relay")
