"""The operations between the matrix products of a transformer block.

Axis legend: L tokens, C channels of a row, N heads, D head dim, T latent frames,
A audio tokens a frame, K keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.attention import Attention, sdpa
from ..models.transformer.rope import rotate
from ..quantization.fp8 import FLOAT8
from ..quantization.linear_format import DENSE, LinearFormat, Rows
from .fallback import fallbacks


@dataclass(frozen=True)
class ContextKeys:
    """Keys and values of prompt or image, the equal ones at the end merged into one."""

    keys: Tensor
    """``(K, N, D)``."""
    values: Tensor
    """``(K, N, D)``."""
    last_count: int = 1
    """How many equal keys the last one stands for."""


class BlockKernels(Protocol):
    """The operations; every implementation computes the same up to rounding."""

    def add_norm(
        self,
        x: Tensor,
        branch: Tensor | None,
        gate: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        *,
        eps: float,
        plus_one: bool,
        rows: LinearFormat,
    ) -> tuple[Tensor, Rows]:
        """Add a branch to the tokens and normalise the sum.

        Args:
            x: Tokens, ``(L, C)``.
            branch: ``(L, C)``, same dtype; ``None`` adds nothing.
            gate: Factor on the branch, ``(C,)``; ``None`` is one.
            scale: Factor on the normalised tokens, ``(C,)``.
            shift: Added to them, ``(C,)``.
            eps: Of the norm.
            plus_one: Whether one is added to ``scale``.
            rows: Format of the layer that takes the normalised tokens.

        Returns:
            The sum, same shape and dtype as ``x``, and the normalised tokens.
        """
        ...

    def add(self, x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
        """Return ``x + branch * gate``, see :meth:`add_norm`."""
        ...

    def rms(
        self,
        x: Tensor,
        weight: Tensor,
        eps: float,
        rotation: Tensor | None,
        float8_factor: float | None = None,
    ) -> Tensor:
        """Divide rows ``(L, C)`` by their root mean square, scale them, and rotate their heads.

        Args:
            x: ``(L, C)``.
            weight: ``(C,)``.
            eps: Of the norm.
            rotation: Rotary table, ``(L, D / 2, 2)`` float32; ``None`` rotates nothing.
            float8_factor: Factor under which the result is wanted in FP8, whose range
                it must not leave; ``None`` keeps the dtype.
        """
        ...

    def to_linear(self, x: Tensor, *, gelu: bool, rows: LinearFormat) -> Rows:
        """Return rows ``(L, C)`` for a layer of a format, after GELU (by tanh) if ``gelu``."""
        ...

    def absorb(self, heads: Tensor, weight: Tensor) -> Tensor:
        """Multiply ``(T, A, N, D)`` by ``(N, D, C)`` head by head; ``(T, N * A, C)``."""
        ...

    def softmax(
        self, logits: Tensor, bias: Tensor, scale: float, group: int, dtype: torch.dtype
    ) -> Tensor:
        """Return ``softmax((logits + bias) * scale)`` over each ``group`` of neighbours.

        Args:
            logits: ``(T, R, N * A)``, float32.
            bias: ``(T, 1, N * A)``, float32.
            scale: Factor.
            group: A.
            dtype: Of the result.
        """
        ...

    def attend(self, q: Tensor, text: ContextKeys, image: ContextKeys) -> Tensor:
        """Return the sum of two attentions from ``(L, N, D)``; same shape."""
        ...


class EagerKernels:
    """:class:`BlockKernels` in PyTorch's operations: the slow reference for every device."""

    def __init__(self, attention: Attention = sdpa) -> None:
        """Attend to the image with ``attention``."""
        self._attention = attention

    def add_norm(
        self,
        x: Tensor,
        branch: Tensor | None,
        gate: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        *,
        eps: float,
        plus_one: bool,
        rows: LinearFormat,
    ) -> tuple[Tensor, Rows]:
        """See :class:`BlockKernels`."""
        if branch is not None:
            x = (x + branch).type_as(x) if gate is None else self.add(x, branch, gate)
        wide = F.layer_norm(x.float(), x.shape[-1:], eps=eps)
        wide = wide * (scale.float() + 1 if plus_one else scale.float()) + shift.float()
        return x, rows.prepare_rows(wide, x.dtype)

    def add(self, x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
        """See :class:`BlockKernels`."""
        return (x + branch * gate).type_as(x)

    def rms(
        self,
        x: Tensor,
        weight: Tensor,
        eps: float,
        rotation: Tensor | None,
        float8_factor: float | None = None,
    ) -> Tensor:
        """See :class:`BlockKernels`."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * weight.float()
        if rotation is not None:
            wide = rotate(wide.unflatten(-1, (-1, 2 * rotation.shape[1]))[None], rotation)[0]
        wide = wide.reshape(x.shape)
        return wide.type_as(x) if float8_factor is None else (wide * float8_factor).to(FLOAT8)

    def to_linear(self, x: Tensor, *, gelu: bool, rows: LinearFormat) -> Rows:
        """See :class:`BlockKernels`."""
        if rows is DENSE:
            return F.gelu(x, approximate="tanh") if gelu else x
        return rows.prepare_rows(F.gelu(x.float(), approximate="tanh") if gelu else x, x.dtype)

    def absorb(self, heads: Tensor, weight: Tensor) -> Tensor:
        """See :class:`BlockKernels`."""
        rows = heads.permute(2, 0, 1, 3).flatten(1, 2)
        out = torch.bmm(rows, weight).unflatten(1, heads.shape[:2])
        return out.transpose(0, 1).flatten(1, 2)

    def softmax(
        self, logits: Tensor, bias: Tensor, scale: float, group: int, dtype: torch.dtype
    ) -> Tensor:
        """See :class:`BlockKernels`."""
        grouped = ((logits + bias) * scale).unflatten(-1, (-1, group))
        return torch.softmax(grouped, dim=-1).flatten(-2).to(dtype)

    def attend(self, q: Tensor, text: ContextKeys, image: ContextKeys) -> Tensor:
        """See :class:`BlockKernels`."""
        return self._attend(q, text) + self._attend(q, image)

    def _attend(self, q: Tensor, context: ContextKeys) -> Tensor:
        # A count as a bias on the logits would be rounded to their dtype, by 1.6 % in bfloat16.
        more = (context.last_count - 1, -1, -1)
        keys, values = (
            torch.cat([x, x[-1:].expand(more)])[None] for x in (context.keys, context.values)
        )
        return self._attention(q[None], keys, values)[0]


def with_fallback(fast: BlockKernels, eager: BlockKernels) -> BlockKernels:
    """Return ``fast``, with ``eager`` in place of each operation from its first failure on."""
    names = [name for name in vars(BlockKernels) if not name.startswith("_")]
    return cast("BlockKernels", SimpleNamespace(**fallbacks(names, fast, eager)))
