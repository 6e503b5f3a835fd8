"""Changes of a table that others use meanwhile."""

from collections.abc import Sequence

from alembic import op


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Create an index while others write to the table; what an attempt that was cut short left goes first.

    It commits what the revision did before, so call it first.
    """
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True)
