"""What of a chunk is held to the portrait while a student is trained.

Axis legend: B sessions, T latent frames, h w latent cells.
"""

from __future__ import annotations

from torch import Tensor

from .data.mouth import anchor_mask, no_mouth_mask
from .losses import anchor_loss, mean_anchor_loss
from .recipe import DistillRecipe
from .scenes import SceneBank


def portrait_loss(
    recipe: DistillRecipe, bank: SceneBank, data: Tensor, faces: Tensor, num_motion: int
) -> Tensor:
    """Return how far a chunk has left its portrait, in the way that the recipe asks for.

    Args:
        recipe: Its ``anchor_static`` and ``anchor_inner``.
        bank: Knows the portraits.
        data: The chunk's clean latents, ``(B, 16, T, h, w)``.
        faces: Rows of the bank, ``(B,)``.
        num_motion: Leading motion latents, which are left out.
    """
    still = bank.still(faces)
    cells = still.shape[-1]
    if not recipe.anchor_static:
        mask = anchor_mask(cells, recipe.anchor_inner, data.device)
        return anchor_loss(data, still, num_motion, mask)
    static = bank.static(faces)
    rest = (1 - static) * no_mouth_mask(cells, data.device)
    mean = mean_anchor_loss(data, still, num_motion, rest)
    return anchor_loss(data, still, num_motion, static) + recipe.anchor_inner * mean
