"""Outputs of an execution mode against those of the reference mode.

Axis legend: T latent frames, h w latent cells.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import num_latent_frames
from ..models.vae.model import VideoVAE
from ..parallel.image_spread import WHOLE, ImageSpread
from ..sampling.schedule import noise_levels
from .one_chunk import make_avatar, measured_span
from .random_networks import ChunkInputs, Networks

MIN_STD = 0.1
"""An output flatter than this says nothing: something before it is zero."""
MAX_ERROR = 0.01
"""Relative root mean square of the difference for modes that differ in rounding only."""
MAX_ERROR_FLOAT8 = 0.05
"""The same for one step in FP8, and for eager mode against float32."""


def rounding_bound(num_layers: int, dtype: torch.dtype) -> float:
    """Return how far two runs of the transformer may differ that only round in other places.

    Every block adds to its tokens four times and rounds each time. Rounding to a dtype of
    spacing ``eps`` errs by ``eps / sqrt(24)`` of the number in the root mean square; the errors
    of ``4 * num_layers`` roundings add up as independent ones do, and so do those of two runs:
    ``eps * sqrt(num_layers / 3)``.
    """
    return max(MAX_ERROR, torch.finfo(dtype).eps * math.sqrt(num_layers / 3))


@dataclass(frozen=True)
class Agreement:
    """How far one output is from the expected one."""

    paths: str
    output: str
    std: float
    """Standard deviation of the expected output."""
    relative_rms: float
    bound: float
    passed: bool


@torch.no_grad()
def step_outputs(networks: Networks, inputs: ChunkInputs) -> dict[str, Tensor]:
    """Return the velocity at every noise level for the same random latent, float32."""
    windows = make_avatar(networks, inputs).encode_audio(measured_span(networks))
    audio = networks.dit.project_audio(windows)
    latent = _random_latent(networks, inputs)
    found = {}
    levels = noise_levels(inputs.steps, networks.config.sampling.shift)[:-1]
    for number, level in enumerate(levels.tolist(), 1):
        time = torch.tensor([1000 * level], device=latent.device)
        velocity = networks.dit(latent, time, inputs.reference.session, audio)
        found[f"step {number}"] = velocity.float()
    return found


@torch.no_grad()
def vae_outputs(
    networks: Networks,
    inputs: ChunkInputs,
    num_decode_latents: int,
    dtype: torch.dtype | None = None,
    spread: ImageSpread = WHOLE,
) -> dict[str, Tensor]:
    """Encode the motion frames and decode a random latent.

    Args:
        networks: Whose autoencoder runs.
        inputs: Whose motion frames are encoded.
        num_decode_latents: Latent frames that are decoded or encoded at once.
        dtype: Of a copy that runs in its place; ``None`` runs the autoencoder itself.
        spread: Which ranks do it.

    Returns:
        Latents and frames, float32.
    """
    vae: VideoVAE = networks.vae if dtype is None else copy.deepcopy(networks.vae).to(dtype)
    weight = next(vae.parameters())
    latent = _random_latent(networks, inputs).to(weight)
    motion = spread.encode(vae, inputs.motion_frames.to(weight), num_decode_latents)
    frames = torch.cat(list(spread.decode(vae, latent, num_decode_latents)), dim=2)
    return {"motion encode": motion.float(), "decode": spread.join(frames).float()}


def _random_latent(networks: Networks, inputs: ChunkInputs) -> Tensor:
    """Return ``(1, 16, T, h, w)`` float32, the same at every call."""
    like = inputs.reference.motion_latent
    num_latents = num_latent_frames(networks.config.chunk.num_frames)
    shape = (1, like.shape[1], num_latents, *like.shape[-2:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(like.device)


def compare(
    paths: str,
    results: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    bounds: Mapping[str, float],
) -> list[Agreement]:
    """Compare outputs with the expected ones.

    Args:
        paths: Name of the execution mode.
        results: Its outputs.
        expected: The expected outputs, same shapes.
        bounds: Largest relative root mean square of the difference, by output; elsewhere
            :data:`MAX_ERROR`.
    """
    rows = []
    for output, result in results.items():
        right = expected[output]
        error = float((result - right).norm() / right.norm())
        std, bound = float(right.std()), bounds.get(output, MAX_ERROR)
        # Written so that a NaN does not pass.
        passed = error <= bound and std >= MIN_STD
        rows.append(Agreement(paths, output, std, error, bound, passed))
    return rows
