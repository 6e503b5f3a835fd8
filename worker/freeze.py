"""Keep what a worker has loaded out of every later garbage collection.

A full collection walks through all modules, models and libraries: half a second on a busy machine, in which
no job runs. What is there when the worker starts stays for its life; a pool's children share its memory
longer, too.
"""

import gc
from typing import Any

from celery.signals import celeryd_after_setup


@celeryd_after_setup.connect
def _freeze(**_: Any) -> None:
    gc.collect()
    gc.freeze()
