"""When garbage is collected: a start makes 300,000 objects that stay, and hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage within, and never look at what is there at the end.

    The collector otherwise goes through all of it several times, for a tenth of the start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # else this is no start
                gc.freeze()
            gc.enable()
