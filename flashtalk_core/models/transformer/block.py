"""One block of the audio-driven diffusion transformer.

Axis legend: B batch, L tokens, C width, N heads, D head dim, T latent frames, A audio tokens a
frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...config.networks import DiTConfig
from ..attention import Attention
from ..initial import drawn
from .norms import LayerNorm, RMSNorm
from .regions import SpeakerRegions, hear_regions
from .rope import rotate
from .speakers import SpeakerMasks, Speakers, key_rotation, speaker_rotation

KeyValue = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BlockContext:
    """Keys and values of prompt and image for one block; made once, used at every step."""

    text: KeyValue
    """Keys and values of the prompt, ``(B, text_len, N, D)`` each."""
    image: KeyValue
    """Keys and values of the CLIP tokens, ``(B, clip_tokens, N, D)`` each."""
    prompt_len: int | None = None
    """Positions of the prompt before its padding; those behind are all equal. ``None`` where
    that is not known."""


class SelfAttention(nn.Module):
    """Self-attention over all tokens of a chunk, 3-D RoPE, RMS norm on queries and keys."""

    def __init__(self, config: DiTConfig, attention: Attention) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.attention = attention
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim, config.eps)
        self.norm_k = RMSNorm(dim, config.eps)

    def forward(
        self, x: Tensor, rotation: Tensor, masks: SpeakerMasks | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: Tokens, ``(B, L, C)``.
            rotation: Rotary table, ``(L, D / 2, 2)`` float32.
            masks: Reference masks of two speakers; ``None`` with one speaker.

        Returns:
            ``(B, L, C)``, and with two speakers the rotary table of audio queries,
            ``(L, D / 2, 2)`` float32.
        """
        heads = (self.num_heads, -1)
        q = rotate(self.norm_q(self.q(x)).unflatten(-1, heads), rotation)
        k = rotate(self.norm_k(self.k(x)).unflatten(-1, heads), rotation)
        v = self.v(x).unflatten(-1, heads)
        out = self.o(self.attention(q, k, v).flatten(2))
        return out, None if masks is None else speaker_rotation(q, k, masks)


class ContextAttention(nn.Module):
    """Cross-attention to the prompt and, with keys of its own, to the image."""

    def __init__(self, config: DiTConfig, attention: Attention) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.attention = attention
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim, config.eps)
        self.norm_k = RMSNorm(dim, config.eps)
        self.k_img = nn.Linear(dim, dim)
        self.v_img = nn.Linear(dim, dim)
        self.norm_k_img = RMSNorm(dim, config.eps)

    def project(self, text: Tensor, image: Tensor, prompt_len: int | None = None) -> BlockContext:
        """Compute keys and values of embedded text and image tokens ``(B, ., C)``.

        Args:
            text: Prompt with its padding.
            image: Image tokens.
            prompt_len: Positions before the padding, if known.
        """
        heads = (self.num_heads, -1)
        return BlockContext(
            text=(
                self.norm_k(self.k(text)).unflatten(-1, heads),
                self.v(text).unflatten(-1, heads),
            ),
            image=(
                self.norm_k_img(self.k_img(image)).unflatten(-1, heads),
                self.v_img(image).unflatten(-1, heads),
            ),
            prompt_len=prompt_len,
        )

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """Attend from ``(B, L, C)``; same shape."""
        q = self.norm_q(self.q(x)).unflatten(-1, (self.num_heads, -1))
        out = self.attention(q, *context.text) + self.attention(q, *context.image)
        return self.o(out.flatten(2))


class AudioAttention(nn.Module):
    """Cross-attention of each latent frame to its own audio tokens."""

    def __init__(self, config: DiTConfig, attention: Attention) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.head_dim = config.head_dim
        self.attention = attention
        self.q_linear = nn.Linear(config.dim, config.dim)
        self.kv_linear = nn.Linear(config.audio_output_dim, 2 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def project(self, tokens: Tensor, num_speakers: int) -> KeyValue:
        """Compute keys and values.

        Args:
            tokens: ``(B, T, A, audio_output_dim)``; with two speakers A holds both.
            num_speakers: 1 or 2.

        Returns:
            Keys and values, ``(B * T, A, N, D)`` each.
        """
        k, v = self.kv_linear(tokens.flatten(0, 1)).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
        if num_speakers > 1:
            k = rotate(k, key_rotation(k.shape[1], self.head_dim, k.device))
        return k, v

    def forward(self, x: Tensor, audio: KeyValue, rotation: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: Tokens, ``(B, L, C)``, frame by frame.
            audio: Keys and values, ``(B * T, A, N, D)`` each.
            rotation: Rotary table of the queries with two speakers, ``(L, D / 2, 2)`` float32;
                ``None`` with one.

        Returns:
            ``(B, L, C)``.
        """
        k, v = audio
        q = self.q_linear(x).unflatten(-1, (self.num_heads, -1))
        if rotation is not None:
            q = rotate(q, rotation)
        num_frames = k.shape[0] // x.shape[0]
        q = q.unflatten(1, (num_frames, -1)).flatten(0, 1)
        out = self.attention(q, k, v).flatten(2)
        return self.proj(out).unflatten(0, (x.shape[0], num_frames)).flatten(1, 2)


class AvatarBlock(nn.Module):
    """Self-attention, prompt and image, audio, feed-forward; adaLN modulation in float32."""

    def __init__(self, config: DiTConfig, attention: Attention) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = SelfAttention(config, attention)
        self.norm3 = LayerNorm(dim, eps)
        self.cross_attn = ContextAttention(config, attention)
        self.norm_x = LayerNorm(dim, eps) if config.norm_input_visual else nn.Identity()
        self.audio_cross_attn = AudioAttention(config, attention)
        self.norm2 = LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.ffn_dim, dim),
        )
        self.modulation = drawn(1, 6, dim, divisor=dim**0.5)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        context: BlockContext,
        audio: KeyValue,
        speakers: Speakers | None = None,
    ) -> Tensor:
        """Run the block.

        Args:
            x: Tokens, ``(B, L, C)``.
            modulation: Projected timestep, ``(B, 6, C)`` float32.
            rotation: Rotary table, ``(L, D / 2, 2)`` float32.
            context: Keys and values of prompt and image.
            audio: Keys and values of the audio, ``(B * T, A, N, D)`` each; with regions
                ``(K * T, A, N, D)``.
            speakers: Where two speakers are; ``None`` with one.

        Returns:
            Tokens, same shape and dtype.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + modulation).chunk(
            6, dim=1
        )
        y, audio_rotation = self.self_attn(
            _modulate(self.norm1(x), scale1, shift1),
            rotation,
            speakers if isinstance(speakers, SpeakerMasks) else None,
        )
        x = (x + y * gate1).type_as(x)
        x = x + self.cross_attn(self.norm3(x), context)
        if isinstance(speakers, SpeakerRegions):
            x = x + self._hear_regions(self.norm_x(x), audio, speakers)
        else:
            x = x + self.audio_cross_attn(self.norm_x(x), audio, audio_rotation)
        y = self.ffn(_modulate(self.norm2(x), scale2, shift2))
        return (x + y * gate2).type_as(x)

    def _hear_regions(self, x: Tensor, audio: KeyValue, regions: SpeakerRegions) -> Tensor:
        def hear(rows: Tensor, heard: KeyValue) -> Tensor:
            out: Tensor = self.audio_cross_attn(rows[None], heard, None)
            return out[0]

        return hear_regions(hear, x[0], audio, regions)[None]


def _modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return (x.float() * (1 + scale) + shift).type_as(x)
