"""One transaction of one tenant: straight to the driver, with an ORM session for whoever asks for it."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import DictRow, dict_row
from sqlalchemy import Connection

from models.connection import BEGIN, BEGUN_BY_CALLER, BIND, CANARY_IN_PIPELINE, RAN_FREE_SQL
from models.session import Database, TenantBinding, TenantSession, bind_to

log = logging.getLogger(__name__)


class TenantTransaction:
    """Statements that are not waited for, until somebody reads a result.

    What goes wrong with one shows with a later one, at the latest when the transaction commits. Nothing
    travels before the first statement, so beginning and binding take no round trip.
    """

    def __init__(self, connection: Connection, binding: TenantBinding) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self._connection = connection
        self._driver: psycopg.Connection[Any] = driver
        self._binding = binding
        self._session: TenantSession | None = None
        self._pipeline = ExitStack()
        self._pipeline.enter_context(driver.pipeline())
        self._begin()

    def _begin(self) -> None:
        self._connection.info[RAN_FREE_SQL] = True
        self.execute(BEGIN)
        self.execute(BIND, (self._binding.seal(), self._binding.actor, self._binding.request_id))

    def execute(
        self, statement: QueryNoTemplate, parameters: Params | None = None
    ) -> psycopg.Cursor[DictRow]:
        """Send one statement; reading from the cursor waits for the answer."""
        return psycopg.Cursor(self._driver, row_factory=dict_row).execute(statement, parameters)

    @property
    def session(self) -> TenantSession:
        """An ORM session in this transaction, made when first asked for; it waits for every statement."""
        if self._session is None:
            self._pipeline.close()
            self._session = TenantSession(self._binding, connection=self._connection)
        return self._session

    def commit(self, statement: QueryNoTemplate | None = None, parameters: Params | None = None) -> None:
        """Run the last statement, commit and look whether the connection is clean, in one round trip.

        Raises:
            psycopg.Error: Nothing of the transaction has happened, unless the connection was lost meanwhile.
        """
        if self._session is not None:
            self._session.flush()
            self._session.expunge_all()
        with self._driver.pipeline():
            if statement is not None:
                self.execute(statement, parameters)
            self.execute("COMMIT")
            clean = self.execute(CANARY_IN_PIPELINE, (self._connection.info["role"],))
            self.execute("RESET ALL")
        self._pipeline.close()
        found = clean.fetchone()
        if found is not None and found["clean"]:
            self._connection.info[RAN_FREE_SQL] = False
        else:
            log.error("discarding a connection on which a body left something")
            self._connection.invalidate()

    def close(self) -> None:
        """Roll back what is not committed."""
        with suppress(psycopg.Error):
            self._pipeline.close()
        with suppress(psycopg.Error):
            self._driver.rollback()
        if self._session is not None:
            self._session.close()
        if self._driver.closed:
            self._connection.invalidate()


@contextmanager
def tenant_transaction(database: Database, organization_id: UUID) -> Iterator[TenantTransaction]:
    """Open one transaction that sees only the rows of *organization_id*; what is not committed rolls back."""
    with database.engine.connect() as pooled:
        connection = pooled.execution_options(**{BEGUN_BY_CALLER: True})
        transaction = TenantTransaction(connection, bind_to(database, organization_id))
        try:
            yield transaction
        finally:
            transaction.close()
