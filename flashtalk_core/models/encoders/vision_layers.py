"""Layers of the CLIP vision tower, with the published parameter names.

Axis legend: B batch, H W pixels, L patches and one class token.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import ClipVisionConfig
from ..initial import drawn, embedding
from .self_attention import SelfAttention


class PatchEmbeddings(nn.Module):
    """Class token and patches, each with its position."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        patch, dim = config.patch_size, config.dim
        self.class_embedding = drawn(dim)
        self.patch_embedding = nn.Conv2d(3, dim, patch, patch, bias=False)
        self.position_embedding = embedding((config.image_size // patch) ** 2 + 1, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed ``(B, 3, H, W)`` in the weights' dtype as ``(B, L, dim)``, class token first."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight


class FeedForward(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        width = int(config.dim * config.mlp_ratio)
        self.fc1 = nn.Linear(config.dim, width)
        self.fc2 = nn.Linear(width, config.dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, L, dim)`` to the same shape."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(hidden)))
        return result


class VisionBlock(nn.Module):
    """Attention and feed-forward, each behind a norm."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.dim, config.num_heads)
        self.layer_norm1 = nn.LayerNorm(config.dim)
        self.mlp = FeedForward(config)
        self.layer_norm2 = nn.LayerNorm(config.dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, L, dim)`` to the same shape."""
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        return hidden + self.mlp(self.layer_norm2(hidden))


class VisionStack(nn.Module):
    """All blocks but the last of the published tower, which is never run."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionBlock(config) for _ in range(config.num_layers - 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(B, L, dim)`` to the same shape."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden
