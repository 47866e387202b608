"""Layers of the umT5 encoder, with the published parameter names.

Axis legend: B batch, L tokens, N heads, D head dim.

Source: Chung et al., "UniMax", 2023, for one position bias a layer; Raffel et al., "T5", 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import TextEncoderConfig
from ..half_precision import HALF
from ..initial import embedding
from .self_attention import join_heads, split_heads

EPSILON = 1e-6
"""Of all norms. Source: SoulX-FlashTalk ``t5.py`` @ 688982e."""

_MAX_DISTANCE = 128
"""Tokens; farther ones share the last bucket."""


class RootMeanSquareNorm(nn.Module):
    """Scale without shift; the mean is not removed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Norm ``(B, L, dim)`` in float32; the result is in the weights' dtype."""
        power = x.float().square().mean(-1, keepdim=True)
        normed = x * torch.rsqrt(power + EPSILON)
        return self.weight * (normed.to(self.weight.dtype) if self.weight.dtype in HALF else normed)


class BiasedAttention(nn.Module):
    """Attention whose scores are not scaled, and biased by the distance of the tokens."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.k = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.v = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.o = nn.Linear(config.dim_attn, config.dim, bias=False)
        self.relative_attention_bias = embedding(config.num_buckets, config.num_heads)

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: ``(B, L, dim)``.
            buckets: ``(L, L)`` int64, see :func:`distance_buckets`.
            mask: ``(B, 1, 1, L)``, true on tokens; ``None`` if there is no padding.

        Returns:
            ``(B, L, dim)``.
        """
        q, k, v = (split_heads(layer(x), self.num_heads) for layer in (self.q, self.k, self.v))
        bias = self.relative_attention_bias(buckets).permute(2, 0, 1)[None].to(q.dtype)
        if mask is not None:
            # The least number, not minus infinity: rows without any token stay finite.
            bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        bias = bias.contiguous()  # kernels of GPUs read a bias along its last axis
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        result: Tensor = self.o(join_heads(attended))
        return result


class GatedFeedForward(nn.Module):
    """Feed-forward gated by the tanh form of GELU."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.dim, config.dim_ffn, bias=False)
        self.wi_1 = nn.Linear(config.dim, config.dim_ffn, bias=False)
        self.wo = nn.Linear(config.dim_ffn, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, L, dim)`` to the same shape."""
        result: Tensor = self.wo(gelu_in_steps(self.wi_0(x)) * self.wi_1(x))
        return result


class _AttentionBranch(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.SelfAttention = BiasedAttention(config)
        self.layer_norm = RootMeanSquareNorm(config.dim)

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor | None) -> Tensor:
        return x + self.SelfAttention(self.layer_norm(x), buckets, mask)


class _FeedForwardBranch(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(config)
        self.layer_norm = RootMeanSquareNorm(config.dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.DenseReluDense(self.layer_norm(x))


class _Block(nn.Module):
    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([_AttentionBranch(config), _FeedForwardBranch(config)])

    def forward(self, x: Tensor, buckets: Tensor, mask: Tensor | None) -> Tensor:
        attention, feed_forward = self.layer
        return finite(feed_forward(finite(attention(x, buckets, mask))))


class TextStack(nn.Module):
    """Embedding, blocks and closing norm."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self._num_buckets = config.num_buckets
        self.embed_tokens = embedding(config.vocab_size, config.dim)
        self.block = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.final_layer_norm = RootMeanSquareNorm(config.dim)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode ``(B, L)`` int64 ids, of which those with a ``mask`` of 0 are not attended to."""
        hidden = self.embed_tokens(ids)
        buckets = distance_buckets(ids.shape[1], self._num_buckets, ids.device)
        tokens = mask[:, None, None].bool()
        for block in self.block:
            hidden = block(hidden, buckets, tokens)
        normed: Tensor = self.final_layer_norm(hidden)
        return normed


def gelu_in_steps(x: Tensor) -> Tensor:
    """Return the tanh form of GELU, each step rounded to the dtype of ``x``, any shape.

    PyTorch's own rounds once only, which in bfloat16 is not what the authors' formula gives.
    """
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))


def distance_buckets(length: int, num_buckets: int, device: torch.device) -> Tensor:
    """Return the bucket of every pair of tokens, ``(length, length)`` int64, queries first.

    Half of the buckets is for keys behind the query. Of each half, one half is for single
    distances, and the other grows by the logarithm up to 128 tokens.
    """
    positions = torch.arange(length, device=device)
    distances = positions[None] - positions[:, None]
    half = num_buckets // 2
    single = half // 2
    away = distances.abs()
    # Distance 0 is single in any case; its logarithm would be no number for an integer.
    growth = torch.log(away.clamp(min=1).float() / single) / math.log(_MAX_DISTANCE / single)
    far = single + (growth * (half - single)).long()
    return (distances > 0) * half + torch.where(away < single, away, far.clamp(max=half - 1))


def finite(hidden: Tensor) -> Tensor:
    """Bring float16 that overflowed back into range; other dtypes are left alone."""
    if hidden.dtype != torch.float16:
        return hidden
    largest = torch.finfo(torch.float16).max
    limit = torch.where(hidden.isinf().any(), largest - 1000, largest)
    return hidden.clamp(min=-limit, max=limit)
