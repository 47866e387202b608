"""Audio cross-attention with the query and output projections absorbed into keys and values.

A frame hears few audio tokens, 32 at the full size, and all heads together have fewer keys for
them (1,280) than a query has channels (5,120). So ``(x Wq) k`` is cheaper as ``x (Wq k)``, and
``(p v) Wo`` as ``p (v Wo)``: a quarter of the products, the same result up to rounding.

Axis legend: T latent frames, R tokens of a frame, A audio tokens a frame, N heads, D head dim,
C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from ..models.transformer.block import AudioAttention, KeyValue
from ..quantization.packed.linear import PackedLinear
from .block_ops import BlockKernels


@dataclass(frozen=True)
class AbsorbedAudioAttention:
    """Absorbed keys and values of a block for the audio of a chunk; made at every step.

    Stored for a whole chunk it would take 236 MB a block at the full size, and gain little.
    """

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


def is_worth_absorbing(layer: AudioAttention, audio: KeyValue, num_rows: int) -> bool:
    """Tell whether absorbing takes fewer products for ``num_rows`` tokens of one video.

    Only layers that multiply by dense weights can be absorbed; very small images have too few
    tokens to pay for it. Where several devices share the tokens, each absorbs for its own: to
    exchange what was absorbed would take longer.
    """
    num_frames, num_tokens, num_heads, head_dim = audio[0].shape
    dense = (nn.Linear, PackedLinear)
    if not (isinstance(layer.q_linear, dense) and isinstance(layer.proj, dense)):
        return False
    width = num_heads * head_dim
    saved = num_rows * (width - num_heads * num_tokens)
    return saved > num_frames * num_tokens * width


def absorb_audio(
    layer: AudioAttention, audio: KeyValue, kernels: BlockKernels
) -> AbsorbedAudioAttention:
    """Absorb the outer projections of ``layer`` into the keys and values of one speaker.

    Args:
        layer: Whose keys and values they are; see :func:`is_worth_absorbing`.
        audio: Keys and values of one video, ``(T, A, N, D)`` each.
        kernels: What multiplies.
    """
    keys, values = audio
    _, num_tokens, num_heads, head_dim = keys.shape
    query = _weight(layer.q_linear, keys.dtype).view(num_heads, head_dim, -1)
    output = _weight(layer.proj, keys.dtype).view(-1, num_heads, head_dim).permute(1, 2, 0)
    bias = layer.q_linear.bias.view(num_heads, head_dim).float()
    absorbed_values = kernels.absorb(values, output)
    # The weights of a softmax add up to one: the bias comes along with the first head's.
    absorbed_values[:, :num_tokens] += layer.proj.bias
    return AbsorbedAudioAttention(
        keys=kernels.absorb(keys, query),
        bias=(keys.float() * bias).sum(dim=-1).transpose(1, 2).flatten(1)[:, None],
        values=absorbed_values,
        num_tokens=num_tokens,
        scale=head_dim**-0.5,
    )


def _weight(layer: nn.Module, dtype: torch.dtype) -> Tensor:
    if isinstance(layer, PackedLinear):
        return layer.dense_weight(dtype)
    assert isinstance(layer, nn.Linear)
    return layer.weight


def attend_absorbed(x: Tensor, audio: AbsorbedAudioAttention, kernels: BlockKernels) -> Tensor:
    """Attend from normalised tokens ``(L, C)`` frame by frame; same shape and dtype."""
    frames = x.unflatten(0, (audio.keys.shape[0], -1))
    logits = _wide_product(frames, audio.keys.transpose(1, 2))
    weights = kernels.softmax(logits, audio.bias, audio.scale, audio.num_tokens, x.dtype)
    return torch.bmm(weights, audio.values).flatten(0, 1)


def _wide_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the batched product in float32, which logits need."""
    if one.device.type != "cuda" or one.dtype == torch.float32:
        return torch.bmm(one, other).float()
    if _widens_products(one.device, one.dtype):
        return torch.bmm(one, other, out_dtype=torch.float32)
    return torch.bmm(one.float(), other.float())


@cache
def _widens_products(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a product can have a wider format than its factors: from PyTorch 2.8 on, on CUDA."""
    one = torch.zeros(1, 16, 16, device=device, dtype=dtype)
    try:
        torch.bmm(one, one, out_dtype=torch.float32)
    except torch.OutOfMemoryError:
        raise  # does not concern the product
    except (TypeError, RuntimeError):
        return False
    return True
