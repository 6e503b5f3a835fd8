"""A search of its own: whatever the code under test overlooks, this finds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import redis
from psycopg import sql

COLUMNS = """
SELECT class.oid::regclass::text, attribute.attname, format_type(attribute.atttypid, NULL)
FROM pg_class AS class JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
WHERE class.relnamespace IN ('public'::regnamespace, 'app'::regnamespace) AND class.relkind IN ('r', 'p')
  AND NOT class.relispartition AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY 1, attribute.attnum
"""


def in_tables(superuser_url: str, strings: Sequence[str]) -> list[str]:
    """Return every column of every table, of whichever tenant, that says one of *strings*."""
    found = []
    with psycopg.connect(superuser_url) as connection:
        for table, column, kind in connection.execute(COLUMNS).fetchall():
            said = sql.SQL("encode({}, 'escape')" if kind == "bytea" else "{}::text").format(
                sql.Identifier(column)
            )
            query = sql.SQL("SELECT count(*) FROM {} WHERE lower({}) LIKE ANY (%s)").format(
                sql.SQL(table), said
            )
            patterns = [f"%{string.lower()}%" for string in strings]
            [(count,)] = connection.execute(query, [patterns]).fetchall()
            found += [f"{table}.{column}"] * bool(count)
    return found


def in_redis(url: str, strings: Sequence[str]) -> list[str]:
    """Return every key whose name or content says one of *strings*, whatever its type."""
    with redis.Redis.from_url(url) as client:
        return [
            key.decode(errors="replace")
            for key in client.scan_iter()
            if _says(repr((key, client.dump(key), *_content(client, key))).encode(), strings)
        ]


def _content(client: redis.Redis, key: bytes) -> Iterator[object]:
    match client.type(key):
        case b"string":
            yield client.get(key)
        case b"hash":
            yield client.hgetall(key)
        case b"list":
            yield client.lrange(key, 0, -1)
        case b"set":
            yield client.smembers(key)
        case b"zset":
            yield client.zrange(key, 0, -1)
        case b"stream":
            yield client.xrange(key)


def in_files(folder: Path, strings: Sequence[str]) -> list[str]:
    """Return every file below *folder* that says one of *strings*, by its name or in its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [
        str(path)
        for path in files
        if _says(str(path.relative_to(folder)).encode() + path.read_bytes(), strings)
    ]


def _says(content: bytes, strings: Sequence[str]) -> bool:
    lowered = content.lower()
    return any(string.lower().encode() in lowered for string in strings)
