"""Attention to all tokens by passing keys and values from rank to rank.

Axis legend: B batch, l tokens of this rank, N heads, D head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..acceleration.attention_kernels import Float8Attention
from ..acceleration.lse_attention import AttentionWithLse, attention_with_lse
from ..models.attention import Attention
from .collectives import Collectives


class RingAttention:
    """An :class:`Attention` from the tokens of this rank to those of all.

    While a rank attends to one part of the keys and values, it sends it on and receives the next.
    Also :class:`AttendsFloat8` where the kernel is in FP8: then half the bytes are sent, scaled
    by the largest values of all ranks.
    """

    def __init__(
        self, group: Collectives, lengths: Callable[[], Sequence[int]], local: Attention
    ) -> None:
        """Attend with a kernel.

        Args:
            group: Ranks that pass keys and values around.
            lengths: Returns how many tokens each of them has.
            local: Kernel.

        Raises:
            InvalidInputError: If it has no log-sum-exp.
        """
        self.local = local
        self._group = group
        self._lengths = lengths
        self._kernel = attention_with_lse(local)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; see :class:`Attention`; ``q``, ``k`` and ``v`` have l tokens each."""
        if isinstance(self.local, Float8Attention) and self.local.takes(q, q.shape[3]):
            largest = torch.stack([self.local.largest(q), self.local.largest(k)])
            q_largest, k_largest = self._group.max(largest)
            q8, q_undo = self.local.scale(q, q_largest)
            k8, k_undo = self.local.scale(k, k_largest)
            return self.attend_scaled(q8, k8, v, q_undo, k_undo)
        return self._attend(q, k, v, self._kernel).type_as(q)

    def takes(self, q: Tensor, head_dim: int) -> bool:
        """Whether the kernel is in FP8 and takes these queries; see :class:`AttendsFloat8`."""
        return isinstance(self.local, Float8Attention) and self.local.takes(q, head_dim)

    def attend_scaled(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor
    ) -> Tensor:
        """Attend in FP8; see :class:`AttendsFloat8`."""
        local = self.local
        assert isinstance(local, Float8Attention)
        v8, v_undo = local.scale(v, self._group.max(local.largest(v)))
        kernel = partial(local.attend_with_lse, q_undo=q_undo, k_undo=k_undo, v_undo=v_undo)
        return self._attend(q, k, v8, kernel).type_as(v)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, kernel: AttentionWithLse) -> Tensor:
        """Attend from ``(B, l, N, D)`` to the keys and values of all ranks; float32."""
        group, lengths = self._group, self._lengths()
        after, before = (group.rank + 1) % group.size, (group.rank - 1) % group.size
        pair = torch.stack([_sendable(k), _sendable(v)])
        out, lse = q.new_zeros(q.shape, dtype=torch.float32), None
        for step in range(group.size):
            source = (group.rank - step) % group.size
            pending = None
            if step + 1 < group.size:
                shape = (*pair.shape[:2], lengths[source - 1], *pair.shape[3:])
                pending = group.send({after: pair}, {before: shape}, pair)
            if q.shape[1] and lengths[source]:
                part, part_lse = kernel(q, *pair.view(k.dtype))
                out, lse = merge(out, lse, part, part_lse)
            if pending is not None:
                pair = pending.wait()[before]
        return out


def merge(out: Tensor, lse: Tensor | None, part: Tensor, part_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Merge attention to one part of the keys with that to another.

    Args:
        out: ``(B, l, N, D)`` float32.
        lse: Its log-sum-exp, ``(B, N, l)`` float32; ``None`` if there is nothing yet.
        part: ``(B, l, N, D)``.
        part_lse: Its log-sum-exp, ``(B, N, l)`` float32.

    Returns:
        Attention to both parts and its log-sum-exp.
    """
    if lse is None:
        return part.float(), part_lse
    weight = torch.sigmoid(part_lse - lse).transpose(1, 2)[..., None]
    return out.lerp(part.float(), weight), torch.logaddexp(lse, part_lse)


def _sendable(x: Tensor) -> Tensor:
    """Return FP8 as bytes, which every backend can send."""
    return x.view(torch.uint8) if x.element_size() == 1 else x
