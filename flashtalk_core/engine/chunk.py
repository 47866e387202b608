"""One chunk: motion frames and audio in, corrected frames out as they are decoded.

Axis legend: F pixel frames, M motion frames, T latent frames, H W pixels, W window, S hidden
layers, A audio features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..config.sampling import SamplingConfig
from ..errors import OverflowedError
from ..geometry import num_latent_frames
from ..media.image.colour import match_colours
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..placement.provider import FixedNetworks, Residency
from ..sampling.noise import ChunkNoise
from ..sampling.schedule import noise_levels
from ..sampling.step import denoise
from .events import NO_EVENTS, RenderEvents
from .reference import Reference
from .state import FrameGroup, SessionState

DrawNoise = Callable[[tuple[int, ...], torch.device, torch.dtype], Tensor]


@dataclass(frozen=True)
class ChunkModel:
    """The networks of the loop and the arithmetic they were trained with."""

    networks: Residency
    """Provides the transformer and the autoencoder."""
    chunk: ChunkConfig
    num_decode_latents: int = 1
    """Latent frames that are decoded or encoded at once; more is faster on a GPU and takes more
    memory."""

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
        windows: Audio features, ``(1, F, W, S, A)``.
        state: State of the session.
        sampling: How to denoise.
        events: Receives steps and stages; may raise to stop.
        draw_noise: Source of noise; ``None`` draws from (seed, chunk).

    Yields:
        New frames in order, motion frames left out; the last group has the next chunk's state.
    """
    motion = _motion_latent(model, reference, state)
    events.stage("motion encode")
    draw_noise = draw_noise or ChunkNoise(sampling.seed, state.chunk_index).draw
    latent = _denoise_chunk(model, reference, windows, motion, sampling, draw_noise, events)
    _check_finite(latent, state.chunk_index, "the model's output is")
    events.stage(f"step {sampling.steps}")
    last_frames: list[Tensor] = []
    num_decoded = 0
    num_motion = model.chunk.num_motion_frames
    for group in _decode(model, latent):
        _check_finite(group, state.chunk_index, "the VAE's images are")
        events.stage("decode")
        frames = match_colours(group[0].float(), reference.colour, sampling.colour_strength)
        events.stage("colour")
        last_frames = _append_last(last_frames, frames, num_motion)
        num_hidden = max(0, num_motion - num_decoded)
        num_decoded += frames.shape[1]
        if num_decoded > num_motion:
            is_last = num_decoded == model.chunk.num_frames
            next_state = _state_after(state, last_frames, num_motion) if is_last else None
            yield FrameGroup(frames[:, num_hidden:], next_state)


def _state_after(
    state: SessionState, last_frames: Sequence[Tensor], num_motion: int
) -> SessionState:
    """Return the state after a chunk that ends with ``last_frames``, each ``(3, f, H, W)``."""
    return SessionState(
        chunk_index=state.chunk_index + 1,
        motion_frames=torch.cat(tuple(last_frames), dim=1)[None, :, -num_motion:],
        fingerprint=state.fingerprint,
    )


def _check_finite(values: Tensor, chunk_index: int, what: str) -> None:
    """Stop at values that are no image: every later chunk would be generated from them.

    One pass that allocates nothing. The consumer of the frames waits for the device anyway.
    """
    # Both ends are NaN where any value is.
    if not all(map(math.isfinite, torch.stack(torch.aminmax(values)).tolist())):
        raise OverflowedError(
            f"chunk {chunk_index + 1}: {what} NaN or infinite; use another dtype "
            "(bfloat16 or float32), or another prompt or portrait",
            subject="dtype",
        )


def _motion_latent(model: ChunkModel, reference: Reference, state: SessionState) -> Tensor:
    """Encode the last frames of the chunk before, or the portrait for the first chunk."""
    if state.motion_frames is None:
        return reference.motion_latent
    with model.networks.acquire(VideoVAE) as vae:
        frames = state.motion_frames.to(next(vae.parameters()))
        latent = vae.encode(frames, model.num_decode_latents)
    _check_finite(latent, state.chunk_index, "the VAE's latents are")
    return latent


def _decode(model: ChunkModel, latent: Tensor) -> Iterator[Tensor]:
    """Yield groups of decoded frames ``(1, 3, f, H, W)``."""
    with model.networks.acquire(VideoVAE) as vae:
        yield from vae.decode_groups(
            latent.to(next(vae.parameters())), num_latents=model.num_decode_latents
        )


def _denoise_chunk(
    model: ChunkModel,
    reference: Reference,
    windows: Tensor,
    motion: Tensor,
    sampling: SamplingConfig,
    draw_noise: DrawNoise,
    events: RenderEvents,
) -> Tensor:
    """Return clean latents; the last step's stage is left to the caller, who checks them."""
    num_latents = num_latent_frames(model.chunk.num_frames)
    shape = (1, motion.shape[1], num_latents, *motion.shape[-2:])
    with model.networks.acquire(AvatarDiT) as dit:
        weight = dit.patch_embedding.weight
        audio = dit.project_audio(windows.to(weight), sampling.mouth_strength)
        events.stage("audio projection")
        step = 0

        def predict(latent: Tensor, level: float) -> Tensor:
            nonlocal step
            events.stage(f"step {step}" if step else "noise")
            events.step(step)
            step += 1
            timestep = torch.tensor([1000 * level])
            return dit(latent, timestep, reference.session, audio)

        # Steps are computed in float32 for any dtype of the weights: they cost nothing there.
        return denoise(
            predict,
            noise_levels(sampling.steps, sampling.shift),
            motion.to(weight.device, torch.float32),
            sampling.rule,
            lambda: draw_noise(shape, weight.device, torch.float32),
        )


def _append_last(groups: list[Tensor], frames: Tensor, count: int) -> list[Tensor]:
    """Append ``frames`` and drop groups that the last ``count`` frames do not need."""
    groups = [*groups, frames]
    while sum(group.shape[1] for group in groups[1:]) >= count:
        groups = groups[1:]
    return groups
