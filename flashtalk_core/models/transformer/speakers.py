"""Two speakers in one image by rotary positions: how much each token listens to whom.

Axis legend: B batch, L tokens that are held here, N heads, D head dim, K classes (speaker 1,
speaker 2, background), R tokens of the first latent frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import WHOLE, Grid, TokenLayout
from .regions import SpeakerRegions, token_masks
from .rope import position_rotation

# Rotary positions of the two speakers' ranges and of the background.
# Source: SoulX-FlashTalk ``SingleStreamMutiAttention`` (class_range 24, class_interval 4).
SPEAKER_RANGES = ((0.0, 4.0), (20.0, 24.0))
BACKGROUND_POSITION = 12.0


@dataclass(frozen=True)
class SpeakerMasks:
    """Where the classes are in the first latent frame."""

    tokens: Tensor
    """``(K, R)`` zeros and ones."""
    layout: TokenLayout = WHOLE
    """Which tokens of the chunk are held here; the first frame and the extremes of all count."""


Speakers = SpeakerMasks | SpeakerRegions
"""Where two speakers are, by either routing."""


def rotary_speakers(
    masks: Tensor, grid: Grid, layout: TokenLayout, device: torch.device
) -> SpeakerMasks:
    """Return where the classes of ``(K, H, W)`` are, on a device."""
    return SpeakerMasks(token_masks(masks, grid).to(device), layout)


def speaker_rotation(q: Tensor, k: Tensor, masks: SpeakerMasks) -> Tensor:
    """Return the rotary table of audio queries, ``(L, D / 2, 2)`` float32.

    Args:
        q: Rotated queries of the self-attention, ``(1, L, N, D)``.
        k: Its rotated keys, same shape.
        masks: Where the speakers are.
    """
    return query_rotation(reference_attention(q, k, masks), q.shape[-1], masks.layout)


def reference_attention(q: Tensor, k: Tensor, masks: SpeakerMasks) -> Tensor:
    """Measure how much each token attends to each class of the first frame.

    Args:
        q: Rotated queries, ``(1, L, N, D)``.
        k: Rotated keys, same shape.
        masks: Where the classes are.

    Returns:
        ``(K, L)`` mean attention, float32.

    Source: SoulX-FlashTalk ``get_attn_map_with_target`` @ 688982e, which splits the heads in
    two halves and so leaves out the last one of an odd number.
    """
    num_heads = q.shape[2] - q.shape[2] % 2
    scale = q.shape[-1] ** -0.5
    # In float32: rounded sums would turn the argmax that places a token.
    # A class without tokens is attended to by none: masks may cover all but for the background.
    weights = masks.tokens.float() / masks.tokens.sum(dim=1, keepdim=True).clamp(min=1)
    keys = masks.layout.first_frame(k, weights.shape[1])[0]
    total = torch.zeros(weights.shape[0], q.shape[1], device=q.device)
    # One head at a time: all heads at once would hold N x L x R numbers.
    for head in range(num_heads):
        scores = (q[0, :, head] * scale) @ keys[:, head].T
        total += weights @ scores.float().softmax(dim=-1).T
    return total / num_heads


def query_rotation(attention: Tensor, head_dim: int, layout: TokenLayout = WHOLE) -> Tensor:
    """Place each token on the speaker axis by the class it attends to most.

    Args:
        attention: ``(K, L)`` from :func:`reference_attention`.
        head_dim: D.
        layout: Finds the extremes over all tokens.

    Returns:
        Rotary table of the queries, ``(L, D / 2, 2)`` float32.
    """
    positions = []
    lowest, highest = layout.extremes(attention)
    for row, least, most, (low, high) in zip(
        attention, lowest, highest, SPEAKER_RANGES, strict=False
    ):
        unit = (row - least) / (most - least + 1e-8)
        positions.append(unit * (high - low) + low)
    positions.append(torch.full_like(attention[0], BACKGROUND_POSITION))
    chosen = torch.stack(positions).gather(0, attention.argmax(dim=0, keepdim=True))[0]
    return position_rotation(chosen, head_dim)


def key_rotation(num_tokens: int, head_dim: int, device: torch.device) -> Tensor:
    """Return the rotary table of audio keys, the first half speaker 1's, ``(A, D / 2, 2)``."""
    centres = torch.tensor([(low + high) / 2 for low, high in SPEAKER_RANGES], device=device)
    half = num_tokens // 2
    counts = torch.tensor([half, num_tokens - half], device=device)
    return position_rotation(centres.repeat_interleave(counts), head_dim)
