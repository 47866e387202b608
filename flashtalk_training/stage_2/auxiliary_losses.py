"""Auxiliary student losses: portrait anchor, mouth track, and colours of border and head.

Axis legend: B sessions, T latent frames, h w latent cells.
"""

from __future__ import annotations

from torch import Tensor

from flashtalk_core.models.vae.model import VideoVAE

from ..drawn_faces.mouth import anchor_mask, no_mouth_mask
from ..losses import anchor_loss, mean_anchor_loss
from ..recipe import DistillRecipe
from .image_errors import border_error, decode_new, head_error, mouth_error, shown_images
from .rollout import Roller, Rollout
from .scenes import SceneBank, SceneBatch


def auxiliary_loss(
    recipe: DistillRecipe,
    bank: SceneBank,
    vae: VideoVAE,
    roller: Roller,
    rollout: Rollout,
    scene: SceneBatch,
    chunk: int,
) -> Tensor | float:
    """Return the weighted sum of the auxiliary losses that the recipe asks for, 0 for none.

    Args:
        recipe: Its weights.
        bank: Source of the portraits.
        vae: Decodes with a gradient.
        roller: How chunks are shown.
        rollout: Its data is judged.
        scene: Who talks and what is said.
        chunk: Which of the scene's chunks is judged, from 0.
    """
    faces, num_motion = scene.conditioning.faces, rollout.motion.shape[2]
    loss: Tensor | float = 0.0
    if recipe.anchor_weight:
        left = portrait_loss(recipe, bank, rollout.data, faces, num_motion)
        loss = loss + recipe.anchor_weight * left
    if not (recipe.mouth_weight or recipe.border_weight or recipe.head_weight):
        return loss
    some, past = slice(recipe.decoded_batch), roller.num_motion_frames
    frames = decode_new(vae, rollout.joined()[some], past)
    if recipe.mouth_weight:
        error = mouth_error(frames, scene.openings[chunk][some, past:])
        loss = loss + recipe.mouth_weight * error
    if not (recipe.border_weight or recipe.head_weight):
        return loss
    shown = shown_images(frames, scene.portraits.pick(some), roller.colour_strength)
    images = bank.images(faces[some])
    if recipe.border_weight:
        loss = loss + recipe.border_weight * border_error(shown, images)
    if recipe.head_weight:
        loss = loss + recipe.head_weight * head_error(shown, images)
    return loss


def portrait_loss(
    recipe: DistillRecipe, bank: SceneBank, data: Tensor, faces: Tensor, num_motion: int
) -> Tensor:
    """Return the distance of a chunk's latents from the portrait's, measured as the recipe says.

    Args:
        recipe: Its ``anchor_static`` and ``anchor_inner``.
        bank: Source of the portraits.
        data: The chunk's clean latents, ``(B, 16, T, h, w)``.
        faces: Rows of the bank, ``(B,)``.
        num_motion: Leading motion latents, which are left out.
    """
    still = bank.still(faces)[:, :, : data.shape[2]]
    cells = still.shape[-1]
    if not recipe.anchor_static:
        mask = anchor_mask(cells, recipe.anchor_inner, data.device)
        return anchor_loss(data, still, num_motion, mask)
    static = bank.static(faces)
    held = anchor_loss(data, still, num_motion, static)
    if not recipe.anchor_inner:
        return held
    rest = (1 - static) * no_mouth_mask(cells, data.device)
    return held + recipe.anchor_inner * mean_anchor_loss(data, still, num_motion, rest)
