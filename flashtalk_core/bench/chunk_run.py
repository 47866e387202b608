"""One chunk as the engine runs it, with a mark after each stage.

Axis legend: F pixel frames, W window, S hidden layers, A audio features, H W pixels.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..geometry import chunk_span, num_latent_frames
from ..media.audio.windows import window_features
from ..media.image.colour import match_colours
from ..media.image.portrait import from_model_range, to_pictures
from ..sampling.noise import ChunkNoise
from ..sampling.schedule import noise_levels
from ..sampling.step import denoise
from .random_networks import ChunkInputs, Networks

FIRST_FRAME = "first frame"
_CHUNK_INDEX = 1


class Marker(Protocol):
    """Is told when a stage has been handed to the device."""

    def mark(self, stage: str) -> None:
        """End ``stage``, which began where the one before ended."""
        ...

    def note(self, moment: str) -> None:
        """Remember how far from the start this moment is, without ending a stage."""
        ...


@torch.no_grad()
def run_chunk(
    networks: Networks, inputs: ChunkInputs, num_decode_latents: int, marker: Marker
) -> Tensor:
    """Run a chunk from sound to frames in host memory.

    Args:
        networks: What runs.
        inputs: What it starts from.
        num_decode_latents: Latent frames that are decoded at once.
        marker: Is told of each stage.

    Returns:
        New frames, ``(F, H, W, 3)`` uint8.
    """
    windows = hear(networks, inputs)
    marker.mark("audio encoder")
    sound = networks.dit.project_audio(windows)
    marker.mark("audio projection")
    motion = networks.vae.encode(inputs.motion_frames, num_decode_latents)
    marker.mark("motion encode")
    latent = _denoise(networks, inputs, sound, motion, marker)
    return _decode(networks, inputs, latent, num_decode_latents, marker)


def hear(networks: Networks, inputs: ChunkInputs) -> Tensor:
    """Encode the sound of the chunk as windows ``(1, F, W, S, A)``."""
    span = chunk_span(_CHUNK_INDEX, networks.config.chunk)
    features = networks.audio_encoder(inputs.samples, len(span.window))
    radius = networks.config.dit.audio_window // 2
    start = span.heard_in_window.start
    windows = window_features(features[0], start, len(span.window), radius)
    return windows[None, : len(span.heard_in_window)]


def _denoise(
    networks: Networks, inputs: ChunkInputs, sound: object, motion: Tensor, marker: Marker
) -> Tensor:
    sampling, device = networks.config.sampling, motion.device
    noise = ChunkNoise(sampling.seed, _CHUNK_INDEX)
    num_latents = num_latent_frames(networks.config.chunk.num_frames)
    shape = (1, motion.shape[1], num_latents, *motion.shape[-2:])
    step = 0

    def predict(latent: Tensor, level: float) -> Tensor:
        nonlocal step
        step += 1
        marker.mark("noise" if step == 1 else f"step {step - 1}")
        timestep = torch.tensor([1000 * level])
        return networks.dit(latent, timestep, inputs.reference.session, sound)

    latent = denoise(
        predict,
        noise_levels(inputs.steps, sampling.shift),
        motion.float(),
        sampling.rule,
        lambda: noise.draw(shape, device, torch.float32),
    ).to(motion.dtype)
    marker.mark(f"step {step}")
    return latent


def _decode(
    networks: Networks, inputs: ChunkInputs, latent: Tensor, num_latents: int, marker: Marker
) -> Tensor:
    num_motion = networks.config.chunk.num_motion_frames
    shown: list[Tensor] = []
    num_decoded = 0
    for group in networks.vae.decode_groups(latent, num_latents):
        marker.mark("decode")
        strength = networks.config.sampling.colour_strength
        frames = match_colours(group[0].float(), inputs.reference.colour, strength)
        marker.mark("colour")
        hidden = max(0, num_motion - num_decoded)
        num_decoded += frames.shape[1]
        if hidden < frames.shape[1]:
            shown.append(_to_host(frames[:, hidden:]))
            marker.mark("to host")
            if len(shown) == 1:
                marker.note(FIRST_FRAME)
    return torch.cat(shown)


def _to_host(frames: Tensor) -> Tensor:
    if frames.is_meta:
        return from_model_range(frames).permute(1, 2, 3, 0)
    return to_pictures(frames)
