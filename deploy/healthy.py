# noqa: INP001 - a script of the image, not a package
"""Exit with 0 if what the first argument names is well; for images without curl.

A URL is well if it answers with success; ``beat`` if the beat of this host has done a pass of late.
"""

import os
import socket
import sys
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

PATIENCE_S = 4
LONGEST_PAUSE_S = 60
"""Between two passes of a beat, several times what it takes with timeouts of everything it talks to."""

LATEST = """
SELECT min(age::float)
FROM app.relay_report(), jsonb_each_text(beats) AS beat(name, age)
WHERE name LIKE %s
"""


def main(subject: str) -> str | None:
    """Return what is wrong, or None."""
    return beat_trouble() if subject == "beat" else url_trouble(subject)


def url_trouble(url: str) -> str | None:
    """Ask *url*."""
    try:
        urlopen(url, timeout=PATIENCE_S).close()  # noqa: S310 - the compose file says which URL
    except URLError as error:
        return f"{url}: {error}"
    return None


def beat_trouble() -> str | None:
    """Ask Postgres, where beats write down their passes."""
    url, name = os.environ["GENIUS_DATABASE_URL"], f"{socket.gethostname()}:%"
    try:
        with psycopg.connect(url, connect_timeout=PATIENCE_S) as connection:
            [age] = connection.execute(LATEST, [name]).fetchone() or [None]
    except psycopg.Error as error:
        return f"beat: no word from Postgres ({type(error).__name__})"
    if age is None:
        return "beat: it has not done a pass within the hour"
    return f"beat: its last pass was {age:.0f} s ago" if age > LONGEST_PAUSE_S else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
