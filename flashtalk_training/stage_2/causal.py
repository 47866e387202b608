"""Attention that looks back only, for the comparison with causal students.

Axis legend: B batch, T latent frames, L tokens frame by frame, N heads, D head dim.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk_core.models.attention import Attention
from flashtalk_core.models.transformer.block import AvatarBlock
from flashtalk_core.models.transformer.model import AvatarDiT


def attend_causally(dit: AvatarDiT, num_frames: int) -> None:
    """Let every token attend to its own latent frame and those before it, in place.

    Args:
        dit: Its self-attention is changed; what attends to prompt, image and audio is not.
        num_frames: T of a chunk.
    """
    for block in dit.blocks:
        assert isinstance(block, AvatarBlock)
        block.self_attn.attention = frame_causal(num_frames)


def frame_causal(num_frames: int) -> Attention:
    """Return attention over ``(B, L, N, D)`` in which frame t sees frames 0 to t."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        frame = torch.arange(q.shape[1], device=q.device) // (q.shape[1] // num_frames)
        sees = frame[:, None] >= frame[None, :]
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2)

    return attend
