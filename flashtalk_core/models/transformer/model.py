"""The audio-driven bidirectional diffusion transformer.

Axis legend: B batch, F pixel frames, T latent frames, h w latent cells, L tokens, C width,
N heads, D head dim, W window, S hidden layers, M audio features, K classes of masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import DiTConfig
from ...geometry import token_grid
from ..attention import Attention, sdpa
from ..half_precision import guard_convolutions
from .audio_projection import AudioProjection
from .block import AvatarBlock, BlockContext, KeyValue
from .norms import LayerNorm, linear_fp32
from .rope import ROPE_BASE, float64_device, video_rotation
from .speakers import token_masks

TimeContext = tuple[Tensor, Tensor]
"""The embedded timestep ``(B, C)`` and its modulation ``(B, 6, C)``, float32."""


@dataclass(frozen=True)
class SessionContext:
    """What stays the same in a session: condition, prompt and picture, projected once."""

    condition: Tensor
    """Mask and encoded picture, ``(B, 20, T, h, w)``."""
    blocks: tuple[BlockContext, ...]
    """Keys and values for each block."""
    rotation: Tensor
    """Rotary table of the tokens, ``(L, D / 2, 2)`` float32."""
    times: dict[tuple[float, ...], TimeContext] = field(default_factory=dict)
    """What was made of each timestep, filled as steps are taken; a session has few."""


@dataclass(frozen=True)
class AudioContext:
    """What stays the same in a chunk: the sound, projected once for all steps."""

    blocks: tuple[KeyValue, ...]
    """Keys and values for each block, ``(B * T, A, N, D)``."""
    masks: Tensor | None = None
    """Reference masks of two speakers at pixel size, ``(K, H, W)``; ``None`` with one."""


def sinusoidal_embedding(positions: Tensor, dim: int) -> Tensor:
    """Embed ``(B,)`` positions as ``(B, dim)`` float32 cosines, then sines."""
    half, device = dim // 2, float64_device(positions.device)
    exponents = torch.arange(half, dtype=torch.float64, device=device) / half
    angles = torch.outer(positions.to(device).to(torch.float64), ROPE_BASE**-exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1).float().to(positions.device)


class ImageProjection(nn.Module):
    """CLIP tokens to the transformer's width."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(in_dim),
            nn.Linear(in_dim, in_dim),
            nn.GELU(),
            nn.Linear(in_dim, out_dim),
            nn.LayerNorm(out_dim),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Project ``(B, clip_tokens, in_dim)`` to ``(B, clip_tokens, out_dim)``."""
        return self.proj(tokens)


class OutputHead(nn.Module):
    """Modulated norm and linear layer from tokens to patches, in float32."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        patch_volume = config.patch_size[0] * config.patch_size[1] * config.patch_size[2]
        self.norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, patch_volume * config.out_dim)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map tokens ``(B, L, C)`` and time ``(B, C)`` float32 to patches, float32."""
        shift, scale = (self.modulation.float() + time[:, None]).chunk(2, dim=1)
        return linear_fp32(self.head, self.norm(x).float() * (1 + scale) + shift)


BlockWork = Literal["session", "sound", "step"]
"""What blocks are asked for: project prompt and picture, project the sound, or take a step."""


class BlockLender(Protocol):
    """Lends the blocks of a transformer in order, each until the next one is asked for."""

    def __call__(self, blocks: Sequence[AvatarBlock], work: BlockWork) -> Iterator[AvatarBlock]:
        """Yield every block when the weights that ``work`` needs are on the device."""
        ...


def lend_all(blocks: Sequence[AvatarBlock], work: BlockWork) -> Iterator[AvatarBlock]:  # noqa: ARG001
    """Lend blocks whose weights stay where they are; a :class:`BlockLender`."""
    return iter(blocks)


class AvatarDiT(nn.Module):
    """Velocity of a noisy chunk, given prompt, picture, sound and timestep.

    Source: SoulX-FlashTalk ``WanModel`` @ 688982e (the parameter names are theirs).
    """

    def __init__(self, config: DiTConfig, attention: Attention = sdpa) -> None:
        super().__init__()
        self.config = config
        self.lend: BlockLender = lend_all
        dim = config.dim
        self.patch_embedding = nn.Conv3d(
            config.in_dim, dim, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(
            AvatarBlock(config, attention) for _ in range(config.num_layers)
        )
        self.head = OutputHead(config)
        self.img_emb = ImageProjection(config.clip_dim, dim)
        self.audio_proj = AudioProjection(config)
        guard_convolutions(self)

    def _blocks(self, work: BlockWork) -> Iterator[AvatarBlock]:
        return self.lend(cast("Sequence[AvatarBlock]", self.blocks), work)

    def project_session(self, condition: Tensor, text: Tensor, clip: Tensor) -> SessionContext:
        """Project what stays the same in a session.

        Args:
            condition: Mask and encoded picture, ``(B, 20, T, h, w)``.
            text: Prompt, ``(B, <= text_len, text_dim)``; padded with zeros to text_len, and
                the padding is attended to, as in training.
            clip: Picture tokens, ``(B, clip_tokens, clip_dim)``.

        Returns:
            Keys and values for every block, and the rotary table.
        """
        padded = F.pad(text, (0, 0, 0, self.config.text_len - text.shape[1]))
        embedded, image = self.text_embedding(padded), self.img_emb(clip)
        length = text.shape[1]
        blocks = tuple(
            block.cross_attn.project(embedded, image, length) for block in self._blocks("session")
        )
        grid = self._token_grid(condition)
        rotation = video_rotation(grid, self.config.head_dim, condition.device)
        return SessionContext(condition, blocks, rotation)

    def _token_grid(self, latent: Tensor) -> tuple[int, int, int]:
        """Return tokens along (T, h, w) of ``(B, ., T, h, w)``."""
        return token_grid((latent.shape[2], latent.shape[3], latent.shape[4]), self.config)

    def project_audio(
        self, windows: Tensor, strength: float = 1.0, masks: Tensor | None = None
    ) -> AudioContext:
        """Project the sound of a chunk.

        Args:
            windows: ``(B, F, W, S, M)`` audio features; with ``masks``, axis 0 is the two
                speakers of one video.
            strength: Factor on the audio tokens; 1 is as trained.
            masks: ``(3, H, W)``: speaker 1, speaker 2, background; ``None`` with one speaker.

        Returns:
            Keys and values for every block.
        """
        tokens = self.audio_proj(windows) * strength
        num_speakers = 1
        if masks is not None:
            num_speakers = tokens.shape[0]
            tokens = torch.cat(tokens.split(1), dim=2)
        blocks = tuple(
            block.audio_cross_attn.project(tokens, num_speakers) for block in self._blocks("sound")
        )
        return AudioContext(blocks, masks)

    def forward(
        self, latent: Tensor, timestep: Tensor, session: SessionContext, audio: AudioContext
    ) -> Tensor:
        """Predict the velocity.

        Args:
            latent: Noisy chunk, ``(B, 16, T, h, w)``.
            timestep: ``(B,)`` in ``[0, 1000]``; 1000 is pure noise. On the CPU, it is embedded
                once a session.
            session: From :meth:`project_session`.
            audio: From :meth:`project_audio`.

        Returns:
            Velocity (noise minus data), ``(B, 16, T, h, w)`` float32.
        """
        grid = self._token_grid(latent)
        dtype = self.patch_embedding.weight.dtype
        x = torch.cat([latent, session.condition.to(latent.dtype)], dim=1).to(dtype)
        x = self.patch_embedding(x).flatten(2).transpose(1, 2)
        time, modulation = self._time(timestep, session)
        masks = None if audio.masks is None else token_masks(audio.masks, grid)
        blocks = self._blocks("step")
        for block, context, sound in zip(blocks, session.blocks, audio.blocks, strict=True):
            x = block(x, modulation, session.rotation, context, sound, masks)
        return self._unpatchify(self.head(x, time), grid)

    def _time(self, timestep: Tensor, session: SessionContext) -> TimeContext:
        """Embed a timestep once a session; anew where a gradient is wanted.

        One that is on a GPU is never read back: that would wait for the device, and fail while
        a CUDA graph is recorded.
        """
        device = self.patch_embedding.weight.device
        if torch.is_grad_enabled() or timestep.device.type != "cpu":
            return self._embed_time(timestep.to(device))
        key = tuple(timestep.tolist())
        if key not in session.times:
            session.times[key] = self._embed_time(timestep.to(device))
        return session.times[key]

    def _embed_time(self, timestep: Tensor) -> TimeContext:
        first, act, second = self.time_embedding
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        embedding = sinusoidal_embedding(timestep, self.config.freq_dim)
        time = linear_fp32(second, act(linear_fp32(first, embedding)))
        act, layer = self.time_projection
        assert isinstance(layer, nn.Linear)
        return time, linear_fp32(layer, act(time)).unflatten(1, (6, -1))

    def _unpatchify(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Lay patches ``(B, L, pt * ph * pw * 16)`` out as ``(B, 16, T, h, w)``."""
        batch, channels = patches.shape[0], self.config.out_dim
        x = patches.view(batch, *grid, *self.config.patch_size, channels)
        x = x.permute(0, 7, 1, 4, 2, 5, 3, 6)
        sizes = [g * p for g, p in zip(grid, self.config.patch_size, strict=True)]
        return x.reshape(batch, channels, *sizes)
