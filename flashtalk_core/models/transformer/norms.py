"""Normalisations computed in float32 for any dtype of the weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, with a learned scale."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` ``(..., dim)``; same shape and dtype."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return scaled.type_as(x) * self.weight


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` ``(..., dim)``; same shape and dtype."""
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).type_as(x)


def linear_fp32(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply ``layer`` in float32: timestep and output layers lose too much in half precision."""
    bias = None if layer.bias is None else layer.bias.float()
    return F.linear(x.float(), layer.weight.float(), bias)
