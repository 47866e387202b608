"""Errors of decoded chunks, measured as the evaluation does, with a gradient.

Axis legend: B sessions, F pixel frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flashtalk_core.models.vae.model import VideoVAE

from ..drawn_faces.drift import border_colour_change
from ..drawn_faces.head import head_colour_change
from ..drawn_faces.mouth import measure_mouth_opening
from .rollout import Portraits, correct_colours, decode_clip

_HEAD_EVERY = 4
_DRIFTED = 3.0
"""Distance in Lab beyond which a pixel pulls the less the further off it is."""


def decode_new(vae: VideoVAE, data: Tensor, past: int) -> Tensor:
    """Decode chunks with a gradient, on a GPU under autocast in bfloat16.

    Args:
        vae: Its decoder.
        data: Clean latents of chunks, ``(B, 16, T, h, w)``.
        past: Leading motion frames, which are left out.

    Returns:
        ``(B, 3, F - past, H, W)`` in ``[-1, 1]``.
    """
    kind = data.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda", cache_enabled=False):
        return decode_clip(vae, data)[:, :, past:]


def mouth_error(frames: Tensor, openings: Tensor) -> Tensor:
    """Return the mean squared error of the mouth's measured opening.

    Args:
        frames: ``(B, 3, F, H, W)`` in ``[-1, 1]``.
        openings: True openings, ``(B, F)``.

    Returns:
        Scalar.
    """
    measured = measure_mouth_opening((frames.transpose(1, 2) + 1) / 2)
    return (measured - openings).square().mean()


def shown_images(frames: Tensor, portraits: Portraits, strength: float) -> Tensor:
    """Return decoded frames as they would be shown, after the match of colours.

    The gradient of the match is left out: roots of dark colours would make it infinite. So a change
    counts as shown in full, though the match removes what is common to the whole image.

    Args:
        frames: ``(B, 3, F, H, W)`` in ``[-1, 1]``.
        portraits: Statistics of each session's portrait.
        strength: Of the match.

    Returns:
        ``(B, F, 3, H, W)``, about ``[0, 1]``.
    """
    with torch.no_grad():
        correction = correct_colours(frames, portraits, strength) - frames
    return ((frames + correction).transpose(1, 2) + 1) / 2


def border_error(shown: Tensor, images: Tensor) -> Tensor:
    """Return how far background and hair are from the portrait's colours.

    Args:
        shown: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        images: The portraits, ``(B, 3, H, W)`` in ``[0, 1]``.

    Returns:
        Scalar, the mean over sessions and coarse pixels of Cauchy's loss, ``log(1 + d^2 / 9)``, of
        their distance d in Lab. A few pixels that are far off are a head that sways, many that are
        somewhat off are drift: squares would hold heads still, and let what starts from damage
        outweigh what drifts.
    """
    return _cauchy(border_colour_change(shown, images))


def head_error(shown: Tensor, images: Tensor) -> Tensor:
    """Return how far heads are from the portrait's colours, wherever they are.

    Arguments and result are those of :func:`border_error`; one frame of four is looked at.
    """
    return _cauchy(head_colour_change(shown[:, ::_HEAD_EVERY], images))


def _cauchy(change: Tensor) -> Tensor:
    """Return the loss of changes ``(B, 3, N)`` in Lab."""
    return torch.log1p(change.square().sum(dim=1) / _DRIFTED**2).mean()
