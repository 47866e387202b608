"""One chunk: motion frames and audio in, corrected frames out as they are decoded.

Axis legend: F pixel frames, M motion frames, T latent frames, H W pixels, W window, S hidden
layers, A audio features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..config.avatar import SpeakerRouting
from ..config.chunk import ChunkConfig
from ..config.light_vae import MotionVAE
from ..config.sampling import SamplingConfig
from ..errors import OverflowedError
from ..geometry import num_latent_frames
from ..media.image.colour import match_colours, outside_mouth
from ..models.transformer.model import AvatarDiT
from ..models.transformer.step import AudioContext
from ..models.vae.joins import fade_joins, num_faded_frames
from ..models.vae.light_vae import ImageCoder, LightVAE
from ..models.vae.model import VideoVAE
from ..parallel.image_spread import WHOLE, ImageSpread
from ..placement.provider import FixedNetworks, Residency
from ..sampling.noise import ChunkNoise, DrawNoise
from ..sampling.schedule import noise_levels
from ..sampling.step import Predict, denoise
from .events import NO_EVENTS, RenderEvents
from .reference import EncodedPortrait, Reference, project_reference
from .state import FrameGroup, SessionState


class ChunkDenoiser(Protocol):
    """What makes a chunk's latents of noise: this package's transformer, or a host's."""

    def project(self, portrait: EncodedPortrait, context: Tensor) -> Reference:
        """Project a portrait with a prompt ``(n, text_dim)``, once for all of its chunks."""
        ...

    def denoise(
        self,
        reference: Reference,
        windows: Tensor,
        motion: Tensor,
        sampling: SamplingConfig,
        draw_noise: DrawNoise,
        events: RenderEvents,
    ) -> Tensor:
        """Denoise a chunk.

        Args:
            reference: Of :meth:`project`.
            windows: Audio features, ``(1, F, W, S, A)``.
            motion: Clean motion latents, ``(1, 16, m, h, w)``; see :func:`denoise`.
            sampling: How to denoise.
            draw_noise: Source of noise.
            events: Receives steps and stages but the last step's, which is the caller's.

        Returns:
            Clean latents, ``(1, 16, T, h, w)``.
        """
        ...


@dataclass(frozen=True)
class SpeakerPlaces:
    """Where two speakers are in the frame, and how they are told apart."""

    masks: Tensor
    """``(3, H, W)`` float32 of 0 and 1 on the CPU: speaker 1, speaker 2, background."""
    routing: SpeakerRouting = "rotary"


@dataclass(frozen=True)
class TransformerDenoiser:
    """Denoises with the transformer of this package; see :class:`ChunkDenoiser`."""

    networks: Residency
    """Provides the transformer."""
    timesteps: Sequence[float] = ()
    """Those of the denoising steps, if known; see :meth:`.AvatarDiT.project_session`."""
    speakers: SpeakerPlaces | None = None
    """Where two speakers are; ``None`` with one."""

    def project(self, portrait: EncodedPortrait, context: Tensor) -> Reference:
        """Project keys and values of all blocks; see :class:`ChunkDenoiser`."""
        with self.networks.acquire(AvatarDiT) as dit:
            return project_reference(dit, portrait, context, self.timesteps)

    def denoise(
        self,
        reference: Reference,
        windows: Tensor,
        motion: Tensor,
        sampling: SamplingConfig,
        draw_noise: DrawNoise,
        events: RenderEvents,
    ) -> Tensor:
        """Denoise a chunk; see :class:`ChunkDenoiser`."""
        num_latents = num_latent_frames(windows.shape[1])
        shape = (1, motion.shape[1], num_latents, *motion.shape[-2:])
        with self.networks.acquire(AvatarDiT) as dit:
            weight = dit.patch_embedding.weight
            audio = project_audio(dit, windows, sampling, self.speakers)
            events.stage("audio projection")

            def predict(latent: Tensor, level: float) -> Tensor:
                timestep = torch.tensor([1000 * level])
                return dit(latent, timestep, reference.session, audio)

            # Steps are computed in float32 for any dtype of the weights: they cost nothing there.
            return denoise(
                reporting_steps(predict, events),
                noise_levels(sampling.steps, sampling.shift),
                motion.to(weight.device, torch.float32),
                sampling.rule,
                lambda: draw_noise(shape, weight.device, torch.float32),
            )


def reporting_steps(predict: Predict, events: RenderEvents) -> Predict:
    """Return ``predict``, each call of which is reported as the next step, before it runs."""
    step = 0

    def reporting(latent: Tensor, level: float) -> Tensor:
        nonlocal step
        events.stage(f"step {step}" if step else "noise")
        events.step(step)
        step += 1
        return predict(latent, level)

    return reporting


