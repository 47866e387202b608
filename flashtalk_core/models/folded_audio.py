"""Attention to the sound with its outer layers folded into keys and values.

A frame hears few audio tokens, 32 at the full size, and all heads together have fewer keys for
them (1,280) than a query has channels (5,120). So ``(x Wq) k`` is cheaper as ``x (Wq k)``, and
``(p v) Wo`` as ``p (v Wo)``: a quarter of the products, the same result up to rounding.

Axis legend: T latent frames, R tokens of a frame, A audio tokens a frame, N heads, D head dim,
C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .block_kernels import BlockKernels
from .dit_block import AudioAttention, KeyValue


@dataclass(frozen=True)
class FoldedAudio:
    """What a block attends to of the sound of a chunk."""

    keys: Tensor
    """``(T, N * A, C)``: keys times the layer that makes queries."""
    bias: Tensor
    """``(T, 1, N * A)`` float32: keys times the bias of that layer."""
    values: Tensor
    """``(T, N * A, C)``: values times the layer behind the attention; its bias included."""
    num_tokens: int
    """A."""
    scale: float
    """Of the logits: ``D ** -0.5``."""


def is_foldable(layer: AudioAttention) -> bool:
    """Tell whether both outer layers have weights that can be multiplied."""
    return isinstance(layer.q_linear, nn.Linear) and isinstance(layer.proj, nn.Linear)


def fold_audio(layer: AudioAttention, audio: KeyValue) -> FoldedAudio:
    """Fold the outer layers of ``layer`` into the keys and values of one speaker.

    Args:
        layer: Whose keys and values they are; see :func:`is_foldable`.
        audio: Keys and values of one video, ``(T, A, N, D)`` each.
    """
    keys, values = audio
    num_frames, num_tokens, num_heads, head_dim = keys.shape
    query = layer.q_linear.weight.view(num_heads, head_dim, -1)
    output = layer.proj.weight.view(-1, num_heads, head_dim).permute(1, 2, 0)
    bias = layer.q_linear.bias.view(num_heads, head_dim).float()
    folded_values = _times(values, output)
    # The weights of a softmax add up to one in each head.
    folded_values += layer.proj.bias / num_heads
    return FoldedAudio(
        keys=_times(keys, query),
        bias=torch.einsum("tand,nd->tna", keys.float(), bias).flatten(1)[:, None],
        values=folded_values,
        num_tokens=num_tokens,
        scale=head_dim**-0.5,
    )


def _times(heads: Tensor, weight: Tensor) -> Tensor:
    """Multiply ``(T, A, N, D)`` by ``(N, D, C)`` head by head; ``(T, N * A, C)``."""
    rows = heads.permute(2, 0, 1, 3).flatten(1, 2)
    out = torch.bmm(rows, weight).unflatten(1, heads.shape[:2])
    return out.transpose(0, 1).flatten(1, 2)


def attend_folded(x: Tensor, audio: FoldedAudio, kernels: BlockKernels) -> Tensor:
    """Attend from normalised tokens ``(L, C)`` frame by frame; same shape and dtype."""
    frames = x.unflatten(0, (audio.keys.shape[0], -1))
    logits = _wide_product(frames, audio.keys.transpose(1, 2))
    weights = kernels.softmax(logits, audio.bias, audio.scale, audio.num_tokens, x.dtype)
    return torch.bmm(weights, audio.values).flatten(0, 1)


def _wide_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the batched product in float32, which logits need."""
    if one.device.type == "cuda" and one.dtype != torch.float32:
        return torch.bmm(one, other, out_dtype=torch.float32)
    return torch.bmm(one, other).float()
