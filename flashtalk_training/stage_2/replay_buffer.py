"""Session replay buffer: sessions that outlive a training step, and grow as long as users' do.

A roll-out of a few chunks shows the student the drift of a few chunks. Sessions that are stored
after a step and continued in a later one end up hundreds of chunks old, at the cost of a short
roll-out.

Axis legend: N sessions kept, B sessions of a step, m motion latents, h w latent cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.geometry import num_latent_frames

from ..recipe import DistillRecipe
from .scenes import Conditioning


class Batch(NamedTuple):
    """Sessions of a step."""

    slots: Tensor
    """Where they are stored, ``(B,)`` int64."""
    conditioning: Conditioning | None
    """Who talks; ``None`` for new sessions."""
    motion: Tensor | None
    """Motion latents that they continue from, ``(B, 16, m, h, w)`` float32, likewise."""


class SessionReplayBuffer:
    """N sessions in half precision, so that a resumed run continues from the same values."""

    def __init__(self, count: int, motion_shape: tuple[int, ...], device: torch.device) -> None:
        """Allocate ``count`` sessions with motion latents of ``motion_shape``."""
        self._motion = torch.zeros(count, *motion_shape, dtype=torch.float16, device=device)
        self._conditioning = torch.zeros(2, count, dtype=torch.long, device=device)
        self._next = torch.zeros((), dtype=torch.long)
        """Sessions begun so far; the next one replaces the oldest."""

    @classmethod
    def of(
        cls, config: AvatarConfig, recipe: DistillRecipe, device: torch.device
    ) -> SessionReplayBuffer:
        """Allocate as many sessions as a recipe asks for."""
        num_motion = num_latent_frames(config.chunk.num_motion_frames)
        cells = (side // config.vae.spatial_stride for side in config.size_px)
        return cls(recipe.lasting_sessions, (config.vae.z_dim, num_motion, *cells), device)

    def tensors(self) -> dict[str, Tensor]:
        """Return the stored tensors themselves, by the names that states are saved under."""
        return {"motion": self._motion, "told": self._conditioning, "next": self._next}

    def sample(self, count: int, fresh_share: float, generator: Generator) -> Batch:
        """Sample stored sessions, or begin new ones: always until there are N, a share later.

        Args:
            count: B, at most N.
            fresh_share: Share of calls that begin new ones.
            generator: CPU generator; the number of draws does not depend on the result.
        """
        size, device = len(self._motion), self._motion.device
        is_fresh = float(torch.rand((), generator=generator)) < fresh_share
        drawn = torch.randperm(size, generator=generator)[:count].to(device)
        begun = int(self._next)
        if begun < size or is_fresh:
            return Batch((torch.arange(begun, begun + count) % size).to(device), None, None)
        conditioning = Conditioning(*self._conditioning[:, drawn])
        return Batch(drawn, conditioning, self._motion[drawn].float())

    def store(self, batch: Batch, conditioning: Conditioning, motion: Tensor) -> None:
        """Store sessions with their latest motion latents.

        New sessions that are still at their portrait are not stored.
        """
        if motion.shape[1:] != self._motion.shape[1:]:
            return
        if batch.conditioning is None:
            self._next += len(batch.slots)
        self._motion[batch.slots] = motion.to(self._motion)
        self._conditioning[:, batch.slots] = torch.stack([conditioning.faces, conditioning.prompts])
