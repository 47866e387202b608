"""Attention that also returns the log-sum-exp of its scores, by which partial results merge.

Axis legend: B batch, L tokens, N heads, D head dim.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..errors import InvalidInputError
from ..models.attention import Attention, sdpa
from .attention_kernels import (
    KERNELS,
    AttentionKernel,
    Float8Attention,
    attention_name,
    sdpa_cudnn,
)

_HALF = (torch.float16, torch.bfloat16)


class AttentionWithLse(Protocol):
    """An :class:`Attention` to a part of the keys."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Attend; at least one query and one key.

        Args:
            q: Queries, ``(B, Lq, N, D)``.
            k: Keys, ``(B, Lk, N, D)``, same dtype.
            v: Values, ``(B, Lk, N, D)``, same dtype.

        Returns:
            ``(B, Lq, N, D)`` in the dtype of ``q``, and the logarithm of the sum of the
            exponentials of all scores of each query, ``(B, N, Lq)`` float32.
        """
        ...


def attention_with_lse(attention: Attention) -> AttentionWithLse:
    """Return a kernel that computes what ``attention`` does, and the log-sum-exp.

    Raises:
        InvalidInputError: If the kernel has no log-sum-exp.
    """
    if attention is sdpa:
        return sdpa_with_lse
    if attention is sdpa_cudnn:
        return sdpa_cudnn_with_lse
    if isinstance(attention, Float8Attention):
        return _float8(attention)
    name = attention_name(attention)
    for kernel in KERNELS:
        if kernel.name == name and kernel.has_lse:
            return _packaged(kernel)
    usable = ["auto", "sdpa", "sdpa-cudnn", *(each.name for each in KERNELS if each.has_lse)]
    raise InvalidInputError(
        f"attention {name!r} with Ring: it returns no log-sum-exp, by which Ring merges its "
        f"results; use one of: {', '.join(usable)}, or Ulysses for all devices (ring 1)",
        subject="attention",
    )


def _packaged(entry: AttentionKernel) -> AttentionWithLse:
    kernel = entry.build()

    def attend(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not entry.takes(q):
            return sdpa_with_lse(q, k, v)
        out, lse, *_ = kernel(q, k, v, return_attn_probs=True)
        return out, lse

    return attend


def _float8(attention: Float8Attention) -> AttentionWithLse:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not attention.takes(q, q.shape[3]):
            return sdpa_with_lse(q, k, v)
        scaled = [attention.scale(x) for x in (q, k, v)]
        parts, undo = zip(*scaled, strict=True)
        out, lse = attention.attend_with_lse(*parts, *undo)
        return out.type_as(q), lse

    return attend


def sdpa_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend by the fastest of PyTorch's own kernels that returns a log-sum-exp.

    The public function returns none, so its kernels are called directly.
    """
    heads = [x.transpose(1, 2) for x in (q, k, v)]
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*heads)
    elif q.device.type == "cuda" and _is_flash(q):
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(*heads)
    elif q.device.type == "cuda" and q.dtype == torch.float32 and q.shape[3] % 4 == 0:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(*heads, None, True)
    else:
        return eager_with_lse(q, k, v)
    # Some pad the log-sum-exp to whole tiles.
    return out.transpose(1, 2), lse[:, :, : q.shape[1]]


def sdpa_cudnn_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend by cuDNN where it can, else by :func:`sdpa_with_lse`."""
    if q.device.type != "cuda" or not _is_flash(q) or q.shape[3] > 128:
        return sdpa_with_lse(q, k, v)
    heads = [x.transpose(1, 2) for x in (q, k, v)]
    out, lse, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(*heads, None, True)
    # With a last axis of one, or without, by the version of PyTorch.
    return out.transpose(1, 2), lse.reshape(q.shape[0], q.shape[2], q.shape[1])


def _is_flash(q: Tensor) -> bool:
    is_half = q.dtype in _HALF and torch.cuda.get_device_capability(q.device) >= (8, 0)
    return is_half and q.shape[3] % 8 == 0 and q.shape[3] <= 256


def eager_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend in float32 by PyTorch's single operations: for any device, and as a reference."""
    scores = torch.einsum("bqnd,bknd->bnqk", q.float(), k.float()) * q.shape[3] ** -0.5
    out = scores.softmax(dim=-1) @ v.float().transpose(1, 2)
    return out.transpose(1, 2).type_as(q), scores.logsumexp(dim=-1)
