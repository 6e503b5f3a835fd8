"""Whose login page a domain shows.

A domain that was verified before is held from the next time that it is verified.
"""

from migrations.online import hold_tables
from migrations.script import run_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    hold_tables()
    run_file("branding.sql")


def downgrade() -> None:
    run_file("drop_branding.sql")
