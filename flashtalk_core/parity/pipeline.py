"""Parity of the chunk loop, driven by recorded noise.

Axis legend: F pixel frames, T latent frames, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..config.sampling import SamplingConfig
from ..engine.chunk import ChunkModel, DrawNoise, generate_chunk
from ..engine.reference import Reference, prepare_reference
from ..engine.state import SessionState
from ..media.pixels import to_model_range
from ..models.vae.model import VideoVAE
from ..sampling.schedule import noise_levels
from .bounds import HOST, ParityResult, Placement, compare
from .golden import Golden, read_golden
from .media import fit_rgb
from .networks import build_clip, build_dit, build_vae


def check_pipeline(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare what is prepared, then each chunk's frames and the motion it hands on."""
    golden = read_golden(folder, "pipeline")
    config = golden.config
    sampling = SamplingConfig(
        steps=config["steps"],
        shift=config["shift"],
        colour_strength=config["color_correction_strength"],
    )
    levels = noise_levels(sampling.steps, sampling.shift)
    timesteps = golden["prepared.timesteps"]
    yield compare("pipeline", "timesteps", 1000 * levels, timesteps.flatten(), HOST)
    dit = build_dit(read_golden(folder, config["dit"]), place)
    vae = build_vae(read_golden(folder, config["vae"]), place)
    chunk = ChunkConfig(num_frames=config["frames"], num_motion_frames=config["motion_frames"])
    clip = build_clip(read_golden(folder, config["clip"]), place)
    image = _image(golden, vae).to(place.device)
    bound = place.loop_bound(1)
    tokens = clip(image[None])
    yield compare("pipeline", "clip", tokens, golden["prepared.clip"], bound)
    reference = prepare_reference(
        dit=dit,
        vae=vae,
        clip_tokens=tokens,
        image=image,
        context=golden["in.text"].to(place.device),
        chunk=chunk,
    )
    for name, result in (
        ("condition", reference.session.condition),
        ("motion_latent", reference.motion_latent[0]),
    ):
        yield compare("pipeline", name, result, golden[f"prepared.{name}"], bound)
    model = ChunkModel.resident(dit, vae, chunk)
    yield from _check_chunks(golden, model, vae, reference, sampling, place)


def _check_chunks(
    golden: Golden,
    model: ChunkModel,
    vae: VideoVAE,
    reference: Reference,
    sampling: SamplingConfig,
    place: Placement,
) -> Iterator[ParityResult]:
    # In a row for each chunk: every step, decoding, and encoding the motion frames.
    num_modules = sampling.steps + 2
    num_chunks = sum(name.endswith(".frames") for name in golden.tensors)
    state = SessionState()
    for index in range(num_chunks):
        frames, state = _run_chunk(golden, model, reference, sampling, state)
        bound = place.loop_bound(num_modules * (index + 1))
        name = f"chunk{index}.frames"
        yield compare("pipeline", name, frames, golden[name], bound)
        assert state.motion_frames is not None
        motion = vae.encode(state.motion_frames.to(place.dtype))[0]
        name = f"chunk{index}.motion_latent_next"
        yield compare("pipeline", name, motion, golden[name], bound)


def _run_chunk(
    golden: Golden,
    model: ChunkModel,
    reference: Reference,
    sampling: SamplingConfig,
    state: SessionState,
) -> tuple[Tensor, SessionState]:
    prefix = f"chunk{state.chunk_index}"
    windows = golden[f"{prefix}.audio"].to(reference.motion_latent.device)
    noise = replayed_noise(golden[f"{prefix}.noise_init"], golden[f"{prefix}.noise_steps"])
    chunk = generate_chunk(model, reference, windows, state, sampling, draw_noise=noise)
    groups = list(chunk)
    next_state = groups[-1].state
    assert next_state is not None
    return torch.cat([group.frames for group in groups], dim=1), next_state


def replayed_noise(start: Tensor, steps: Tensor) -> DrawNoise:
    """Return what draws recorded noise in order; the authors' last draw is multiplied by zero."""
    recorded = iter([start, *steps])

    def draw(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        # A copy: the loop writes into what it draws.
        return next(recorded).reshape(shape).to(device, dtype, copy=True)

    return draw


def _image(golden: Golden, vae: VideoVAE) -> Tensor:
    """Return the recorded image at the recorded size, ``(3, H, W)`` in ``[-1, 1]``."""
    stride = vae.config.spatial_stride
    height, width = golden["prepared.motion_latent"].shape[-2:]
    return to_model_range(fit_rgb(golden["in.rgb"], (height * stride, width * stride)))