@dataclass(frozen=True)
class ChunkModel:
    """The networks of the loop and the arithmetic they were trained with."""

    networks: Residency
    """Provides the autoencoder, and the transformer unless a host brings its own."""
    chunk: ChunkConfig
    num_decode_latents: int = 1
    """Latent frames that are decoded or encoded at once; more is faster on a GPU and takes more
    memory."""
    spread: ImageSpread = WHOLE
    """Which part of a frame is encoded and decoded here."""
    denoiser: ChunkDenoiser | None = None
    """A host's own; ``None`` is the transformer of ``networks``."""
    motion_vae: MotionVAE | None = None
    """What makes motion frames where a light autoencoder decodes; ``None`` where none does."""

    @classmethod
    def resident(cls, dit: AvatarDiT, vae: VideoVAE, chunk: ChunkConfig) -> ChunkModel:
        """Return the model of networks that stay on their device."""
        return cls(FixedNetworks(dit, vae), chunk)


@torch.no_grad()
def generate_chunk(
    model: ChunkModel,
    reference: Reference,
    windows: Tensor,
    state: SessionState,
    sampling: SamplingConfig,
    *,
    events: RenderEvents = NO_EVENTS,
    draw_noise: DrawNoise | None = None,
) -> Iterator[FrameGroup]:
    """Generate the next chunk.

    Args:
        model: Networks and arithmetic.
        reference: The portrait.
        windows: Audio features, ``(1, F, W, S, A)``; of two speakers of both, and with
            regions of silence.
        state: State of the session.
        sampling: How to denoise.
        events: Receives steps and stages; may raise to stop.
        draw_noise: Source of noise; ``None`` draws from (seed, chunk).

    Yields:
        This rank's part of the new frames in order, motion frames left out; the last group has the
        next chunk's state, which is whole.
    """
    motion = _motion_latent(model, reference, state)
    events.stage("motion encode")
    draw_noise = draw_noise or ChunkNoise(sampling.seed, state.chunk_index).draw
    denoiser = model.denoiser or TransformerDenoiser(model.networks)
    latent = denoiser.denoise(reference, windows, motion, sampling, draw_noise, events)
    spread = model.spread
    _check_finite(latent, state.chunk_index, "the model's output is", spread)
    events.stage(f"step {sampling.steps}")
    last_frames: list[Tensor] = []
    num_motion = model.chunk.num_motion_frames
    for first, frames in _shown_groups(model, latent, reference, state, sampling, events):
        last_frames = _append_last(last_frames, frames, num_motion)
        stop = first + frames.shape[1]
        if stop <= num_motion:
            continue
        next_state = None
        if stop == model.chunk.num_frames:
            if model.motion_vae == "full":
                last_frames = _own_last_frames(model, latent, reference, state, sampling)
                events.stage("motion decode")
            motion_frames = torch.cat(last_frames, dim=1)[None, :, -num_motion:]
            next_state = _state_after(state, spread.join(motion_frames))
        yield FrameGroup(frames[:, max(0, num_motion - first) :], next_state, spread.corner_px)


def _shown_groups(
    model: ChunkModel,
    latent: Tensor,
    reference: Reference,
    state: SessionState,
    sampling: SamplingConfig,
    events: RenderEvents,
) -> Iterator[tuple[int, Tensor]]:
    """Yield groups of a chunk as they are shown, each with the number of its first frame."""
    chunk, motion = model.chunk, state.motion_frames
    num_faded = num_faded_frames(sampling.join_frames, chunk)
    fades = num_faded > 0 and motion is not None
    # Frames that are neither shown, nor the next chunk's motion frames, nor the join's.
    num_unused = min(chunk.num_motion_frames - int(fades), chunk.num_new_frames)
    groups = _matched_groups(model, latent, reference, state, sampling, events, num_unused)
    if motion is None or not fades:
        return groups
    return fade_joins(
        groups, motion[0, :, -1], model.spread.corner_px, chunk.num_motion_frames, num_faded
    )


def _matched_groups(
    model: ChunkModel,
    latent: Tensor,
    reference: Reference,
    state: SessionState,
    sampling: SamplingConfig,
    events: RenderEvents,
    num_unused: int,
) -> Iterator[tuple[int, Tensor]]:
    """Yield decoded groups in the portrait's colours, but for those among the first, unused."""
    num_decoded = 0
    for group in _decode(model, latent, light=model.motion_vae is not None):
        _check_finite(group, state.chunk_index, "the VAE's images are", model.spread)
        events.stage("decode")
        first, num_decoded = num_decoded, num_decoded + group.shape[2]
        if num_decoded <= num_unused:
            continue
        frames = _match(group[0].float(), reference, sampling, model.spread)
        events.stage("colour")
        yield first, frames


