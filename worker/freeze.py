"""Keep what a worker has loaded out of every later garbage collection, and collect less often.

A full collection walks through all modules, models and libraries: half a second on a busy machine, in which
no job runs. What is there when the worker starts stays for its life; a pool's children share its memory
longer, too. A few hundred messages in hand are more young objects than Python's own threshold foresees: it
looked through them over and over, a tenth of a worker's time.
"""

import gc
from typing import Any

from celery.signals import celeryd_after_setup

YOUNG = 20_000
"""Objects made and not let go of between two collections of the youngest."""


@celeryd_after_setup.connect
def _freeze(**_: Any) -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
