"""Many sessions rolled out in one batch, each chunk conditioned on the one before.

Axis legend: B sessions, F pixel frames, M motion frames, T latent frames, m motion latents, H W
pixels, h w latent cells, W window, S hidden layers, A audio features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.sampling import ColourArea, SamplingConfig, StepRule
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.media.image.colour import ColourReference, match_colours, outside_mouth
from flashtalk_core.models.vae.joins import faded, jump_at, num_faded_frames
from flashtalk_core.models.vae.layers import CausalConv3d, Upsample, run_sequence
from flashtalk_core.models.vae.light_decoder import LightDecoder
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.sampling.schedule import noise_levels
from flashtalk_core.sampling.step import euler_step, renoise_step

from ..losses import predicted_data
from .rollout_plan import RolloutPlan

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Velocity ``(B, 16, T, h, w)`` of a noisy latent at noise levels ``(B,)`` with audio windows."""
DrawNoise = Callable[[tuple[int, ...]], Tensor]
"""Draws unit noise of a shape, float32, where the sessions are."""


@dataclass(frozen=True)
class Portraits:
    """What each session starts from and goes back to."""

    first_motion: Tensor
    """Encoded images, ``(B, 16, 1, h, w)``: motion latents of the first chunk."""
    colour_mean: Tensor
    """Lab mean of the images, ``(B, 3)``."""
    colour_std: Tensor
    """Lab deviation of the images, ``(B, 3)``."""
    colour_area: ColourArea = "frame"
    """Pixels of which they are."""

    @classmethod
    def encode(cls, vae: VideoVAE, images: Tensor, colour_area: ColourArea = "frame") -> Portraits:
        """Encode ``(B, 3, H, W)`` in ``[-1, 1]``, colours measured in ``colour_area``."""
        references = [ColourReference.from_image(image).of(colour_area) for image in images]
        return cls(
            encode_clip(vae, images[:, :, None]),
            torch.stack([reference.mean for reference in references]),
            torch.stack([reference.std for reference in references]),
            colour_area,
        )

    def pick(self, rows: Tensor | slice) -> Portraits:
        """Return the portraits of some sessions."""
        means, deviations = self.colour_mean[rows], self.colour_std[rows]
        return Portraits(self.first_motion[rows], means, deviations, self.colour_area)


def encode_clip(vae: VideoVAE, video: Tensor) -> Tensor:
    """Encode whole clips ``(B, 3, F, H, W)``; equal to ``vae.encode``, in one pass."""
    return vae.normalise(vae.moments_to_mean(vae.encoder(video)).float())


def decode_clip(vae: VideoVAE, latent: Tensor) -> Tensor:
    """Decode whole clips ``(B, 16, T, h, w)``; equal to ``vae.decode_groups``, in one pass."""
    return vae.decode_frames(latent).float().clamp(-1, 1)


def decode_end(vae: VideoVAE, latent: Tensor, num_frames: int) -> Tensor:
    """Decode the last frames of whole clips alone; equal to those of :func:`decode_clip`.

    Layers that keep the number of frames run on as many as the last ones look back to.
    """
    decoder = vae.decoder
    if isinstance(decoder, LightDecoder):
        return decode_clip(vae, latent)[:, :, -num_frames:]
    x = vae.conv2(vae.denormalise(latent))
    x = run_sequence((decoder.conv1, *decoder.middle), x, None)
    layers = [*decoder.upsamples, *decoder.head]
    for index, layer in enumerate(layers):
        rest = [each for layer in layers[index:] for each in layer.modules()]
        if not any(isinstance(each, Upsample) and each.time_conv for each in rest):
            seen = sum(each.lookback for each in rest if isinstance(each, CausalConv3d))
            x = x[:, :, -(num_frames + seen) :]
        x = run_sequence((layer,), x, None)
    return x[:, :, -num_frames:].float().clamp(-1, 1)


