"""The procrastinate app that is measured."""

import os

import procrastinate
from support.update import UPDATE

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"], min_size=2, max_size=20)
)


@app.task(name="bench.update", queue="bench")
async def update(row: int) -> None:
    """Change one row over the pool that procrastinate keeps."""
    await app.connector.execute_query_async(UPDATE.replace("%s", "%(row)s"), row=row)
