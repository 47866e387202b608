"""Lips that meet for p, b and m: how often a model's do, and how often drawn ones.

Axis legend: F frames of all clips in a row.
"""

from __future__ import annotations

from torch import Tensor

from ..speech.visemes import PHONEME_CLASSES

SHUT = 0.1
"""Openings below this are called shut."""
_BILABIAL = PHONEME_CLASSES.index("bilabial")


def measure_closures(measured: Tensor, drawn: Tensor, phonemes: Tensor) -> dict[str, float]:
    """Compare the share of shut mouths in the frames of p, b and m with the true one.

    A sound lasts longer than its closure, so that the true share is below 1. Both are measured in
    the image. Other sounds that are made with both lips, rare in the corpus, count as well.

    Args:
        measured: Opening of the model's mouth in each frame, ``(F,)``.
        drawn: Opening of the true mouth, drawn and measured alike.
        phonemes: What is said, indices into ``PHONEME_CLASSES``.

    Returns:
        ``pbm_frames``, their number; ``pbm_shut`` and ``pbm_shut_drawn``, shares of them that are
        shut; ``pbm_shut_of_drawn``, the first share over the second. All are 0 without such frames.
    """
    is_bilabial = phonemes == _BILABIAL
    count = int(is_bilabial.sum())
    shut, shut_drawn = (int((opening[is_bilabial] < SHUT).sum()) for opening in (measured, drawn))
    return {
        "pbm_frames": count,
        "pbm_shut": shut / max(count, 1),
        "pbm_shut_drawn": shut_drawn / max(count, 1),
        "pbm_shut_of_drawn": shut / max(shut_drawn, 1),
    }