def _match(
    frames: Tensor, reference: Reference, sampling: SamplingConfig, spread: ImageSpread
) -> Tensor:
    """Give ``(3, f, H, W)``, which may be a part of the frames, the portrait's colours."""
    total = None if spread.is_whole else spread.total
    colour, weights = reference.colour, None
    if sampling.colour_area == "no-mouth":
        part = frames.shape[-2], frames.shape[-1]
        weights = outside_mouth(part, spread.corner_px, colour.size_px, frames.device)
        colour = colour.of("no-mouth")
    return match_colours(frames, colour, sampling.colour_strength, total, weights)


def _state_after(state: SessionState, motion_frames: Tensor) -> SessionState:
    """Return the state after a chunk that ends with ``motion_frames``, ``(1, 3, M, H, W)``."""
    return replace(state, chunk_index=state.chunk_index + 1, motion_frames=motion_frames)


def _check_finite(values: Tensor, chunk_index: int, what: str, spread: ImageSpread) -> None:
    """Stop at values that are no image: every later chunk would be generated from them.

    All ranks stop, whichever has them. One pass that allocates nothing. The consumer of the
    frames waits for the device anyway.
    """
    # Both ends are NaN where any value is.
    ends = torch.stack(torch.aminmax(values)) if values.numel() else values.new_zeros(2)
    if spread.total((~ends.isfinite()).float()).any():
        raise OverflowedError(
            f"chunk {chunk_index + 1}: {what} NaN or infinite; use another dtype "
            "(bfloat16 or float32), or another prompt or portrait",
            subject="dtype",
        )


def _motion_latent(model: ChunkModel, reference: Reference, state: SessionState) -> Tensor:
    """Encode the last frames of the chunk before, or the portrait for the first chunk."""
    if state.motion_frames is None:
        return reference.motion_latent
    with _coder(model, light=model.motion_vae == "light") as vae:
        frames = state.motion_frames.to(next(vae.parameters()))
        latent = model.spread.encode(vae, frames, model.num_decode_latents)
    _check_finite(latent, state.chunk_index, "the VAE's latents are", model.spread)
    return latent


def _own_last_frames(
    model: ChunkModel,
    latent: Tensor,
    reference: Reference,
    state: SessionState,
    sampling: SamplingConfig,
) -> list[Tensor]:
    """Decode a chunk once more, with the model's own autoencoder; return groups of last frames.

    All of it: a frame depends on every latent frame before it, and with fewer of them the error
    was no smaller than a light decoder's (docs/MODELS.md has the figures).
    """
    spread, last_frames = model.spread, list[Tensor]()
    num_left, num_motion = model.chunk.num_frames, model.chunk.num_motion_frames
    for group in _decode(model, latent, light=False):
        _check_finite(group, state.chunk_index, "the VAE's images are", spread)
        num_left -= group.shape[2]
        if num_left < num_motion:  # else none of these is among the last
            frames = _match(group[0].float(), reference, sampling, spread)
            last_frames = _append_last(last_frames, frames, num_motion)
    return last_frames


@contextmanager
def _coder(model: ChunkModel, *, light: bool) -> Iterator[VideoVAE | ImageCoder]:
    """Hold the light autoencoder, or the model's own."""
    if light:
        with model.networks.acquire(LightVAE) as network:
            yield network.coder
        return
    with model.networks.acquire(VideoVAE) as vae:
        yield vae


def _decode(model: ChunkModel, latent: Tensor, *, light: bool) -> Iterator[Tensor]:
    """Yield this rank's part of groups of decoded frames, ``(1, 3, f, H, W)``."""
    with _coder(model, light=light) as vae:
        latent = latent.to(next(vae.parameters()))
        yield from model.spread.decode(vae, latent, model.num_decode_latents)


def project_audio(
    dit: AvatarDiT, windows: Tensor, sampling: SamplingConfig, speakers: SpeakerPlaces | None
) -> AudioContext:
    """Project the audio of a chunk; for the windows see :func:`generate_chunk`."""
    heard = windows.to(dit.patch_embedding.weight)
    if speakers is None:
        return dit.project_audio(heard, sampling.mouth_strength)
    return dit.project_audio(heard, sampling.mouth_strength, speakers.masks, speakers.routing)


def _append_last(groups: list[Tensor], frames: Tensor, count: int) -> list[Tensor]:
    """Append ``frames`` and drop groups that the last ``count`` frames do not need."""
    groups = [*groups, frames]
    while sum(group.shape[1] for group in groups[1:]) >= count:
        groups = groups[1:]
    return groups
