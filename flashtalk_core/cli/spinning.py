"""How long idle threads wait awake. Not in the published pack, which sets no environment."""

import os


def limit_spinning() -> None:
    """Let threads that wait for each other sleep soon. Has no effect once torch is loaded.

    On a machine that does something else too a render otherwise becomes several times slower.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
