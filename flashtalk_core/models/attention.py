"""The interface of attention, and PyTorch's own kernel. Faster ones are in ``acceleration``.

Axis legend: B batch, L tokens, N heads, D head dim.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Attention(Protocol):
    """Scaled dot-product attention without mask."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend.

        Args:
            q: Queries, ``(B, Lq, N, D)``.
            k: Keys, ``(B, Lk, N, D)``, same dtype.
            v: Values, ``(B, Lk, N, D)``, same dtype.

        Returns:
            ``(B, Lq, N, D)``, dtype of ``q``.
        """
        ...


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with PyTorch's own kernel; runs on every device."""
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2)
