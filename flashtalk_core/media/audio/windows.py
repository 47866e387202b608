"""Windows of audio features around each video frame.

Axis legend: F audio frames (one for each video frame), B hidden layers, C channels, K window.
"""

from __future__ import annotations

import torch
from torch import Tensor


def window_features(features: Tensor, start: int, stop: int, radius: int = 2) -> Tensor:
    """Gather the features around each frame of ``[start, stop)``.

    Neighbours outside ``[0, stop - 1]`` repeat the frame at that end, so a frame near ``stop``
    never contains what lies behind it, even where ``features`` goes on.

    Args:
        features: Audio features, ``(F, B, C)``, any dtype.
        start: First frame, ``0 <= start < stop``.
        stop: Frame after the last one, at most ``F``.
        radius: Neighbours on each side; the window is ``K = 2 * radius + 1``.

    Returns:
        Windows, ``(stop - start, K, B, C)``, same dtype and device.

    Source: SoulX-FlashTalk ``get_audio_embedding`` @ 688982e.
    """
    assert 0 <= start < stop <= features.shape[0], (start, stop, tuple(features.shape))
    device = features.device
    centres = torch.arange(start, stop, device=device)[:, None]
    offsets = torch.arange(-radius, radius + 1, device=device)[None, :]
    return features[(centres + offsets).clamp(0, stop - 1)]
