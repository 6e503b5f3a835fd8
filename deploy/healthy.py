# noqa: INP001 - a script of the image, not a package
"""Exit with 0 if what the first argument names is well; for images without curl.

A URL is well if it answers with success, ``beat`` if the beat of this host has done a pass of late, and
``worker`` if the worker of this host answers through the broker. A broker that is away is nobody's fault.
"""

import os
import socket
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE_S = 4
ANSWER_WITHIN_S = 8
LONGEST_PAUSE_S = 60
"""Between two passes of a beat, several times what it takes with timeouts of everything it talks to."""

LATEST = """
SELECT min(age::float)
FROM app.relay_report(), jsonb_each_text(beats) AS beat(name, age)
WHERE name LIKE %s
"""


def main(subject: str) -> str | None:
    """Return what is wrong, or None."""
    if subject == "beat":
        return beat_trouble()
    return worker_trouble() if subject == "worker" else url_trouble(subject)


def url_trouble(url: str) -> str | None:
    """Ask *url*."""
    try:
        urlopen(url, timeout=PATIENCE_S).close()  # noqa: S310 - the compose file says which URL
    except URLError as error:
        return f"{url}: {error}"
    return None


def beat_trouble() -> str | None:
    """Ask Postgres, where beats write down their passes."""
    import psycopg  # noqa: PLC0415 - each subject loads what it needs and no more

    name = f"{socket.gethostname()}:%"
    try:
        with psycopg.connect(read("GENIUS_DATABASE_URL"), connect_timeout=PATIENCE_S) as connection:
            [age] = connection.execute(LATEST, [name]).fetchone() or [None]
    except psycopg.Error as error:
        return f"beat: no word from Postgres ({type(error).__name__})"
    if age is None:
        return "beat: it has not done a pass within the hour"
    return f"beat: its last pass was {age:.0f} s ago" if age > LONGEST_PAUSE_S else None


def worker_trouble() -> str | None:
    """Ask the worker by its name, unless the broker that would carry the question is away."""
    if not broker_answers():
        return None
    from worker.app import app  # noqa: PLC0415

    name = f"celery@{socket.gethostname()}"
    answers = app.control.inspect(destination=[name], timeout=ANSWER_WITHIN_S, limit=1).ping()
    return None if answers else f"{name} did not answer within {ANSWER_WITHIN_S} s"


def broker_answers() -> bool:
    """Ask Redis once."""
    import redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(
        read("GENIUS_REDIS_URL"), socket_connect_timeout=PATIENCE_S, retry=once
    ) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def read(variable: str) -> str:
    """Read a variable, or its file, without loading all settings each time."""
    secrets = Path(os.environ.get("GENIUS_SECRETS_DIRECTORY", "/run/secrets"))
    return os.environ.get(variable) or (secrets / variable).read_text().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
