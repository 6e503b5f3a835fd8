"""The seal is verified once a transaction."""

from migrations.script import run_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_file("bind.sql")


def downgrade() -> None:
    run_file("drop_bind.sql")
