"""The audio-driven bidirectional diffusion transformer.

Axis legend: B batch, F pixel frames, T latent frames, h w latent cells, L tokens, C width,
N heads, D head dim, W window, S hidden layers, M audio features, K classes of masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config.avatar import SpeakerRouting
from ...config.networks import DiTConfig
from ...geometry import token_grid
from ..attention import Attention, sdpa
from ..half_precision import guard_convolutions
from ..initial import drawn
from .audio_projection import AudioProjection
from .block import AvatarBlock
from .layout import WHOLE, Grid, TokenLayout
from .norms import LayerNorm, linear_fp32
from .regions import find_regions
from .rope import ROPE_BASE, float64_device, video_rotation
from .runner import BlockRunner
from .speakers import Speakers, rotary_speakers
from .step import AudioContext, SessionContext, StepExecution, TimeContext, run_step


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
        self.modulation = drawn(1, 2, config.dim, divisor=config.dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map tokens ``(B, L, C)`` and time ``(B, C)`` float32 to patches, float32."""
        shift, scale = (self.modulation.float() + time[:, None]).chunk(2, dim=1)
        return linear_fp32(self.head, self.norm(x).float() * (1 + scale) + shift)


class AvatarDiT(nn.Module):
    """Velocity of a noisy chunk, given prompt, image, audio and timestep.

    Source: SoulX-FlashTalk ``WanModel`` @ 688982e (the parameter names are theirs).
    """

    def __init__(self, config: DiTConfig, attention: Attention = sdpa) -> None:
        super().__init__()
        self.config = config
        self.runner = BlockRunner()
        self.layout: TokenLayout = WHOLE
        self.step_execution: StepExecution = run_step
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

    def _blocks(self) -> Sequence[AvatarBlock]:
        return cast("Sequence[AvatarBlock]", self.blocks)

    def project_session(
        self,
        condition: Tensor,
        text: Tensor,
        clip: Tensor,
        timesteps: Sequence[float] = (),
    ) -> SessionContext:
        """Project what stays the same in a session.

        Args:
            condition: Mask and encoded image, ``(B, 20, T, h, w)``.
            text: Prompt, ``(B, <= text_len, text_dim)``; padded with zeros to text_len, and
                the padding is attended to, as in training.
            clip: Image tokens, ``(B, clip_tokens, clip_dim)``.
            timesteps: Those of the denoising steps of one video, if they are known; others
                are embedded at every step.

        Returns:
            Keys and values for every block, the rotary table and the embedded timesteps.
        """
        times = self._embed_times(timesteps)
        padded = F.pad(text, (0, 0, 0, self.config.text_len - text.shape[1]))
        embedded, image = self.text_embedding(padded), self.img_emb(clip)
        length = text.shape[1]
        resident = self.runner.provider.blocks_for(self._blocks(), "session")
        blocks = tuple(block.cross_attn.project(embedded, image, length) for block in resident)
        grid = self._token_grid(condition)
        rotation = video_rotation(grid, self.config.head_dim, condition.device)[None]
        rotation = self.layout.scatter(rotation, grid)[0]
        return SessionContext(condition, blocks, rotation, times, self.layout.most_tokens(grid))

    def _token_grid(self, latent: Tensor) -> Grid:
        """Return tokens along (T, h, w) of ``(B, ., T, h, w)``."""
        return token_grid((latent.shape[2], latent.shape[3], latent.shape[4]), self.config)

    def project_audio(
        self,
        windows: Tensor,
        strength: float = 1.0,
        masks: Tensor | None = None,
        routing: SpeakerRouting = "rotary",
    ) -> AudioContext:
        """Project the audio of a chunk.

        Args:
            windows: ``(B, F, W, S, M)`` audio features; with ``masks``, axis 0 is the two
                speakers of one video, and with regions then silence.
            strength: Factor on the audio tokens; 1 is as trained.
            masks: ``(3, H, W)``: speaker 1, speaker 2, background; ``None`` with one speaker.
            routing: How two speakers are told apart.

        Returns:
            Keys and values for every block.
        """
        tokens = self.audio_proj(windows) * strength
        num_speakers = 1
        if masks is not None and routing == "rotary":
            num_speakers = tokens.shape[0]
            tokens = torch.cat(tokens.split(1), dim=2)
        resident = self.runner.provider.blocks_for(self._blocks(), "audio")
        blocks = tuple(block.audio_cross_attn.project(tokens, num_speakers) for block in resident)
        return AudioContext(blocks, masks, routing)

    def forward(
        self, latent: Tensor, timestep: Tensor, session: SessionContext, audio: AudioContext
    ) -> Tensor:
        """Predict the velocity.

        Args:
            latent: Noisy chunk, ``(B, 16, T, h, w)``.
            timestep: ``(B,)`` in ``[0, 1000]``; 1000 is pure noise. On the CPU, one that the
                session knows is not embedded again.
            session: From :meth:`project_session`.
            audio: From :meth:`project_audio`.

        Returns:
            Velocity (noise minus data), ``(B, 16, T, h, w)`` float32.
        """
        return self.step_execution(self, latent, self._time(timestep, session), session, audio)

    def predict(
        self,
        latent: Tensor,
        time_context: TimeContext,
        session: SessionContext,
        audio: AudioContext,
    ) -> Tensor:
        """Predict the velocity at an embedded timestep; see :meth:`forward`.

        Reads nothing but tensors on its device, so that it can be recorded as a CUDA graph.
        """
        time, modulation = time_context
        grid = self._token_grid(latent)
        dtype = self.patch_embedding.weight.dtype
        x = torch.cat([latent, session.condition.to(latent.dtype)], dim=1).to(dtype)
        x = self.layout.scatter(self.patch_embedding(x).flatten(2).transpose(1, 2), grid)
        assert x.shape[1] == len(session.rotation), "the session is of another layout or size"
        speakers = self._place_speakers(audio, grid, x.device)
        x = self.runner(
            self._blocks(), x, modulation, session.rotation, session.blocks, audio.blocks, speakers
        )
        return self._unpatchify(self.layout.gather(self.head(x, time), grid), grid)

    def _place_speakers(
        self, audio: AudioContext, grid: Grid, device: torch.device
    ) -> Speakers | None:
        if audio.masks is None:
            return None
        place = find_regions if audio.routing == "regions" else rotary_speakers
        return place(audio.masks, grid, self.layout, device)

    def _time(self, timestep: Tensor, session: SessionContext) -> TimeContext:
        """Return a timestep as the session embedded it; embed others, and where gradients matter.

        One that is on a GPU is never read back: that would wait for the device, and fail while
        a CUDA graph is recorded.
        """
        known = None
        if session.times and timestep.device.type == "cpu" and not torch.is_grad_enabled():
            known = session.times.get(tuple(timestep.tolist()))
        return known or self._embed_time(timestep.to(self.patch_embedding.weight.device))

    def _embed_times(self, timesteps: Sequence[float]) -> dict[tuple[float, ...], TimeContext]:
        """Embed timesteps of one video by their value in float32, one by one as steps do."""
        device = self.patch_embedding.weight.device
        tensors = [torch.tensor([timestep]) for timestep in timesteps]
        return {tuple(each.tolist()): self._embed_time(each.to(device)) for each in tensors}

    def _embed_time(self, timestep: Tensor) -> TimeContext:
        first, act, second = self.time_embedding
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        embedding = sinusoidal_embedding(timestep, self.config.freq_dim)
        time = linear_fp32(second, act(linear_fp32(first, embedding)))
        act, layer = self.time_projection
        assert isinstance(layer, nn.Linear)
        return time, linear_fp32(layer, act(time)).unflatten(1, (6, -1))

    def _unpatchify(self, patches: Tensor, grid: Grid) -> Tensor:
        """Lay patches ``(B, L, pt * ph * pw * 16)`` out as ``(B, 16, T, h, w)``."""
        batch, channels = patches.shape[0], self.config.out_dim
        x = patches.view(batch, *grid, *self.config.patch_size, channels)
        x = x.permute(0, 7, 1, 4, 2, 5, 3, 6)
        sizes = [g * p for g, p in zip(grid, self.config.patch_size, strict=True)]
        return x.reshape(batch, channels, *sizes)
