"""Self-attention by exchanging tokens for heads: each rank computes some heads of all tokens.

Axis legend: B batch, L tokens of the group, l tokens of this rank, N heads, n heads of this rank,
D head dim, E numbers of a head that are exchanged together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..acceleration.attention_kernels import AttendsFloat8
from ..models.attention import Attention
from .collectives import Collectives, joined
from .ring import RingAttention
from .shares import ranges_of, split_evenly


class UlyssesAttention:
    """An :class:`Attention` over the tokens of all ranks; each rank computes some of the heads.

    Queries, keys and values are exchanged at once, and the result a second time. Also
    :class:`AttendsFloat8` where the kernel is: queries and keys are then exchanged in FP8.
    """

    def __init__(
        self, group: Collectives, lengths: Callable[[], Sequence[int]], inner: Attention
    ) -> None:
        """Attend with a kernel.

        Args:
            group: Ranks that exchange tokens for heads.
            lengths: Returns how many tokens each of them has.
            inner: Attends with some heads, from the tokens of the group.
        """
        self.inner = inner
        self._group = group
        self._lengths = lengths

    @property
    def local(self) -> Attention:
        """The kernel."""
        return self.inner.local if isinstance(self.inner, RingAttention) else self.inner

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; see :class:`Attention`; ``q``, ``k`` and ``v`` have l tokens each."""
        parts = self._to_heads([q, k, v])
        out = self.inner(*parts) if parts[0].shape[2] else parts[0]
        return self._to_tokens(out, q.shape[2])

    def takes(self, q: Tensor, head_dim: int) -> bool:
        """Whether the kernel takes these queries in FP8; see :class:`AttendsFloat8`."""
        return isinstance(self.inner, AttendsFloat8) and self.inner.takes(q, head_dim)

    def attend_scaled(
        self, q: Tensor, k: Tensor, v: Tensor, q_undo: Tensor, k_undo: Tensor
    ) -> Tensor:
        """Attend in FP8; see :class:`AttendsFloat8`."""
        assert isinstance(self.inner, AttendsFloat8)
        num_heads = q.shape[2]
        # As bytes they have one dtype.
        own_q, own_k, own_v = self._to_heads([x.view(torch.uint8) for x in (q, k, v)])
        values = own_v.view(v.dtype)
        if not values.shape[2]:
            return self._to_tokens(values, num_heads)
        own = ranges_of(split_evenly(num_heads, self._group.size))[self._group.rank]
        heads = slice(own.start, own.stop)
        out = self.inner.attend_scaled(
            own_q.view(q.dtype), own_k.view(k.dtype), values, q_undo[:, heads], k_undo[:, heads]
        )
        return self._to_tokens(out, num_heads)

    def _to_heads(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Exchange all heads of this rank's tokens for some heads of all tokens, at once.

        Args:
            tensors: ``(B, l, N, D)`` each, of one dtype; D may differ.

        Returns:
            ``(B, L, n, D)`` each, views of one tensor.
        """
        batch, _, num_heads, _ = tensors[0].shape
        widths = [x.shape[3] for x in tensors]
        heads = split_evenly(num_heads, self._group.size)
        shapes = [
            (length, batch, heads[self._group.rank], sum(widths)) for length in self._lengths()
        ]
        received = joined(self._group.all_to_all(_packed(tensors, heads), shapes))
        found = received.view(sum(self._lengths()), *shapes[0][1:]).transpose(0, 1)
        return found.split(widths, dim=3)

    def _to_tokens(self, x: Tensor, num_heads: int) -> Tensor:
        """Exchange some heads of all tokens, ``(B, L, n, D)``, for ``(B, l, N, D)``."""
        batch, _, _, width = x.shape
        lengths = list(self._lengths())
        own = lengths[self._group.rank]
        heads = split_evenly(num_heads, self._group.size)
        shapes = [(batch, own, count, width) for count in heads]
        return torch.cat(self._group.all_to_all(x.split(lengths, dim=1), shapes), dim=2)


def _packed(tensors: Sequence[Tensor], heads: Sequence[int]) -> list[Tensor]:
    """Copy heads to where they are sent from, once.

    Args:
        tensors: ``(B, l, N, D)`` each.
        heads: Heads for each rank.

    Returns:
        ``(l, B, n, E)`` for each rank, one after another in memory. Tokens come first: what
        arrives from all ranks is in order then, for any number of tokens.
    """
    batch, length, num_heads, _ = tensors[0].shape
    width = sum(x.shape[3] for x in tensors)
    flat = tensors[0].new_empty(length * batch * num_heads * width)
    counts = [length * batch * count * width for count in heads]
    parts = [
        each.view(length, batch, count, width)
        for each, count in zip(flat.split(counts), heads, strict=True)
    ]
    pieces = zip(*(x.transpose(0, 1).split(list(heads), dim=2) for x in tensors), strict=True)
    for part, each in zip(parts, pieces, strict=True):
        torch.cat(each, dim=3, out=part)
    return parts
