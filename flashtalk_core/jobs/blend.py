"""One sequence of frames that changes over into another.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""``(F, H, W, 3)``."""


def blend_into(newer: Frames, older: Frames) -> Frames:
    """Return frames that begin as ``newer`` and end as ``older``, faded over in even steps.

    Args:
        newer: Frames that the video has before.
        older: Frames of the same moments, which what follows them was rendered from.
    """
    assert newer.shape == older.shape, (newer.shape, older.shape)
    shares = np.arange(1, len(newer) + 1, dtype=np.float32) / (len(newer) + 1)
    mixed = newer + shares[:, None, None, None] * (older.astype(np.float32) - newer)
    return np.asarray(mixed + 0.5, np.uint8)
