"""One step of the denoising loop, and the loop over them.

Axis legend: B batch, T latent frames, h w latent cells, m motion latents.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from ..config.sampling import StepRule

Predict = Callable[[Tensor, float], Tensor]
"""Returns the velocity of a latent at a noise level."""
Draw = Callable[[], Tensor]
"""Returns fresh unit noise of the chunk's latent shape, on the device and in the dtype used."""


def renoise_step(
    x: Tensor, velocity: Tensor, level: float, next_level: float, draw: Draw
) -> Tensor:
    """Go to the predicted data and add fresh noise: the authors' rule."""
    data = x - level * velocity
    if next_level == 0:
        return data
    return (1 - next_level) * data + next_level * draw()


def euler_step(x: Tensor, velocity: Tensor, level: float, next_level: float) -> Tensor:
    """Follow the velocity from one noise level to the next."""
    return x - (level - next_level) * velocity


def denoise(
    predict: Predict,
    levels: Tensor,
    motion: Tensor,
    rule: StepRule,
    draw: Draw,
) -> Tensor:
    """Denoise one chunk.

    Args:
        predict: Velocity of a latent at a noise level; may raise to stop the loop.
        levels: ``(steps + 1,)`` falling from 1 to 0.
        motion: Clean motion latents, ``(B, 16, m, h, w)``; they replace the first m latents
            before the first step and after every step.
        rule: Step rule.
        draw: Source of noise, called once for the start and once for each renoising step.

    Returns:
        Clean latents, ``(B, 16, T, h, w)``.

    Source: SoulX-FlashTalk ``FlashTalkPipeline.generate`` @ 688982e.
    """
    x = draw()
    m = motion.shape[2]
    x[:, :, :m] = motion
    for level, next_level in pairwise(levels.tolist()):
        velocity = predict(x, level).to(x.dtype)
        if rule == "renoise":
            x = renoise_step(x, velocity, level, next_level, draw)
        else:
            x = euler_step(x, velocity, level, next_level)
        x[:, :, :m] = motion
    return x
