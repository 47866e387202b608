"""Self-attention of the encoders of sound and image, with the published parameter names.

Axis legend: B batch, L tokens, N heads, D head dim.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Bring ``(B, L, N * D)`` to ``(B, N, L, D)``."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Bring ``(B, N, L, D)`` to ``(B, L, N * D)``."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of every token to every other, with biases in all projections."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.q_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; ``x`` and the result are ``(B, L, dim)`` in the weights' dtype or autocast's."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (split_heads(layer(x), self.num_heads) for layer in projections)
        attended = functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.out_proj(join_heads(attended))
        return result
