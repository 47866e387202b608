"""A transformer block in few passes over memory between its matrix products.

Axis legend: B batch, L tokens, C width, N heads, D head dim, T latent frames, A audio tokens a
frame.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..models.transformer.block import (
    AudioAttention,
    AvatarBlock,
    BlockContext,
    ContextAttention,
    KeyValue,
    SelfAttention,
)
from ..models.transformer.norms import LayerNorm, RMSNorm
from ..models.transformer.regions import SpeakerRegions, hear_regions
from ..models.transformer.runner import run_eager
from ..models.transformer.speakers import SpeakerMasks, Speakers, speaker_rotation
from ..quantization.fp8 import LARGEST
from ..quantization.linear_format import (
    DENSE,
    LinearFormat,
    Rows,
    format_of,
    multiply_rows,
)
from .absorbed_audio import absorb_audio, attend_absorbed, is_worth_absorbing
from .attention_kernels import AttendsFloat8
from .block_ops import BlockKernels, ContextKeys


class FusedExecution:
    """A :class:`BlockExecution` equal to the eager one up to rounding, rounded less often.

    Sums, norms and modulations are one pass each; the equal keys of the prompt's padding count
    as one; the projections around the audio cross-attention are absorbed into its keys and values.
    Blocks run eagerly where a gradient is wanted and for batches. With two speakers by regions each
    one's audio is absorbed for the tokens of their mask; by rotary positions, which stand between
    query and key, the audio cross-attention alone is eager, and the self-attention not in FP8.
    """

    def __init__(self, kernels: BlockKernels) -> None:
        """Run with ``kernels`` between the matrix products."""
        self._kernels = kernels
        self._factors: dict[RMSNorm, float] = {}

    def __call__(
        self,
        block: AvatarBlock,
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        context: BlockContext,
        audio: KeyValue,
        speakers: Speakers | None,
    ) -> Tensor:
        """See :class:`BlockExecution`."""
        is_eager = torch.is_grad_enabled() or x.shape[0] != 1
        if is_eager or not isinstance(block.norm_x, LayerNorm):
            return run_eager(block, x, modulation, rotation, context, audio, speakers)
        return self._run(block, x, modulation, rotation, context, audio, speakers)

    def _run(
        self,
        block: AvatarBlock,
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        context: BlockContext,
        audio: KeyValue,
        speakers: Speakers | None,
    ) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + block.modulation)[0]
        tokens, eps = x[0].contiguous(), block.norm1.eps
        first, last = block.ffn[0], block.ffn[2]
        _, rows = self._kernels.add_norm(
            tokens, None, None, scale1, shift1,
            eps=eps, plus_one=True, rows=format_of(block.self_attn.q),
        )  # fmt: skip
        masks = speakers if isinstance(speakers, SpeakerMasks) else None
        y, turned = self._attend_self(block.self_attn, rows, rotation, x.dtype, masks)
        tokens, rows = self._add_norm(tokens, y, gate1, block.norm3, format_of(block.cross_attn.q))
        y = self._attend_context(block.cross_attn, rows, context, x.dtype)
        tokens, rows = self._add_norm(tokens, y, None, block.norm_x, DENSE)
        y = self._attend_audio(block, rows, audio, speakers, turned)
        tokens, rows = self._kernels.add_norm(
            tokens, y, None, scale2, shift2, eps=eps, plus_one=True, rows=format_of(first)
        )
        hidden = multiply_rows(first, rows, x.dtype)
        rows = self._kernels.to_linear(hidden, gelu=True, rows=format_of(last))
        return self._kernels.add(tokens, multiply_rows(last, rows, x.dtype), gate2)[None]

    def _add_norm(
        self,
        x: Tensor,
        branch: Tensor,
        gate: Tensor | None,
        norm: nn.Module,
        rows: LinearFormat,
    ) -> tuple[Tensor, Rows]:
        """Add a branch, then normalise for layers of the format ``rows``."""
        assert isinstance(norm, LayerNorm)
        return self._kernels.add_norm(
            x, branch, gate, norm.weight, norm.bias,
            eps=norm.eps, plus_one=False, rows=rows,
        )  # fmt: skip

    def _attend_self(
        self,
        layer: SelfAttention,
        rows: Rows,
        rotation: Tensor,
        dtype: torch.dtype,
        masks: SpeakerMasks | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what is attended to, and with ``masks`` the rotary table of audio queries."""
        heads = (layer.num_heads, -1)
        q, k, v = (multiply_rows(part, rows, dtype) for part in (layer.q, layer.k, layer.v))
        attention, head_dim = layer.attention, q.shape[-1] // layer.num_heads
        is_float8 = isinstance(attention, AttendsFloat8) and attention.takes(q, head_dim)
        turned = None
        if is_float8 and masks is None:
            assert isinstance(attention, AttendsFloat8)
            out = self._attend_float8(layer, attention, (q, k, v), rotation)
        else:
            q = self._kernels.rms(q, layer.norm_q.weight, layer.norm_q.eps, rotation)
            k = self._kernels.rms(k, layer.norm_k.weight, layer.norm_k.eps, rotation)
            q, k, v = (part.unflatten(-1, heads)[None] for part in (q, k, v))
            out = attention(q, k, v)
            turned = None if masks is None else speaker_rotation(q, k, masks)
        return self._output(layer.o, out[0].flatten(1), dtype), turned

    def _attend_float8(
        self,
        layer: SelfAttention,
        attention: AttendsFloat8,
        parts: tuple[Tensor, Tensor, Tensor],
        rotation: Tensor,
    ) -> Tensor:
        heads = (layer.num_heads, -1)
        found, undo = [], []
        for part, norm in ((parts[0], layer.norm_q), (parts[1], layer.norm_k)):
            factor = self._factor(norm)
            rows = self._kernels.rms(part, norm.weight, norm.eps, rotation, factor)
            found.append(rows.unflatten(-1, heads)[None])
            undo.append(torch.full((1, heads[0]), 1 / factor, device=part.device))
        v = parts[2].unflatten(-1, heads)[None]
        return attention.attend_scaled(found[0], found[1], v, undo[0], undo[1])

    def _factor(self, norm: RMSNorm) -> float:
        """Return the factor that keeps normalised and rotated rows within the range.

        A row of C numbers with a root mean square of one has none above ``sqrt(C)``, and rotating
        a pair adds at most ``sqrt(2)``.
        """
        if norm not in self._factors:
            largest = float(norm.weight.abs().max()) * (2 * norm.weight.shape[0]) ** 0.5
            self._factors[norm] = LARGEST / max(largest, 1e-12)
        return self._factors[norm]

    def _attend_context(
        self, layer: ContextAttention, rows: Rows, context: BlockContext, dtype: torch.dtype
    ) -> Tensor:
        q = multiply_rows(layer.q, rows, dtype)
        q = self._kernels.rms(q, layer.norm_q.weight, layer.norm_q.eps, None)
        keys, values = (part[0] for part in context.image)
        out = self._kernels.attend(
            q.unflatten(-1, (layer.num_heads, -1)), _text_keys(context), ContextKeys(keys, values)
        )
        return self._output(layer.o, out.flatten(1), dtype)

    def _attend_audio(
        self,
        block: AvatarBlock,
        rows: Rows,
        audio: KeyValue,
        speakers: Speakers | None,
        turned: Tensor | None,
    ) -> Tensor:
        layer = block.audio_cross_attn
        assert isinstance(rows, Tensor), "the audio is attended to in the tokens' dtype"
        if turned is not None:
            return layer(rows[None], audio, turned)[0]
        hear = partial(self._hear, layer)
        if isinstance(speakers, SpeakerRegions):
            return hear_regions(hear, rows, audio, speakers)
        return hear(rows, audio)

    def _hear(self, layer: AudioAttention, rows: Tensor, audio: KeyValue) -> Tensor:
        """Attend to the audio of one speaker, absorbed where that is less work."""
        if not is_worth_absorbing(layer, audio, len(rows)):
            return layer(rows[None], audio, None)[0]
        return attend_absorbed(rows, absorb_audio(layer, audio, self._kernels), self._kernels)

    def _output(self, layer: nn.Module, out: Tensor, dtype: torch.dtype) -> Tensor:
        rows = self._kernels.to_linear(out.contiguous(), gelu=False, rows=format_of(layer))
        return multiply_rows(layer, rows, dtype)


def _text_keys(context: BlockContext) -> ContextKeys:
    """Return the prompt's keys with those of its padding merged."""
    keys, values = (part[0] for part in context.text)
    length = len(keys) if context.prompt_len is None else context.prompt_len
    count = max(1, len(keys) - length)
    num_distinct = len(keys) - count + 1
    return ContextKeys(keys[:num_distinct], values[:num_distinct], count)
