"""Audio windows to audio tokens, a fixed number for each latent frame.

Axis legend: B batch (or speakers), F pixel frames, T latent frames, W window, S hidden layers,
M audio features, A audio tokens a latent frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...config.networks import DiTConfig


def group_windows(windows: Tensor, vae_scale: int) -> tuple[Tensor, Tensor]:
    """Gather what each latent frame hears out of overlapping windows.

    The first latent frame stands for one pixel frame and hears its whole window. Each later one
    stands for ``vae_scale`` frames and hears each moment once: the first half of its first
    frame's window, the centres of the middle ones, the last half of its last frame's.

    Args:
        windows: ``(B, F, W, S, M)``, F = 1 + vae_scale * (T - 1), W odd.
        vae_scale: Pixel frames for each later latent frame.

    Returns:
        ``(B, 1, W, S, M)`` and ``(B, T - 1, W + vae_scale - 1, S, M)``.

    Source: SoulX-FlashTalk ``WanModel.forward`` @ 688982e.
    """
    first, later = windows[:, :1], windows[:, 1:].unflatten(1, (-1, vae_scale))
    centre = windows.shape[2] // 2
    head = later[:, :, 0, : centre + 1]
    middle = later[:, :, 1:-1, centre]
    tail = later[:, :, -1, centre:]
    return first, torch.cat([head, middle, tail], dim=2)


class AudioProjection(nn.Module):
    """Three linear layers from grouped windows to audio tokens."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        features = config.audio_blocks * config.audio_channels
        window, inner = config.audio_window, config.audio_intermediate_dim
        self.vae_scale = config.vae_scale
        self.num_tokens = config.audio_context_tokens
        self.proj1 = nn.Linear(window * features, inner)
        self.proj1_vf = nn.Linear((window + config.vae_scale - 1) * features, inner)
        self.proj2 = nn.Linear(inner, inner)
        self.proj3 = nn.Linear(inner, self.num_tokens * config.audio_output_dim)
        self.norm = (
            nn.LayerNorm(config.audio_output_dim) if config.norm_output_audio else nn.Identity()
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Project.

        Args:
            windows: ``(B, F, W, S, M)`` audio features around each pixel frame.

        Returns:
            Audio tokens, ``(B, T, A, audio_output_dim)``, same dtype.
        """
        first, later = group_windows(windows, self.vae_scale)
        hidden = torch.cat(
            [
                torch.relu(self.proj1(first.flatten(2))),
                torch.relu(self.proj1_vf(later.flatten(2))),
            ],
            dim=1,
        )
        tokens = self.proj3(torch.relu(self.proj2(hidden)))
        return self.norm(tokens.unflatten(-1, (self.num_tokens, -1)))
