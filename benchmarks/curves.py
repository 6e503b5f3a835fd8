"""Measure and draw the curves of docs/fairness.md, in one run of about three minutes.

With matplotlib installed (the dependency group ``bench``): ``python benchmarks/curves.py [--redis-url URL]``;
a Redis database is emptied, or a server started. ``--draw-only`` draws the last run's data again.
"""

import argparse
import json
from pathlib import Path

from curves.draw import draw
from curves.measure import measure
from support.system import redis_server

DATA = Path(__file__).with_name("curves") / "data.json"
PICTURES = Path(__file__).resolve().parent.parent / "docs" / "img"


def main() -> None:
    """Read the command line, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--redis-url", help="a Redis database, which is emptied; without it a server is started"
    )
    parser.add_argument("--draw-only", action="store_true", help="draw the data of the last run")
    options = parser.parse_args()
    if not options.draw_only:
        with redis_server(options.redis_url) as redis_url:
            DATA.write_text(json.dumps(measure(redis_url), separators=(",", ":")))
    draw(json.loads(DATA.read_text()), PICTURES)
    print(f"drawn to {PICTURES}")


if __name__ == "__main__":
    main()
