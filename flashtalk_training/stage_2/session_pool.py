"""Sessions that outlive a training step and grow old as those of users do.

A roll-out of a few chunks shows the student what a few chunks make of a picture. Sessions that
are put back after a step and taken up again later are hundreds of chunks old in the end, at the
price of a short roll-out.

Axis legend: N sessions kept, B sessions of a step, m motion latents, h w latent cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from flashtalk_core.config import AvatarConfig
from flashtalk_core.geometry import num_latent_frames

from ..recipe import DistillRecipe
from .scenes import Told


class Taken(NamedTuple):
    """Sessions of a step."""

    places: Tensor
    """Where they are put back, ``(B,)`` int64."""
    told: Told | None
    """Who talks; ``None`` for new sessions."""
    motion: Tensor | None
    """Motion latents that they go on from, ``(B, 16, m, h, w)`` float32, likewise."""


class LastingSessions:
    """N sessions in half precision, so that what is saved is what is gone on with."""

    def __init__(self, count: int, motion_shape: tuple[int, ...], device: torch.device) -> None:
        """Make room for ``count`` sessions with motion latents of ``motion_shape``."""
        self._motion = torch.zeros(count, *motion_shape, dtype=torch.float16, device=device)
        self._told = torch.zeros(2, count, dtype=torch.long, device=device)
        self._next = torch.zeros((), dtype=torch.long)
        """Sessions begun so far; the next one takes the oldest's place."""

    @classmethod
    def of(
        cls, config: AvatarConfig, recipe: DistillRecipe, device: torch.device
    ) -> LastingSessions:
        """Make room for as many sessions as a recipe asks for."""
        num_motion = num_latent_frames(config.chunk.num_motion_frames)
        cells = (side // config.vae.spatial_stride for side in config.size_px)
        return cls(recipe.lasting_sessions, (config.vae.z_dim, num_motion, *cells), device)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that is kept, the tensors themselves."""
        return {"motion": self._motion, "told": self._told, "next": self._next}

    def take(self, batch: int, fresh_share: float, generator: Generator) -> Taken:
        """Take sessions out, or begin new ones: all of them until there are N, a share later.

        Args:
            batch: B, at most N.
            fresh_share: Share of calls that begin new ones.
            generator: CPU generator; draws the same number of times whatever comes of it.
        """
        count, device = len(self._motion), self._motion.device
        is_fresh = float(torch.rand((), generator=generator)) < fresh_share
        drawn = torch.randperm(count, generator=generator)[:batch].to(device)
        begun = int(self._next)
        if begun < count or is_fresh:
            return Taken((torch.arange(begun, begun + batch) % count).to(device), None, None)
        return Taken(drawn, Told(*self._told[:, drawn]), self._motion[drawn].float())

    def put(self, taken: Taken, told: Told, motion: Tensor) -> None:
        """Put sessions back with the motion latents that they have come to.

        New sessions that are still at their portrait are not kept.
        """
        if motion.shape[1:] != self._motion.shape[1:]:
            return
        if taken.told is None:
            self._next += len(taken.places)
        self._motion[taken.places] = motion.to(self._motion)
        self._told[:, taken.places] = torch.stack([told.faces, told.prompts])
