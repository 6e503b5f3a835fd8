"""What operators and benchmarks need to see."""

import sqlalchemy as sa
from alembic import op

from migrations.online import hold_tables
from migrations.script import run_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    hold_tables()
    # The history takes whole rows of jobs: both tables have the same columns in the same order.
    for table in ("jobs", "job_history"):
        op.add_column(table, sa.Column("traceparent", sa.Text))
    run_file("operations.sql")
    run_file("operators.sql")


def downgrade() -> None:
    run_file("drop_operators.sql")
    run_file("drop_operations.sql")
