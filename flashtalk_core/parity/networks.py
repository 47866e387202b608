"""Parity of single networks.

Axis legend: B batch, F pixel frames, T latent frames, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from ..config.sampling import SamplingConfig
from ..engine.chunk import SpeakerPlaces, project_audio
from ..models.encoders.audio import AudioEncoder
from ..models.encoders.clip_vision import ClipVision
from ..models.encoders.text import TextEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..parallel.image_spread import WHOLE, ImageSpread
from ..settings import from_settings
from ..weights.mapping.key_maps import AUDIO_KEYS, DIT_KEYS, TEXT_KEYS, VAE_KEYS, clip_keys
from .bounds import ParityResult, Placement, compare
from .golden import Golden, place_model, read_golden


def build_dit(golden: Golden, place: Placement) -> AvatarDiT:
    """Build the transformer of ``golden``."""
    model = AvatarDiT(from_settings(DiTConfig, golden.config))
    return place_model(model, golden, DIT_KEYS, place)


def build_vae(golden: Golden, place: Placement) -> VideoVAE:
    """Build the autoencoder of ``golden``."""
    config = dict(golden.config)
    # The authors' spelling.
    if "temperal_downsample" in config:
        config["temporal_downsample"] = config["temperal_downsample"]
    return place_model(VideoVAE(from_settings(VAEConfig, config)), golden, VAE_KEYS, place)


def build_clip(golden: Golden, place: Placement) -> ClipVision:
    """Build the vision tower of ``golden``."""
    config = from_settings(ClipVisionConfig, golden.config)
    return place_model(ClipVision(config), golden, clip_keys(config.num_layers), place)


def check_dit(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare the velocity of one noisy chunk."""
    golden = read_golden(folder, "dit")
    yield check_velocity(golden, build_dit(golden, place), place)


def check_two_speakers(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare the velocity with two audio tracks; the weights may be those of ``dit``."""
    golden = read_golden(folder, "dit_two_speakers")
    owner = golden if golden.weights else read_golden(folder, "dit")
    yield check_velocity(golden, build_dit(owner, place), place)


def check_velocity(golden: Golden, model: AvatarDiT, place: Placement) -> ParityResult:
    """Compare the velocity of ``model``, which may be divided among ranks."""

    def put(name: str) -> Tensor:
        return golden[name].to(place.device, place.dtype)

    masks = golden.tensors.get("in.ref_target_masks")
    session = model.project_session(put("in.condition"), put("in.text")[None], put("in.clip"))
    places = None if masks is None else SpeakerPlaces(masks)
    audio = project_audio(model, golden["in.audio"], SamplingConfig(), places)
    # Latents and timesteps stay float32, as in the chunk loop.
    latent = golden["in.latent"][None].to(place.device)
    velocity = model(latent, golden["in.timestep"].to(place.device), session, audio)
    return compare(
        golden.component, "velocity", velocity, golden["out.velocity"], place.module_bound
    )


def check_vae(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare a decoded clip and encoded clips of every length in the file."""
    golden = read_golden(folder, "vae")
    yield from check_clips(golden, build_vae(golden, place), place)


def check_clips(
    golden: Golden, model: VideoVAE, place: Placement, spread: ImageSpread = WHOLE
) -> Iterator[ParityResult]:
    """Compare what ``model`` decodes and encodes, with images divided as ``spread`` says."""
    latent = golden["in.latent"].to(place.device, place.dtype)
    video = spread.join(torch.cat(list(spread.decode(model, latent)), dim=2))
    yield compare("vae", "video", video, golden["out.video"], place.module_bound)
    for name in sorted(golden.tensors):
        if name.startswith("out.latent"):
            clip = _clip_of(golden, name.removeprefix("out.latent"))
            encoded = spread.encode(model, clip.to(place.device, place.dtype))
            yield compare(
                "vae", name.removeprefix("out."), encoded[0], golden[name], place.module_bound
            )


def _clip_of(golden: Golden, length: str) -> Tensor:
    """Return the clip recorded for ``length``, or the start of a recorded one."""
    recorded = golden.tensors.get(f"in.video{length}")
    if recorded is not None or not length.isdigit():
        return golden[f"in.video{length}"]
    clips = [clip for name, clip in sorted(golden.tensors.items()) if name.startswith("in.video")]
    return clips[0][:, :, : int(length)]


def check_text(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare the context of a prompt, cut to its length."""
    golden = read_golden(folder, "umt5")
    vocabulary = golden.config.get("vocab", TextEncoderConfig.vocab_size)
    sizes = from_settings(TextEncoderConfig, golden.config | {"vocab_size": vocabulary})
    model = place_model(TextEncoder(sizes), golden, TEXT_KEYS, place)
    ids, mask = golden["in.ids"].to(place.device), golden["in.mask"].to(place.device)
    context = model(ids, mask)[:, : int(mask.sum(dim=1).max())]
    yield compare("umt5", "context", context, golden["out.context"], place.module_bound)


def check_clip(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare the tokens of an image."""
    golden = read_golden(folder, "clip")
    image = golden["in.image"][:, :, -1].to(place.device)
    tokens = build_clip(golden, place)(image)
    yield compare("clip", "tokens", tokens, golden["out.tokens"], place.module_bound)


def build_audio_encoder(golden: Golden, place: Placement) -> AudioEncoder:
    """Build the audio encoder of ``golden``."""
    model = AudioEncoder(from_settings(AudioEncoderConfig, golden.config))
    return place_model(model, golden, AUDIO_KEYS, place)