def correct_colours(frames: Tensor, portraits: Portraits, strength: float) -> Tensor:
    """Match each session's frames ``(B, 3, F, H, W)`` to its portrait, as inference does."""
    weights = None
    if portraits.colour_area == "no-mouth":
        size = frames.shape[-2], frames.shape[-1]
        weights = outside_mouth(size, device=frames.device)

    def match(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return match_colours(frames, ColourReference(mean, std), strength, weights=weights)

    matched: Tensor = torch.vmap(match)(frames, portraits.colour_mean, portraits.colour_std)
    return matched


class ChunkOverlap(NamedTuple):
    """A chunk as decoded, its hidden motion frames included, and the frame shown before it."""

    before: Tensor
    """Last frame of the chunk before, ``(B, 3, H, W)`` in ``[-1, 1]``."""
    frames: Tensor
    """With their colours matched, ``(B, 3, F, H, W)``."""
    unmatched: Tensor
    """Before the match of colours, same shape."""
    shown: Tensor
    """New frames, the jump at the join faded out, ``(B, 3, F - M, H, W)``."""
    num_motion: int
    """Leading frames that are hidden; the last of them is ``before``, drawn again."""


@dataclass(frozen=True)
class Roller:
    """The networks around the transformer, and how chunks are denoised and chained."""

    encode: Callable[[Tensor], Tensor]
    """:func:`encode_clip` of the autoencoder."""
    decode: Callable[[Tensor], Tensor]
    """:func:`decode_clip` of the autoencoder."""
    decode_end: Callable[[Tensor, int], Tensor]
    """:func:`decode_end` of the autoencoder."""
    levels: tuple[float, ...]
    """Noise levels, falling from 1 to 0."""
    rule: StepRule
    num_latents: int
    """T of a chunk."""
    num_motion_frames: int
    colour_strength: float
    num_faded_frames: int = 0
    """New frames over which the jump at a join is faded out."""

    @classmethod
    def around(
        cls,
        vae: VideoVAE,
        config: AvatarConfig,
        sampling: SamplingConfig,
    ) -> Roller:
        """Return one whose autoencoder is ``vae``; what it is given takes that one's dtype."""
        dtype = next(vae.parameters()).dtype
        return cls(
            encode=lambda video: encode_clip(vae, video.to(dtype)),
            decode=lambda latent: decode_clip(vae, latent.to(dtype)),
            decode_end=lambda latent, count: decode_end(vae, latent.to(dtype), count),
            levels=tuple(noise_levels(sampling.steps, sampling.shift).tolist()),
            rule=sampling.rule,
            num_latents=num_latent_frames(config.chunk.num_frames),
            num_motion_frames=config.chunk.num_motion_frames,
            colour_strength=sampling.colour_strength,
            num_faded_frames=num_faded_frames(sampling.join_frames, config.chunk),
        )

    @torch.no_grad()
    def chunk(self, velocity: Velocity, windows: Tensor, motion: Tensor, draw: DrawNoise) -> Tensor:
        """Denoise a whole chunk, ``(B, 16, T, h, w)``, its motion latents as given."""
        noise = draw(self._shape(motion))
        x = self._denoise(velocity, windows, motion, noise, draw, len(self.levels) - 1)
        return _with_motion(x, motion)

    @torch.no_grad()
    def show(self, latent: Tensor, portraits: Portraits) -> Tensor:
        """Decode and correct a chunk, ``(B, 3, F, H, W)``."""
        return correct_colours(self.decode(latent), portraits, self.colour_strength)

    @torch.no_grad()
    def overlap(self, latent: Tensor, portraits: Portraits, before: Tensor | None) -> ChunkOverlap:
        """Decode a chunk whole, with what was shown ``before`` it, ``(B, 3, H, W)`` or nothing."""
        unmatched = self.decode(latent)
        frames = correct_colours(unmatched, portraits, self.colour_strength)
        shown = frames[:, :, 0] if before is None else before
        new = frames if before is None else self.fade(frames, before)
        count = self.num_motion_frames
        return ChunkOverlap(shown, frames, unmatched, new[:, :, count:], count)

    @torch.no_grad()
    def fade(self, frames: Tensor, before: Tensor) -> Tensor:
        """Return what :meth:`show` returns as it is seen after ``before``, ``(B, 3, H, W)``."""
        count = self.num_motion_frames
        jump = jump_at(before, frames[:, :, count - 1], frames[:, :, count])
        return faded(frames, jump, -count, self.num_faded_frames)

    @torch.no_grad()
    def end(self, latent: Tensor) -> Tensor:
        """Decode the frames from which the next chunk goes on, ``(B, 3, M, H, W)``."""
        return self.decode_end(latent, self.num_motion_frames)

    @torch.no_grad()
    def next_motion(self, frames: Tensor) -> Tensor:
        """Encode the last frames of a chunk, ``(B, 16, m, h, w)``."""
        return self.encode(frames[:, :, -self.num_motion_frames :])

    def _shape(self, motion: Tensor) -> tuple[int, ...]:
        batch, channels, _, *cells = motion.shape
        return (batch, channels, self.num_latents, *cells)

    def _denoise(
        self,
        velocity: Velocity,
        windows: Tensor,
        motion: Tensor,
        noise: Tensor,
        draw: DrawNoise,
        num_steps: int,
    ) -> Tensor:
        """Take the first ``num_steps`` steps from pure noise."""
        x, batch = noise, noise.shape[0]
        for level, next_level in list(pairwise(self.levels))[:num_steps]:
            x = _with_motion(x, motion)
            speed = velocity(x, x.new_full((batch,), level), windows).float()
            if self.rule == "renoise":
                x = renoise_step(x, speed, level, next_level, lambda: draw(tuple(noise.shape)))
            else:
                x = euler_step(x, speed, level, next_level)
        return x

    def judged(
        self, velocity: Velocity, windows: Tensor, motion: Tensor, draw: DrawNoise, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the data that one step predicts; only that step may carry a gradient.

        The motion latents of the data are the model's own prediction of them. The second is the
        noise that the chunk began with, the third where a step of Euler's ends.
        """
        noise = draw(self._shape(motion))
        with torch.no_grad():
            x = self._denoise(velocity, windows, motion, noise, draw, step)
            x = _with_motion(x, motion)
        level = x.new_full((x.shape[0],), self.levels[step])
        speed = velocity(x, level, windows).float()
        reached = euler_step(x, speed.detach(), self.levels[step], self.levels[step + 1])
        return predicted_data(x, speed, level), noise, reached


class Rollout(NamedTuple):
    """What a roll-out ends with."""

    data: Tensor
    """Clean latents that chunk K's chosen step predicts, ``(B, 16, T, h, w)``."""
    motion: Tensor
    """Motion latents that chunk K goes on from, ``(B, 16, m, h, w)``."""
    noise: Tensor
    """What chunk K was denoised from, ``(B, 16, T, h, w)``."""
    reached: Tensor
    """Where the chosen step of Euler's ends, at the next noise level, same shape; no gradient."""

    def joined(self) -> Tensor:
        """Return chunk K with the motion latents that it goes on from."""
        return _with_motion(self.data, self.motion)


Advance = Callable[[Tensor, Tensor], Tensor]
"""Denoises a chunk of given windows and motion latents and decodes its last frames."""


def roll_out(
    roller: Roller,
    velocity: Velocity,
    portraits: Portraits,
    windows: Sequence[Tensor],
    plan: RolloutPlan,
    draw: DrawNoise,
    advance: Advance | None = None,
    disturb: Callable[[Tensor], Tensor] | None = None,
    start: Tensor | None = None,
) -> Rollout:
    """Roll out K chunks, each from the last frames of its predecessor.

    Chunks before the last are denoised to the end without gradient. Of the last, the steps
    before the chosen one have none either; whether the chosen one has is the caller's choice.

    Args:
        roller: How chunks are denoised and chained.
        velocity: The student.
        portraits: Where sessions start.
        windows: Audio windows of each chunk, ``(B, F, W, S, A)``, at least K of them.
        plan: K and the step.
        draw: Source of noise.
        advance: How chunks before the last are made; ``None`` for eager execution.
        disturb: Applied to the frames ``(B, 3, M, H, W)`` from which chunk K goes on, for the
            student alone; ``None`` for nothing.
        start: Motion latents that the first chunk goes on from, ``(B, 16, m, h, w)``; ``None``
            for the portraits'.

    Source: arXiv 2512.23379, stage 2 (stochastic truncation).
    """
    motion = seen = portraits.first_motion if start is None else start
    last = plan.num_chunks - 1
    for index, window in enumerate(windows[:last], start=1):
        if advance is None:
            ended = roller.end(roller.chunk(velocity, window, motion, draw))
        else:
            ended = advance(window, motion)
        frames = correct_colours(ended, portraits, roller.colour_strength)
        motion = seen = roller.next_motion(frames)
        if disturb is not None and index == last:
            seen = roller.next_motion(disturb(frames))
    data, noise, reached = roller.judged(velocity, windows[last], seen, draw, plan.step)
    return Rollout(data, motion, noise, reached)


def _with_motion(x: Tensor, motion: Tensor) -> Tensor:
    """Return ``x`` with its leading latents replaced."""
    return torch.cat([motion, x[:, :, motion.shape[2] :]], dim=2)
